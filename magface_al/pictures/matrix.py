"""The picture of a face matrix: the faces on both axes, a cell for each two of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from magface_al.pictures.canvas import GENUINE, NEUTRAL, new_figure, shortened

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from magface_al.compare import FaceMatrix

MOST_SHOWN = 30  # more faces would be too small to see, and the picture too large to open


def face_matrix_figure(matrix: FaceMatrix) -> Figure:
    """At most the first MOST_SHOWN images. A cell says cosine and decision, and is bluer the more alike the two are."""
    shown = min(len(matrix.names), MOST_SHOWN)
    figure = new_figure(1.15 * (shown + 1) + 1.6, 1.15 * (shown + 1) + 1.0)
    axes = figure.subplots()
    same = matrix.same()
    for row in range(shown):
        _face(axes, matrix.faces[row], -1, row)
        _face(axes, matrix.faces[row], row, -1)
        axes.text(row + 0.5, -1.06, f"{row + 1}", ha="center", va="bottom", fontsize=9)
        label = f"{row + 1}  {shortened(matrix.names[row], 26)}\nmagnitude {matrix.magnitude[row]:.1f}"
        axes.text(-1.06, row + 0.5, label, ha="right", va="center", fontsize=8)
        for column in range(shown):
            if row != column:
                _cell(axes, row, column, float(matrix.similarity[row, column]), bool(same[row, column]))
    axes.set(xlim=(-1, shown), ylim=(shown, -1), aspect="equal")
    axes.axis("off")
    left_out = f", first {shown} of {len(matrix.names)} images" if shown < len(matrix.names) else ""
    figure.suptitle(f"cosine similarity; called same above {matrix.threshold:g}{left_out}", fontsize=11)
    return figure


def _face(axes: Axes, face: np.ndarray, left: int, top: int) -> None:
    extent = (left + 0.03, left + 0.97, top + 0.97, top + 0.03)
    axes.imshow(face[..., ::-1], extent=extent, interpolation="nearest")


def _cell(axes: Axes, row: int, column: int, similarity: float, same: bool) -> None:
    from matplotlib.patches import Rectangle

    strength = 0.08 + 0.72 * max(0.0, similarity)
    colour = GENUINE if same else NEUTRAL
    axes.add_patch(Rectangle((column + 0.03, row + 0.03), 0.94, 0.94, facecolor=colour, alpha=strength, linewidth=0))
    text = f"{similarity:.2f}\n{'same' if same else 'different'}"
    weight = "bold" if same else "normal"
    axes.text(column + 0.5, row + 0.5, text, ha="center", va="center", fontsize=9, fontweight=weight)
