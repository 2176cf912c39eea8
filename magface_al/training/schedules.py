"""Learning rates as functions of the step alone, so that a resumed run needs no state; and averaged weights."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import nn


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


@torch.no_grad()
def average(mean: nn.Module, model: nn.Module, decay: float, step: int) -> None:
    """Move `mean` towards `model` as an exponential moving average does; whole-number buffers are copied.

    step counts from 0; the first steps have a smaller decay, so that the start is soon forgotten.
    """
    decay = min(decay, (1 + step) / (10 + step))
    for kept, value in zip(mean.state_dict().values(), model.state_dict().values(), strict=True):
        if kept.is_floating_point():
            kept.lerp_(value, 1 - decay)
        else:
            kept.copy_(value)
