"""Pictures of scores: histograms, ROC and DET curves, CMC curves, and the scores of two models side by side."""

from __future__ import annotations

import itertools
import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from magface_al.metrics.roc import Curve, Ranking, eer
from magface_al.pictures.canvas import (
    AFTER,
    BEFORE,
    DASHES,
    GENUINE,
    IMPOSTOR,
    NEUTRAL,
    SERIES,
    new_figure,
    shortened,
    styles,
    whole_numbers,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TITLE_WIDTH = 130  # characters


def draw_histogram(
    axes: Axes,
    similarity: np.ndarray,
    same: np.ndarray,
    threshold: float,
    title: str,
    weight: np.ndarray | None = None,
) -> None:
    """Shares of genuine and impostor pairs over the cosine, with the threshold. weight float [N]: how often a pair counts."""
    weight = np.ones(len(same)) if weight is None else weight
    bins = np.linspace(min(-0.2, float(similarity.min())), 1, 61).tolist()
    for kind, colour, name in ((same, GENUINE, "genuine"), (~same, IMPOSTOR, "impostor")):
        if kind.any():
            weights = 100 * weight[kind] / weight[kind].sum()
            axes.hist(similarity[kind], bins=bins, weights=weights, histtype="stepfilled", alpha=0.45, color=colour)
            label = f"{name} ({kind.sum()})"
            axes.hist(similarity[kind], bins=bins, weights=weights, histtype="step", color=colour, label=label)
    axes.axvline(threshold, color="black", linewidth=1.5, label=f"threshold {threshold:g}")
    axes.set(xlabel="cosine similarity", ylabel="% of the pairs of its kind", title=title)
    axes.legend(fontsize=8)


def draw_curve(axes: Axes, series: Mapping[str, Curve], impostors: int, *, errors: bool) -> None:
    """One curve a model over the FMR, which is logarithmic: the ROC (TAR), or the DET (FNMR, also logarithmic) if `errors`.

    impostors: how many pairs the FMR is a share of; the axis begins at half of one.
    """
    floor = 0.5 / max(1, impostors)
    colours = [AFTER] if len(series) == 1 else [BEFORE, AFTER] if len(series) == 2 else itertools.cycle(SERIES)
    for (name, (fmr, tar)), colour, dashes in zip(series.items(), colours, itertools.cycle(DASHES), strict=False):
        rate = eer(fmr, tar)
        label = name if rate is None else f"{name}, EER {100 * rate:.2f} %"
        height = np.maximum(1 - tar, floor) if errors else tar
        axes.step(np.maximum(fmr, floor), height, where="post", color=colour, linestyle=dashes, label=label)
    axes.set(xscale="log", xlim=(floor, 1), xlabel="FMR (impostors called same)")
    if errors:
        axes.set(yscale="log", ylim=(floor, 1), ylabel="FNMR (genuine called different)", title="DET")
    else:
        axes.set(ylim=(0, 1.01), ylabel="TAR (genuine called same)", title="ROC")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)


def score_figure(similarity: np.ndarray, same: np.ndarray, threshold: float) -> Figure:
    """Histogram, ROC and DET of one set of scores."""
    figure = new_figure(13, 4)
    axes = figure.subplots(1, 3)
    draw_histogram(axes[0], similarity, same, threshold, "similarity")
    if same.any() and not same.all():
        series = {"model": Ranking(similarity, same).roc()}
        impostors = int(np.count_nonzero(~same))
        draw_curve(axes[1], series, impostors, errors=False)
        draw_curve(axes[2], series, impostors, errors=True)
    else:
        for place in axes[1:]:
            place.axis("off")
            place.text(0.5, 0.5, "needs both genuine\nand impostor pairs", ha="center")
    return figure


def roc_figure(panels: Mapping[str, tuple[int, Mapping[str, Curve]]], columns: int = 3) -> Figure:
    """A ROC for each set, a curve for each model. panels: set -> (impostor pairs, {model: curve})."""
    across = min(columns, len(panels))
    down = -(-len(panels) // across)
    figure = new_figure(5.5 * across, 4.4 * down)
    places = figure.subplots(down, across, squeeze=False).flat
    for (name, (impostors, curves)), axes in zip(panels.items(), places, strict=False):
        draw_curve(axes, curves, impostors, errors=False)
        lowest = min(float(tar[fmr == 0].max()) for fmr, tar in curves.values())  # reached without a false match
        axes.set(title=shortened(name), ylim=(max(0.0, lowest - 0.4 * (1 - lowest)), 1 + 0.03 * (1 - lowest) + 1e-3))
        axes.legend(fontsize=8, loc="lower right")
    for axes in list(places):
        axes.axis("off")
    return figure


def cmc_figure(curves: Mapping[str, Sequence[float]]) -> Figure:
    """Cumulative match characteristics: the share of probes identified within each rank, from rank 1 on."""
    figure = new_figure(6.5, 4.6)
    axes = figure.subplots()
    for (name, rates), (colour, dashes) in zip(curves.items(), styles(), strict=False):
        ranks = np.arange(1, len(rates) + 1)
        axes.plot(ranks, 100 * np.asarray(rates), color=colour, linestyle=dashes, marker=".", label=name)
    axes.set(xlabel="rank", ylabel="% of the probes identified within the rank", title="CMC")
    whole_numbers(axes)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8, loc="lower right")
    return figure


def before_after_figure(
    before: np.ndarray,
    after: np.ndarray,
    same: np.ndarray,
    threshold: float,
    title: str,
    weight: np.ndarray | None = None,
) -> Figure:
    """Histograms before and after, both ROCs, and every pair's similarity before against after. Scores float [N].

    title: which pairs these are, and whether errors chose them; weight float [N]: how often each counts.
    """
    figure = new_figure(12, 8)
    figure.suptitle(textwrap.fill(title, TITLE_WIDTH).replace("$", r"\$"), fontsize=10)
    (left, right), (roc, scatter) = figure.subplots(2, 2)
    draw_histogram(left, before, same, threshold, "before", weight)
    draw_histogram(right, after, same, threshold, "after", weight)
    for axes in (left, right):
        axes.set_xlim(min(-0.2, float(before.min()), float(after.min())), 1)
    series = {name: Ranking(scores, same).roc(weight) for name, scores in (("before", before), ("after", after))}
    draw_curve(roc, series, int(np.count_nonzero(~same)), errors=False)
    roc.set_title("ROC of the answered pairs")
    for kind, colour, name in ((same, GENUINE, "genuine"), (~same, IMPOSTOR, "impostor")):
        scatter.scatter(before[kind], after[kind], s=8, alpha=0.5, color=colour, label=name, edgecolors="none")
    scatter.axhline(threshold, color="black", linewidth=1)
    scatter.axvline(threshold, color="black", linewidth=1)
    scatter.axline((0, 0), slope=1, color=NEUTRAL, linestyle=":", linewidth=1)
    scatter.set(xlabel="similarity before", ylabel="similarity after", title="every answered pair (lines: threshold)")
    scatter.legend(fontsize=8)
    return figure
