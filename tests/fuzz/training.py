"""The two trainings as far as they read: a state to resume from, and one step on it."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure

from magface_al.command.run import Run
from magface_al.faces.training_set import open_training_set
from magface_al.finetuning.answered_pairs import index_pairs
from magface_al.finetuning.progress import feedback_progress
from magface_al.finetuning.recipe import Recipe
from magface_al.finetuning.tuner import FineTuner
from magface_al.models.checkpoint import load_backbone
from magface_al.pairs.pair_file import read_pairs
from magface_al.training.batches import FaceReader
from magface_al.training.progress import STATE, Progress
from magface_al.training.recipe import TrainingRecipe
from magface_al.training.setup import begin_progress
from magface_al.training.trainer import Trainer
from tests.fuzz import seeds

CPU = torch.device("cpu")
OUT = Path("out")


def _quick(progress: Progress) -> None:
    """Without the curves, which take longer than all the rest."""
    progress.habits = dataclasses.replace(progress.habits, picture=lambda history, best: Figure((0.1, 0.1)))


@contextlib.contextmanager
def _training() -> Iterator[Progress]:
    recipe = TrainingRecipe(batch_size=2, epochs=3)
    with open_training_set([Path("train.list")]) as data:
        start = load_backbone(Path("model.pth"), trainable=True)
        reader = FaceReader(data, start.preprocessing.size, recipe.augmentation, recipe.seed, 1, 0.0)
        trainer = Trainer(start.model, start.preprocessing, reader, recipe, CPU)
        origin = {"images": len(data), "classes": data.num_classes, "fingerprint": data.fingerprint()}
        progress = begin_progress(OUT, trainer, start, origin, Run("train.py", {}), 0)
        _quick(progress)
        yield progress


def half_trained() -> None:
    seeds.lists()
    seeds.checkpoint()
    OUT.mkdir()
    with _training() as progress:
        steps = progress.learner.epoch(1)
        progress.count(next(steps))
        steps.close()
        progress.record({"epoch": 1, "loss": 1.0, "validation": {}})
    for path in OUT.iterdir():
        if path.name != STATE:  # checkpoints tell the time
            path.unlink()


def go_on_training() -> tuple[list[dict[str, object]], int, list[float]]:
    with _training() as progress:
        progress.resume()
        weights = _weights(progress)
        progress.best()
        steps = progress.learner.epoch(2)
        progress.count(next(steps))
        steps.close()
        progress.means()
        return progress.history, progress.best_epoch, weights


def _tuning() -> Progress:
    pair_file = read_pairs(Path("pairs.json")).labelled()
    backbone = load_backbone(Path("model.pth"), trainable=True)
    faces = {name: np.zeros((112, 112, 3), np.uint8) for name in pair_file.images()}
    data = index_pairs(pair_file.pairs, faces)
    recipe = Recipe(epochs=3, batch_size=2)
    tuner = FineTuner(
        backbone.model, backbone.preprocessing, data, np.ones((len(data.faces), 8), np.float32), recipe, CPU
    )
    progress = feedback_progress(OUT, tuner, backbone, "auc", {"recipe": dataclasses.asdict(recipe)})
    _quick(progress)
    return progress


def half_tuned() -> None:
    seeds.pairs()
    seeds.checkpoint()
    OUT.mkdir()
    progress = _tuning()
    next(progress.learner.epoch(1))
    for epoch in (0, 1):
        progress.record({"epoch": epoch, "val_auc": 0.9 + epoch / 100, "val_eer": 0.1, "val_accuracy": 0.9})


def go_on_tuning() -> tuple[list[dict[str, object]], int, list[float]]:
    progress = _tuning()
    progress.resume()
    weights = _weights(progress)
    progress.best()
    next(progress.learner.epoch(2))
    return progress.history, progress.best_epoch, weights


def _weights(progress: Progress) -> list[float]:
    sums = [float(value.double().sum()) for value in progress.learner.averaged.state_dict().values()]
    assert np.isfinite(sums).all(), "weights that are not finite were taken"
    return sums
