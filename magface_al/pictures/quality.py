"""Pictures of quality: error-versus-discard curves, and a score's histogram with a face at each of its quantiles."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from magface_al.evaluation.quality import Decision, Sides
from magface_al.faces.preprocess import decode_image
from magface_al.metrics.discard import DiscardCurve, ideal_curve
from magface_al.pairs.pair_file import PairFile
from magface_al.pictures.canvas import NEUTRAL, SERIES, new_figure, styles

if TYPE_CHECKING:
    from matplotlib.figure import Figure

QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)


@dataclass(frozen=True)
class Example:
    """The image at a quantile of a score; face uint8 [size, size, 3] BGR, None where the image could not be read."""

    quantile: float
    score: float
    face: np.ndarray | None


def quantile_rows(scores: np.ndarray) -> list[tuple[float, int]]:
    """(quantile, row) of the scores float [N]: a row whose score stands at that place in their order."""
    order = np.argsort(scores, kind="stable")
    return [(quantile, int(order[round(quantile * (len(order) - 1))])) for quantile in QUANTILES]


def discard_figure(
    curves: Mapping[str, DiscardCurve], limit: float, ylabel: str, xlabel: str, ideal: DiscardCurve | None = None
) -> Figure:
    """Staircases, one a quality score, over the share discarded; areas are taken up to `limit`, which is marked."""
    figure = new_figure(7.5, 5)
    axes = figure.subplots()
    highest = 0.0
    for (name, curve), (colour, dashes) in zip(curves.items(), styles(), strict=False):
        shown, errors = 100 * np.append(curve.share, curve.end), 100 * np.append(curve.fnmr, curve.fnmr[-1])
        axes.step(shown, errors, where="post", color=colour, linestyle=dashes, label=name)
        highest = max(highest, float(curve.fnmr[curve.share <= limit].max()))
    start = next(iter(curves.values())).fnmr[0]
    axes.axhline(100 * start, color=NEUTRAL, linewidth=0.8, linestyle=":", label="nothing discarded")
    if ideal is not None:
        shown, errors = np.append(100 * ideal.share, 100), 100 * np.append(ideal.fnmr, ideal.fnmr[-1])
        axes.step(shown, errors, where="post", color=NEUTRAL, linewidth=1, label="errors discarded first")
    axes.axvline(100 * limit, color="black", linewidth=1, label=f"limit of the area: {100 * limit:g} %")
    axes.set(xlim=(0, min(100, 150 * limit)), ylim=(0, 105 * max(highest, 1e-6)))
    axes.set(xlabel=xlabel, ylabel=ylabel, title="error versus discard")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    return figure


def quality_histogram(name: str, scores: np.ndarray, examples: Sequence[Example]) -> Figure:
    """Histogram of a score, float [N], over the images, with the example faces above it and their places marked."""
    figure = new_figure(10, 5.4)
    faces, histogram = np.asarray(figure.subfigures(2, 1, height_ratios=(1, 1.7)))
    for axes, example in zip(faces.subplots(1, len(examples)), examples, strict=True):
        axes.set_xticks([])
        axes.set_yticks([])
        if example.face is None:
            axes.text(0.5, 0.5, "no image", ha="center", va="center", transform=axes.transAxes)
        else:
            axes.imshow(example.face[..., ::-1], interpolation="nearest")
        axes.set_title(_quantile_name(example.quantile), fontsize=9)
        axes.set_xlabel(f"{example.score:.4g}", fontsize=9)
    axes = histogram.subplots()
    axes.hist(scores, bins=60, color=SERIES[0], alpha=0.7)
    for example in examples:
        axes.axvline(example.score, color="black", linewidth=0.8, linestyle=":")
    axes.set(xlabel=name, ylabel=f"images (of {len(scores)})")
    return figure


def _quantile_name(quantile: float) -> str:
    return {0.0: "lowest", 0.5: "median", 1.0: "highest"}.get(quantile, f"{100 * quantile:g} % are lower")


def decided_figure(curves: Mapping[str, DiscardCurve], limit: float, decision: Decision) -> Figure:
    """discard_figure with the words of the decision; the best curve possible too, where there is one threshold."""
    if decision.threshold is None or decision.missed is None:
        return discard_figure(curves, limit, "FNMR in % at a new threshold each time", "% of all pairs discarded")
    ideal = ideal_curve(decision.missed, decision.genuine_pairs)
    ylabel = f"FNMR in % at cosine {decision.threshold:.3f}"
    return discard_figure(curves, limit, ylabel, "% of the genuine pairs discarded", ideal)


def histogram_of_images(name: str, pair_file: PairFile, sides: Sides, note: Callable[[str], object]) -> Figure:
    """quality_histogram with every image of the pairs once; note is told of an example that cannot be read."""
    score_of: dict[str, float] = {}
    for pair, score1, score2 in zip(pair_file.pairs, *sides, strict=True):
        score_of |= {pair.image1: float(score1), pair.image2: float(score2)}
    names, scores = list(score_of), np.array(list(score_of.values()))
    examples = []
    for quantile, row in quantile_rows(scores):
        try:
            face = decode_image(pair_file.source(names[row]))[0]
        except ValueError as error:
            note(f"{names[row]}: {error}; its place in the histogram of {name} stays empty")
            face = None
        examples.append(Example(quantile, float(scores[row]), face))
    return quality_histogram(name, scores, examples)
