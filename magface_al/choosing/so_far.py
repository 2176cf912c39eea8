"""What the answers so far say: how often the model errs, and whether to go on asking."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from magface_al.choosing import error_estimate, stopping
from magface_al.choosing.asked import Asked
from magface_al.choosing.mining import pair_cosines
from magface_al.command.run import Run
from magface_al.command.words import counted


def tell(features_list: Path, unit: np.ndarray, asked: Asked, threshold: float, seed: int, run: Run) -> None:
    """Say it on the screen, and keep it among the run's facts. unit float32 [N, D]: the images of the store features_list."""
    if not len(asked.pairs):
        return
    found = error_estimate.estimate(unit, asked, threshold, np.random.default_rng(seed))
    if found is None:
        run.note(
            "no random slice has an answer in each of its strata yet, so the error cannot be estimated without bias"
        )
    else:
        answers = f"{counted(found.answered, 'answer')} to random slices"
        run.say(f"over all pairs of {features_list}, at threshold {threshold:g}, from {answers}:")
        run.say("\n".join(error_estimate.describe(found)))
        if found.open or found.rounds_left_out:
            unlabelled = counted(found.open, "pair of these slices has", "pairs of these slices have")
            left_out = counted(found.rounds_left_out, "slice was", "slices were")
            run.note(f"{unlabelled} no label, and {left_out} left out because a stratum has none")
        run.facts["estimate"] = {"value": found.value, "interval_95": found.interval, "answers": found.answered}
    advice = stopping.advice(asked, pair_cosines(unit, asked.pairs), threshold)
    if advice:
        run.say(f"advice: {'; '.join(advice)}")
        run.facts["advice"] = advice
