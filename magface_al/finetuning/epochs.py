"""The epochs of fine-tuning, and what is said before, between and after them."""

from __future__ import annotations

from typing import Any

import numpy as np
from tqdm import tqdm

from magface_al.command.run import Run
from magface_al.embedding.embedder import Embedder
from magface_al.finetuning.answered_pairs import AnsweredPairs
from magface_al.finetuning.recipe import LOSSES, Recipe
from magface_al.finetuning.tuner import FineTuner
from magface_al.finetuning.validation import validate
from magface_al.pairs.chosen import mined_in_words
from magface_al.training.progress import Progress


def report_gradient(train: AnsweredPairs, teacher: np.ndarray, recipe: Recipe, run: Run) -> None:
    """Say how many of the different pairs the loss's margin still pushes apart; below it they teach nothing.

    teacher float [M, D]: the raw embeddings of train.faces before training.
    """
    pushes_above = LOSSES[recipe.loss].pushes_above
    if pushes_above is None:
        return
    at = pushes_above(recipe)
    active = train.similarities(teacher)[~train.same] > at
    run.say(
        f"{np.count_nonzero(active)} of {len(active)} different pairs are inside the margin (above cosine {at:.2f}) and have a gradient"
    )
    if active.mean() < 0.1:
        run.note(
            f"hardly any different pair has a gradient: training only pulls faces together; use --loss {Recipe.loss}, "
            "or a --margin that more of them are inside of"
        )


def train_epochs(tuner: FineTuner, progress: Progress, val: AnsweredPairs, run: Run) -> None:
    """Train, validate and save, epoch by epoch. Ctrl-C keeps the epochs that are complete."""
    if chosen := mined_in_words(val.pairs):
        run.note(f"validation: {chosen}; its figures choose an epoch and are no measure of the gain")
    epochs, number = tuner.recipe.epochs, len(progress.history)
    try:
        for number in range(len(progress.history), epochs + 1):
            steps = tqdm(tuner.epoch(number), total=tuner.steps // epochs, unit="step", desc=f"epoch {number}/{epochs}")
            loss = float(np.mean(list(steps)))
            progress.check(number)
            embedder = Embedder(tuner.averaged, tuner.preprocessing, tuner.device)
            figures = validate(embedder, val, tuner.recipe.threshold)
            best = progress.record({"epoch": number, "loss": loss, **figures})
            run.say(line_of(progress.history[-1]) + ("  best so far" if best else ""))
    except KeyboardInterrupt:
        run.note(f"interrupted in epoch {number}: the complete epochs are kept; --resume_training goes on from there")
        raise


def line_of(entry: dict[str, Any]) -> str:
    """One epoch for the screen; see validation.validate for what each figure is of."""

    def figures(*names: str) -> str:
        found = {name: entry[f"val_{name}"] for name in names}
        return "  ".join(f"{name} {value:.4f}" for name, value in found.items() if value is not None)

    return (
        f"epoch {entry['epoch']:>3}: {figures('auc', 'eer')} of {entry['ranked']};  "
        f"{figures('accuracy', 'best_threshold')} of {entry['answered']};  {figures('magnitude')}"
    )


def report_best(progress: Progress, run: Run) -> None:
    """Say what came out, and keep it in the run's facts."""
    if progress.best_epoch == 0:
        run.note(
            f"no epoch was better than the start by {progress.habits.heading['selected_by']}: the original weights are written as best"
        )
    run.facts |= {"best_epoch": progress.best_epoch, "history": progress.history}
    start, best = progress.history[0], progress.best()
    run.say(
        f"the answered validation pairs are told apart best at cosine {best['val_best_threshold']:.3f} "
        f"(before: {start['val_best_threshold']:.3f}); "
        f"median magnitude {best['val_magnitude']:.2f} (before: {start['val_magnitude']:.2f})"
    )
    run.output(progress.best_path, f"the best weights (epoch {progress.best_epoch})")
