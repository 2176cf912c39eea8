"""What a step does to the weights: the optimizer, its state while the classifier is in shards, and averaged weights."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from magface_al.training.classifier import Classifier
from magface_al.training.distributed import gather_shards
from magface_al.training.recipe import OPTIMIZERS, TrainingRecipe


def build_optimizer(model: nn.Module, classifier: Classifier, recipe: TrainingRecipe) -> torch.optim.Optimizer:
    """The recipe's optimizer over backbone and classifier, the classifier's weight last.

    decay "weights" spares what is no matrix or convolution (BatchNorm, PReLU, biases), as AdaFace does.
    """
    spared = [p for p in model.parameters() if recipe.decay == "weights" and p.ndim < 2]
    decayed = [p for p in model.parameters() if recipe.decay == "all" or p.ndim >= 2]
    groups: list[dict[str, Any]] = [{"params": [*decayed, *classifier.parameters()]}]
    if spared:
        groups.insert(0, {"params": spared, "weight_decay": 0.0})
    kind = OPTIMIZERS[recipe.optimizer]
    given = {name: getattr(recipe, name) for name in kind.from_recipe}
    optimizer: torch.optim.Optimizer = getattr(torch.optim, kind.of)(
        groups, lr=recipe.lr, weight_decay=recipe.weight_decay, **given
    )
    return optimizer


def whole_state(optimizer: torch.optim.Optimizer, classifier: Classifier) -> dict[str, Any]:
    """The optimizer's state with the classifier's part whole. Every process calls it; only rank 0 gets all of it."""
    state = optimizer.state_dict()
    if classifier.split and state["state"]:
        last = len(state["state"]) - 1
        state["state"][last] = {
            key: gather_shards(value, classifier.classes) if value.shape == classifier.weight.shape else value
            for key, value in state["state"][last].items()
        }
    return state


def load_whole_state(optimizer: torch.optim.Optimizer, classifier: Classifier, state: dict[str, Any]) -> None:
    """Take up what whole_state returned, on this or another number of processes."""
    states = dict(state["state"])
    if states:
        last, whole = len(states) - 1, (classifier.classes, classifier.weight.shape[1])
        mine = slice(classifier.first, classifier.last)
        states[last] = {key: value[mine] if value.shape == whole else value for key, value in states[last].items()}
    optimizer.load_state_dict(state | {"state": states})


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
