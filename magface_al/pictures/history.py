"""Pictures of a training: what it measured, epoch by epoch."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from magface_al.pictures.canvas import GENUINE, IMPOSTOR, NEUTRAL, SERIES, new_figure, shortened, styles, whole_numbers

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LEGEND_WIDTH = 80  # characters


def history_figure(history: Sequence[Mapping[str, Any]], best_epoch: int, select_by: str) -> Figure:
    """Training loss and the validation figures over the epochs; epoch 0 is the start, the best epoch is marked.

    The legend says which pairs each figure is of: an entry's "ranked" names those that AUC and EER rank, "answered" those of
    the accuracy.
    """
    figure = new_figure(10, 4.6)
    loss, validation = figure.subplots(1, 2)
    trained = [entry for entry in history if entry.get("loss") is not None]
    loss.plot([entry["epoch"] for entry in trained], [entry["loss"] for entry in trained], "o-", color=NEUTRAL)
    loss.set(xlabel="epoch", ylabel="mean training loss", title="training loss")
    ranked = history[-1].get("ranked", "the validation pairs")
    answered = history[-1].get("answered", "the answered validation pairs")
    for name, colour, pairs in (("auc", GENUINE, ranked), ("accuracy", SERIES[2], answered), ("eer", IMPOSTOR, ranked)):
        points = [(entry["epoch"], entry[f"val_{name}"]) for entry in history if entry[f"val_{name}"] is not None]
        if points:
            label = textwrap.fill(f"{name} of {pairs}{' (selects)' if name == select_by else ''}", LEGEND_WIDTH)
            validation.plot(*zip(*points, strict=True), "o-", color=colour, label=label)
    validation.axvline(best_epoch, color="black", linestyle=":", label=f"best: epoch {best_epoch}")
    validation.set(xlabel="epoch (0: before training)", title="validation people")
    figure.legend(*validation.get_legend_handles_labels(), loc="outside lower right", fontsize=8)
    for axes in (loss, validation):
        axes.grid(alpha=0.3)
        whole_numbers(axes)
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
    sets = dict.fromkeys(name for entry in history for name in entry["validation"])  # a resumed run may have others
    for name, (colour, dashes) in zip(sets, styles(), strict=False):
        points = [(entry["epoch"], entry["validation"][name]) for entry in history if name in entry["validation"]]
        at, accuracies = zip(*points, strict=True)
        validation.plot(at, accuracies, "o", linestyle=dashes, markersize=3, color=colour, label=shortened(name))
    validation.axvline(best_epoch, color="black", linestyle=":", label=f"best: epoch {best_epoch}")
    validation.set(xlabel="epoch", title="ten-fold accuracy" if sets else "no validation sets given")
    validation.legend(fontsize=8)
    for axes in (loss, cosine, validation):
        axes.grid(alpha=0.3)
        whole_numbers(axes)
    return figure
