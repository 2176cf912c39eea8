"""What every picture is made of: an empty figure, colours, names that fit, and the way to a file.

Blue stands for genuine pairs and orange for impostors everywhere (Okabe-Ito colours, which colour-blind people tell
apart), and no message depends on colour alone.
"""

from __future__ import annotations

import io
import itertools
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from magface_al.command.replacing import replacing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

GENUINE, IMPOSTOR, NEUTRAL = "#0072B2", "#D55E00", "#555555"
BEFORE, AFTER = "#999999", "#0072B2"
SERIES = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")  # of many models in one picture
DASHES = ("-", "--", "-.", ":")


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure as PNG, whole or not at all."""
    with replacing(path, "wb") as file:
        file.write(png_bytes(figure))


def png_bytes(figure: Figure, dpi: int = 120) -> bytes:
    """A figure as the bytes of a PNG file, drawn without any window system."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    buffer = io.BytesIO()
    FigureCanvasAgg(figure)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing", UserWarning)  # a name in another script: boxes are drawn
        figure.savefig(buffer, format="png", dpi=dpi)
    return buffer.getvalue()


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of that size in inches."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def shortened(name: str, most: int = 42) -> str:
    """A path's end, with $ made harmless for matplotlib's own markup, and a sign for what cannot be printed."""
    text = name if len(name) <= most else "..." + name[-most:]
    return "".join(sign if sign.isprintable() else "\ufffd" for sign in text).replace("$", r"\$")


def styles() -> Iterator[tuple[str, str]]:
    """(colour, dashes) of one model after another, without end."""
    return zip(itertools.cycle(SERIES), itertools.cycle(DASHES), strict=False)


def whole_numbers(axes: Axes) -> None:
    """Ticks of the x axis at whole numbers only."""
    locator: Any = axes.xaxis.get_major_locator()  # the default one, which takes `integer`
    locator.set_params(integer=True)
