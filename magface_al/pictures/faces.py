"""Pictures of faces: the two of a pair compared, and many pairs on one sheet. Faces are uint8 [size, size, 3] BGR."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from magface_al.pictures.canvas import GENUINE, IMPOSTOR, NEUTRAL, new_figure, shortened

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def comparison_figure(
    faces: tuple[np.ndarray, np.ndarray],
    names: tuple[str, str],
    magnitudes: tuple[float, float],
    similarity: float,
    threshold: float,
    same: bool,
) -> Figure:
    """Both faces large, what the model says, what is true, and on a scale how far the score is from the threshold."""
    figure = new_figure(7.2, 5.2)
    top, scale = np.asarray(figure.subfigures(2, 1, height_ratios=(4.4, 1)))
    called_same = similarity > threshold
    verdict = f"model: {'SAME person' if called_same else 'DIFFERENT people'}   |   truth: {'SAME person' if same else 'DIFFERENT people'}"
    colour = NEUTRAL if called_same == same else (GENUINE if same else IMPOSTOR)
    kind = "right" if called_same == same else ("false negative" if same else "false positive")
    top.suptitle(f"{kind}\n{verdict}", fontsize=13, fontweight="bold", color=colour)
    for axes, face, name, magnitude in zip(top.subplots(1, 2), faces, names, magnitudes, strict=True):
        axes.imshow(face[..., ::-1], interpolation="nearest")
        axes.set_xlabel(f"{shortened(name)}\nmagnitude (quality) {magnitude:.1f}", fontsize=10)
        axes.set_xticks([])
        axes.set_yticks([])
    axes = scale.subplots()
    axes.barh(0, similarity, color=colour, height=0.5)
    axes.axvline(threshold, color="black", linewidth=2)
    axes.set_xlim(min(-0.2, similarity - 0.05), 1)
    axes.set_yticks([])
    axes.set_xlabel(f"cosine similarity {similarity:.3f}   (threshold {threshold:g}: black line)", fontsize=11)
    for side in ("top", "left", "right"):
        axes.spines[side].set_visible(False)
    return figure


def contact_sheet(
    tiles: Sequence[tuple[np.ndarray, np.ndarray, str]], title: str, columns: int = 4, most: int = 40
) -> Figure:
    """Pairs of faces side by side with a caption each, in the order given; at most `most` of them."""
    shown = tiles[:most]
    rows = max(1, -(-len(shown) // columns))
    figure = new_figure(columns * 2.5, rows * 1.55 + 0.6)
    figure.suptitle(
        f"{title}\n" + (f"first {len(shown)} of {len(tiles)}" if len(tiles) > len(shown) else f"all {len(tiles)}"),
        fontsize=11,
    )
    axes = figure.subplots(rows, columns, squeeze=False)
    for place in axes.flat:
        place.axis("off")
    for place, (face1, face2, caption) in zip(axes.flat, shown, strict=False):
        gap = np.full((face1.shape[0], 4, 3), 255, np.uint8)
        place.imshow(np.concatenate([face1, gap, face2], axis=1)[..., ::-1], interpolation="nearest")
        place.set_title(caption.replace("$", r"\$"), fontsize=8)
    return figure
