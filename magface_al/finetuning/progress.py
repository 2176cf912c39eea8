"""What fine-tuning on answers keeps on disk: training.progress with names, ranking and picture of its own."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from magface_al.embedding.embedder import Embedder
from magface_al.finetuning.recipe import HIGHER_IS_BETTER
from magface_al.models.backbone import Backbone
from magface_al.models.checkpoint import load_backbone
from magface_al.pictures.history import history_figure
from magface_al.training.progress import Entry, Habits, Learner, Progress


def habits_of(select_by: str) -> Habits:
    """How fine-tuning keeps its epochs, the best by the val_ figure select_by."""
    return Habits(
        best="magface_feedback_best.pth",
        kept="magface_feedback_epoch{epoch}.pth",
        learner="tuner",
        made_with="recipe",
        shared="recipe",
        better=better_by(select_by),
        picture=partial(history_figure, select_by=select_by),
        validation=lambda entry: entry,
        heading={"selected_by": select_by},
    )


def feedback_progress(
    folder: Path, tuner: Learner, start: Backbone, select_by: str, manifest: dict[str, Any]
) -> Progress:
    """The progress of a fine-tuning. history[0] is the start; each entry has "epoch" and "val_*" figures.

    manifest: for the checkpoints; its "recipe" is what a resumed run must share.
    """
    made_with = {**manifest["recipe"], "select_by": select_by}
    return Progress(folder, tuner, start, habits_of(select_by), made_with, lambda: manifest)


def better_by(figure: str) -> Callable[[Entry, Entry], bool]:
    """Is the first of two entries better by its val_ figure; one that is undefined is never better, nor worse."""

    def better(new: Entry, old: Entry) -> bool:
        a, b = new[f"val_{figure}"], old[f"val_{figure}"]
        if a is None or b is None:
            return False
        return bool(a > b) if HIGHER_IS_BETTER[figure] else bool(a < b)

    return better


def best_embeddings(progress: Progress, faces: np.ndarray) -> np.ndarray:
    """Raw embeddings float32 [M, D] of faces uint8 [M, size, size, 3] by the best weights on disk, on the device that trains."""
    best = load_backbone(progress.best_path)
    return Embedder(best.model, best.preprocessing, progress.learner.device)(faces)
