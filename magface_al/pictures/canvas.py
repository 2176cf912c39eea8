"""Pictures: two faces compared, contact sheets of errors, score histograms, curves, training history.

Faces are uint8 [size, size, 3] BGR. Blue stands for genuine pairs and orange for impostors everywhere (Okabe-Ito
colours, which colour-blind people tell apart), and no message depends on colour alone.
"""

from __future__ import annotations

import io
import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from magface_al.command.files import replacing
from magface_al.metrics.roc import Ranking, eer

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Curve = tuple[np.ndarray, np.ndarray]  # FMR, TAR: see metrics.Ranking.roc
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
    figure.savefig(buffer, format="png", dpi=dpi)
    return buffer.getvalue()


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of that size in inches."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def comparison_figure(faces: tuple[np.ndarray, np.ndarray], names: tuple[str, str], magnitudes: tuple[float, float],
                      similarity: float, threshold: float, same: bool) -> Figure:  # fmt: skip
    """Both faces large, what the model says, what is true, and on a scale how far the score is from the threshold."""
    figure = new_figure(7.2, 5.2)
    top, scale = figure.subfigures(2, 1, height_ratios=(4.4, 1))
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


def shortened(name: str, most: int = 42) -> str:
    """A path's end, with $ made harmless for matplotlib's own markup."""
    text = name if len(name) <= most else "..." + name[-most:]
    return text.replace("$", r"\$")


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


def draw_histogram(axes: Axes, similarity: np.ndarray, same: np.ndarray, threshold: float, title: str) -> None:
    """Shares of genuine and impostor pairs over the cosine, with the threshold."""
    bins = np.linspace(min(-0.2, float(similarity.min())), 1, 61)
    for kind, colour, name in ((same, GENUINE, "genuine"), (~same, IMPOSTOR, "impostor")):
        if kind.any():
            weights = np.full(np.count_nonzero(kind), 100 / np.count_nonzero(kind))
            axes.hist(similarity[kind], bins=bins, weights=weights, histtype="stepfilled", alpha=0.45, color=colour)
            axes.hist(
                similarity[kind],
                bins=bins,
                weights=weights,
                histtype="step",
                color=colour,
                label=f"{name} ({kind.sum()})",
            )
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
        axes.step(
            np.maximum(fmr, floor),
            np.maximum(1 - tar, floor) if errors else tar,
            where="post",
            color=colour,
            linestyle=dashes,
            label=label,
        )
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
    for (name, rates), colour, dashes in zip(
        curves.items(), itertools.cycle(SERIES), itertools.cycle(DASHES), strict=False
    ):
        axes.plot(
            np.arange(1, len(rates) + 1),
            100 * np.asarray(rates),
            color=colour,
            linestyle=dashes,
            marker=".",
            label=name,
        )
    axes.set(xlabel="rank", ylabel="% of the probes identified within the rank", title="CMC")
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8, loc="lower right")
    return figure


def before_after_figure(before: np.ndarray, after: np.ndarray, same: np.ndarray, threshold: float) -> Figure:
    """Histograms before and after, both ROCs, and every pair's similarity before against after. Scores float [N]."""
    figure = new_figure(12, 8)
    (left, right), (roc, scatter) = figure.subplots(2, 2)
    draw_histogram(left, before, same, threshold, "before")
    draw_histogram(right, after, same, threshold, "after")
    for axes in (left, right):
        axes.set_xlim(min(-0.2, float(before.min()), float(after.min())), 1)
    series = {name: Ranking(scores, same).roc() for name, scores in (("before", before), ("after", after))}
    draw_curve(roc, series, int(np.count_nonzero(~same)), errors=False)
    for kind, colour, name in ((same, GENUINE, "genuine"), (~same, IMPOSTOR, "impostor")):
        scatter.scatter(before[kind], after[kind], s=8, alpha=0.5, color=colour, label=name, edgecolors="none")
    scatter.axhline(threshold, color="black", linewidth=1)
    scatter.axvline(threshold, color="black", linewidth=1)
    scatter.axline((0, 0), slope=1, color=NEUTRAL, linestyle=":", linewidth=1)
    scatter.set(xlabel="similarity before", ylabel="similarity after", title="every pair (lines: threshold)")
    scatter.legend(fontsize=8)
    return figure


def history_figure(history: Sequence[Mapping[str, Any]], best_epoch: int, select_by: str) -> Figure:
    """Training loss and the validation figures over the epochs; epoch 0 is the start, the best epoch is marked."""
    figure = new_figure(10, 3.8)
    loss, validation = figure.subplots(1, 2)
    trained = [entry for entry in history if entry.get("loss") is not None]
    loss.plot([entry["epoch"] for entry in trained], [entry["loss"] for entry in trained], "o-", color=NEUTRAL)
    loss.set(xlabel="epoch", ylabel="mean training loss", title="training loss")
    for name, colour in (("auc", GENUINE), ("accuracy", "#009E73"), ("eer", IMPOSTOR)):
        points = [(entry["epoch"], entry[f"val_{name}"]) for entry in history if entry[f"val_{name}"] is not None]
        if points:
            validation.plot(
                *zip(*points, strict=True),
                "o-",
                color=colour,
                label=f"{name}{' (selects)' if name == select_by else ''}",
            )
    validation.axvline(best_epoch, color="black", linestyle=":", label=f"best: epoch {best_epoch}")
    validation.set(xlabel="epoch (0: before training)", title="validation people")
    validation.legend(fontsize=8)
    for axes in (loss, validation):
        axes.grid(alpha=0.3)
        axes.xaxis.get_major_locator().set_params(integer=True)
    return figure


def training_figure(history: Sequence[Mapping[str, Any]], best_epoch: int) -> Figure:
    """Training from the first epoch: loss with the learning rate, target cosine with magnitude, and validation accuracy."""
    figure = new_figure(14, 3.8)
    loss, cosine, validation = figure.subplots(1, 3)
    epochs = [entry["epoch"] for entry in history]
    for axes, names, title in (
        (loss, ("cross_entropy", "lr"), "training loss"),
        (cosine, ("cosine", "magnitude"), "embeddings"),
    ):
        for place, name, colour in zip((axes, axes.twinx()), names, (GENUINE, IMPOSTOR), strict=True):
            place.plot(epochs, [entry[name] for entry in history], "o-", color=colour, markersize=3)
            place.set_ylabel(f"mean {name.replace('_', ' ')}", color=colour)
        axes.set(xlabel="epoch", title=title)
    names = list(history[0]["validation"])
    for name, colour, dashes in zip(names, itertools.cycle(SERIES), itertools.cycle(DASHES), strict=False):
        validation.plot(epochs, [entry["validation"][name] for entry in history], "o", linestyle=dashes, markersize=3, color=colour, label=shortened(name))  # fmt: skip
    validation.axvline(best_epoch, color="black", linestyle=":", label=f"best: epoch {best_epoch}")
    validation.set(xlabel="epoch", title="ten-fold accuracy" if names else "no validation sets given")
    validation.legend(fontsize=8)
    for axes in (loss, cosine, validation):
        axes.grid(alpha=0.3)
        axes.xaxis.get_major_locator().set_params(integer=True)
    return figure
