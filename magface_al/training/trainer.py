"""Training a recognition model: one step, one epoch, on one or many processes. epochs.py takes many."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from magface_al.command.errors import UserError, WorkError
from magface_al.faces.preprocess import Preprocessing, to_input
from magface_al.models.device import keep_freed_memory, mixed_precision
from magface_al.models.precisions import PRECISIONS
from magface_al.training.batches import Batch, FaceReader, rows_of_epoch
from magface_al.training.classifier import FIGURES, Classifier
from magface_al.training.distributed import all_true, gather_shards, mean_over_ranks, rank, world_size
from magface_al.training.heads import build_head
from magface_al.training.loss_scale import LossScale
from magface_al.training.optimizer import average, build_optimizer, load_whole_state, whole_state
from magface_al.training.recipe import TrainingRecipe
from magface_al.training.schedules import rate_at

MAX_SKIPPED_IN_A_ROW = 20
_BatchNorm = nn.modules.batchnorm._BatchNorm


class Trainer:
    """A backbone and its classifier in training on a device, over as many processes as there are.

    Every process makes one with the same arguments. compiled: run the network through torch.compile.
    Raises UserError for batches that cannot be shared out.
    """

    def __init__(
        self,
        model: nn.Module,
        preprocessing: Preprocessing,
        reader: FaceReader,
        recipe: TrainingRecipe,
        device: torch.device,
        *,
        channels_last: bool = True,
        compiled: bool = False,
    ) -> None:
        if device.type == "cpu":
            keep_freed_memory()
        self.recipe, self.reader, self.device, self.preprocessing = recipe, reader, device, preprocessing
        self.steps = steps_of_epoch(len(reader.data), recipe)
        prepare(model, recipe)
        self._layout = torch.channels_last if channels_last else torch.contiguous_format
        self.model = model.to(device).to(memory_format=self._layout)
        self.averaged = copy.deepcopy(self.model) if recipe.ema else self.model  # what is validated and kept
        self.classifier = Classifier(
            build_head(recipe),
            embedding_size(model),
            reader.data.num_classes,
            seed=recipe.seed,
            split=recipe.split_fc,
            sample_rate=recipe.sample_rate,
        ).to(device)
        network: Any = torch.compile(self.model) if compiled else self.model
        self._network = exchanging(network, device)
        self._classify = self.classifier if self.classifier.split else exchanging(self.classifier, device)
        self.optimizer = build_optimizer(self.model, self.classifier, recipe)
        self.loss_scale = LossScale(PRECISIONS[recipe.precision].scaled)
        # A step that is skipped must not leave its infinities in BatchNorm's or AdaFace's running statistics.
        modules = (self.model, self.classifier)
        self._statistics = [b for module in modules for b in module.buffers() if b.is_floating_point()]
        self._statistics_before = [buffer.clone() for buffer in self._statistics]
        self.skipped = 0
        self._skipped_in_a_row = 0

    def epoch(self, number: int, first_step: int = 0) -> Iterator[dict[str, float]]:
        """Train epoch `number` (from 1) from a step on, yielding each step's figures: FIGURES, lr, and skipped (0 or 1).

        Every random choice follows from seed, epoch and step, so a resumed run repeats them exactly. Raises WorkError
        after 20 steps in a row without a finite gradient.
        """
        recipe = self.recipe
        self.model.train()
        self.classifier.train()
        if recipe.batch_norm == "frozen":
            for module in self.model.modules():
                if isinstance(module, _BatchNorm):
                    module.eval()
        rows = rows_of_epoch(
            len(self.reader.data), recipe.batch_size, world_size(), rank(), recipe.accumulate, recipe.seed, number
        )
        parts = self.reader.batches(rows[first_step:].reshape(-1, rows.shape[-1]), number)
        for step in range(first_step, self.steps):
            yield self._step([next(parts) for _ in range(recipe.accumulate)], (number - 1) * self.steps + step)

    def _step(self, parts: list[Batch], step: int) -> dict[str, float]:
        """One optimizer step on this process's images, in as many parts as the recipe accumulates."""
        torch.manual_seed(((self.recipe.seed * 1_000_003 + step) * 1009 + rank()) % 2**63)  # only dropout draws from it
        torch._foreach_copy_(self._statistics_before, self._statistics)
        lr = rate_at(step, self.steps, self.recipe)
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        figures = torch.zeros(len(FIGURES), device=self.device)
        for number, part in enumerate(parts):
            with self._without_exchange(number + 1 < len(parts)):
                figures += self._backward(part, step, len(parts))
        finite = self._take(step)
        values = mean_over_ranks(figures).tolist()
        return {**dict(zip(FIGURES, values, strict=True)), "lr": lr, "skipped": float(not finite)}

    def _backward(self, part: Batch, step: int, parts: int) -> torch.Tensor:
        faces, labels = torch.from_numpy(part.faces), torch.from_numpy(part.labels)
        if self.device.type == "cuda":
            faces, labels = faces.pin_memory(), labels.pin_memory()
        faces, labels = (values.to(self.device, non_blocking=True) for values in (faces, labels))
        inputs = to_input(faces, self.preprocessing).contiguous(memory_format=self._layout)
        with mixed_precision(self.device, self.recipe.precision):
            raw = self._network(inputs)
        loss, figures = self._classify(raw, labels, step)
        (loss * (self.loss_scale.factor / parts)).backward()
        mean: torch.Tensor = figures.float() / parts
        return mean

    def _without_exchange(self, wanted: bool) -> contextlib.AbstractContextManager[object]:
        """All but the last part of a step leave the gradients where they are."""
        stack = contextlib.ExitStack()
        for module in (self._network, self._classify):
            if wanted and isinstance(module, DistributedDataParallel):
                stack.enter_context(module.no_sync())
        return stack

    def _take(self, step: int) -> bool:
        """Apply the gradients if all of them are finite on every process; otherwise count a skipped step."""
        backbone, head = list(self.model.parameters()), list(self.classifier.parameters())
        for parameter in (*backbone, *head):
            if parameter.grad is not None and self.loss_scale.factor != 1:
                parameter.grad /= self.loss_scale.factor
        norm = nn.utils.clip_grad_norm_(backbone, self.recipe.clip)
        total = norm + nn.utils.get_total_norm([p.grad for p in head if p.grad is not None])
        finite = all_true(bool(torch.isfinite(total)), self.device)
        self.loss_scale.update(finite)
        self._skipped_in_a_row = 0 if finite else self._skipped_in_a_row + 1
        if finite:
            self.optimizer.step()
            if self.averaged is not self.model:
                average(self.averaged, self.model, self.recipe.ema, step)
        else:
            torch._foreach_copy_(self._statistics, self._statistics_before)
        if self._skipped_in_a_row == MAX_SKIPPED_IN_A_ROW:
            raise WorkError(
                f"{MAX_SKIPPED_IN_A_ROW} steps in a row (to step {step}) had no finite gradient; the last checkpoint is kept; "
                "try a lower --lr, or --precision bf16 or fp32"
            )
        self.skipped += not finite
        self.optimizer.zero_grad(set_to_none=True)
        return finite

    def own_weights(self) -> dict[str, Any]:
        """The backbone, its average, and this process's share of the classifier."""
        parts = {"model": self.model, "averaged": self.averaged, "classifier": self.classifier}
        return {name: part.state_dict() for name, part in parts.items()}

    def own_state(self) -> dict[str, Any]:
        """What this process's optimizer remembers."""
        return {"optimizer": self.optimizer.state_dict()["state"]}

    def state_dict(self) -> dict[str, Any] | None:
        """Everything that the next step depends on, whole whatever the number of processes; None on all but rank 0."""
        optimizer, classifier = whole_state(self.optimizer, self.classifier), self.classifier.state_dict()
        if self.classifier.split:
            classifier["weight"] = gather_shards(self.classifier.weight, self.classifier.classes)
        if rank() > 0:
            return None
        return {
            "model": self.model.state_dict(),
            "averaged": self.averaged.state_dict(),
            "optimizer": optimizer,
            "classifier": classifier,
            "loss_scale": self.loss_scale.state_dict(),
            "skipped": self.skipped,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where `state_dict` was taken, on this or another number of processes."""
        mine = state["classifier"]["weight"][self.classifier.first : self.classifier.last]
        self.model.load_state_dict(state["model"])
        self.averaged.load_state_dict(state["averaged"])
        self.classifier.load_state_dict(state["classifier"] | {"weight": mine})
        load_whole_state(self.optimizer, self.classifier, state["optimizer"])
        self.loss_scale.load_state_dict(state["loss_scale"])
        self.skipped = state["skipped"]


def steps_of_epoch(images: int, recipe: TrainingRecipe) -> int:
    """Optimizer steps an epoch. Raises UserError where the batch cannot be shared out or is larger than the data."""
    parts = world_size() * recipe.accumulate
    if recipe.batch_size % parts:
        below = recipe.batch_size // parts * parts
        raise UserError(
            f"--batch_size {recipe.batch_size}: not divisible by {world_size()} processes x --accumulate {recipe.accumulate}; "
            f"use {below or parts} or {below + parts}"
        )
    if images < recipe.batch_size:
        raise UserError(
            f"--batch_size {recipe.batch_size}: more images a step than the training data have in all ({images})"
        )
    return images // recipe.batch_size


def exchanging(module: nn.Module, device: torch.device) -> nn.Module:
    """The module as it is when alone, otherwise in DistributedDataParallel, which averages gradients over the processes."""
    if world_size() == 1:
        return module
    return DistributedDataParallel(module, [device.index] if device.type == "cuda" else None)


def prepare(model: nn.Module, recipe: TrainingRecipe) -> None:
    """Give the backbone the recipe's BatchNorm momentum and dropout."""
    for module in model.modules():
        if isinstance(module, _BatchNorm):
            module.momentum = recipe.bn_momentum
        elif isinstance(module, nn.Dropout2d):
            module.p = recipe.dropout


def embedding_size(model: nn.Module) -> int:
    """How many values an embedding has: the width of the last BatchNorm."""
    return [module for module in model.modules() if isinstance(module, nn.BatchNorm1d)][-1].num_features
