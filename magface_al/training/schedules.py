"""Learning rates as functions of the step alone, so that a resumed run needs no state. Imports no torch: flags list them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from magface_al.training.recipe import TrainingRecipe


def warmup_cosine(step: int, steps: int, warmup: float) -> float:
    """The learning rate's factor: rising linearly over the warm-up share of all steps, then half a cosine down to 0."""
    rising = max(1, round(steps * warmup))
    if step < rising:
        return (step + 1) / rising
    return 0.5 * (1 + math.cos(math.pi * (step - rising) / max(1, steps - rising)))


def warmup_linear(step: int, steps: int, warmup: float) -> float:
    """The same rise, then a straight line down to 0, as arcface_torch has it."""
    rising = max(1, round(steps * warmup))
    return (step + 1) / rising if step < rising else (steps - step) / max(1, steps - rising)


def warmup_multistep(step: int, steps: int, warmup: float, drops: Sequence[int], gamma: float) -> float:
    """The same rise, then 1, multiplied by gamma at each of the steps `drops`."""
    rising = round(steps * warmup)
    return (step + 1) / rising if step < rising else gamma ** sum(step >= drop for drop in drops)


@dataclass(frozen=True)
class Plan:
    """What a schedule goes by: the steps of an epoch and of all, the share of them that is warm-up, and the drops."""

    epoch: int
    steps: int
    warmup: float
    milestones: Sequence[int]
    gamma: float


@dataclass(frozen=True)
class Schedule:
    """factor: of (step, plan). ends: it depends on the number of epochs, so a finished run cannot be given more."""

    factor: Callable[[int, Plan], float]
    ends: bool = True


def _multistep(step: int, plan: Plan) -> float:
    drops = [milestone * plan.epoch for milestone in plan.milestones]
    return warmup_multistep(step, plan.steps, plan.warmup, drops, plan.gamma)


SCHEDULES = {
    "multistep": Schedule(_multistep, ends=False),
    "cosine": Schedule(lambda step, plan: warmup_cosine(step, plan.steps, plan.warmup)),
    "linear": Schedule(lambda step, plan: warmup_linear(step, plan.steps, plan.warmup)),
}


def rate_at(step: int, epoch: int, recipe: TrainingRecipe) -> float:
    """The learning rate of a step, counted from 0 over all epochs, where an epoch has `epoch` steps."""
    warmup = recipe.warmup_epochs / recipe.epochs
    plan = Plan(epoch, epoch * recipe.epochs, warmup, recipe.milestones, recipe.gamma)
    return recipe.lr * SCHEDULES[recipe.schedule].factor(step, plan)
