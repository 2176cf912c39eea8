"""One step and one epoch of fine-tuning on answered pairs; epochs.py runs them.

BatchNorm and dropout stay in inference mode unless a recipe says otherwise: the iResNets carry BatchNorm momentum 0.9,
so one training-mode step replaces 90 % of the running statistics, and dropout 0.4 in front of the embedding layer.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import nn

from magface_al.command.errors import WorkError
from magface_al.embedding.embedder import CPU_BATCH
from magface_al.faces.preprocess import Preprocessing, to_input
from magface_al.finetuning import losses
from magface_al.finetuning.answered_pairs import AnsweredPairs, balanced_batches
from magface_al.finetuning.recipe import LOSSES, Recipe
from magface_al.models.backbones import trainable_modules
from magface_al.models.device import keep_freed_memory, mixed_precision
from magface_al.training.optimizer import average
from magface_al.training.schedules import warmup_cosine

PairLoss = Callable[[losses.EmbeddedPairs, Recipe], torch.Tensor]


def mirrored_at_random(faces: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """uint8 [B, H, W, 3] -> the same with every second face, at random, mirrored."""
    flip = torch.as_tensor(rng.random(len(faces)) < 0.5, device=faces.device)
    return torch.where(flip[:, None, None, None], faces.flip(2), faces)


class FineTuner:
    """A backbone in training on a device, its optimizer, and the original embeddings that it is tied to.

    teacher float [M, D]: the raw embeddings of data.faces before training.
    """

    def __init__(
        self,
        model: nn.Module,
        preprocessing: Preprocessing,
        data: AnsweredPairs,
        teacher: np.ndarray,
        recipe: Recipe,
        device: torch.device,
    ) -> None:
        if device.type == "cpu":
            keep_freed_memory()
        self.recipe, self.data, self.device, self.preprocessing = recipe, data, device, preprocessing
        self.model = model.to(device)
        self.model.requires_grad_(False)
        for part in trainable_modules(self.model, recipe.trainable):
            part.requires_grad_(True)
        self.parameters = [p for p in self.model.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(self.parameters, lr=recipe.lr, weight_decay=recipe.weight_decay)
        self.averaged = copy.deepcopy(self.model) if recipe.ema else self.model  # what is validated and kept
        self.teacher = torch.as_tensor(teacher, device=device)
        self.groups = torch.as_tensor(data.groups, device=device)
        self.pair_loss: PairLoss = getattr(losses, LOSSES[recipe.loss].function)
        self.activations = self._trunk() if recipe.trainable == "head" else None
        self.step = 0
        self.steps = recipe.epochs * math.ceil(2 * max(data.same.sum(), (~data.same).sum()) / recipe.batch_size)

    @torch.inference_mode()
    def _trunk(self) -> torch.Tensor:
        """The frozen trunk's activations float32 [M, C, 7, 7] of every image, computed once."""
        trunk: Any = self.model.trunk  # every backbone has it, see architectures.py
        blocks = torch.from_numpy(self.data.faces).split(CPU_BATCH)
        return torch.cat([trunk(to_input(faces.to(self.device), self.preprocessing)) for faces in blocks]).clone()

    def epoch(self, number: int) -> Iterator[float]:
        """Train epoch `number` (from 1), yielding the loss of each step. Raises WorkError when a loss is not finite.

        The order and the mirroring depend on the seed and the epoch alone, so a resumed run repeats them exactly.
        """
        rng = np.random.default_rng([self.recipe.seed, number])
        torch.manual_seed(self.recipe.seed + number)  # only dropout draws from it, and only with batch_norm="train"
        self.model.train(self.recipe.batch_norm == "train")
        self.step = (number - 1) * (self.steps // self.recipe.epochs)
        for batch in balanced_batches(self.data.same, self.recipe.batch_size, rng):
            for group in self.optimizer.param_groups:
                group["lr"] = self.recipe.lr * warmup_cosine(self.step, self.steps, self.recipe.warmup)
            loss = self.loss(batch, rng)
            if not torch.isfinite(loss):
                raise WorkError(
                    f"the loss is {loss.item()} in epoch {number}, step {self.step}; the epochs before are kept; try a lower --lr"
                )
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(self.parameters, self.recipe.clip)
            self.optimizer.step()
            if self.averaged is not self.model:
                average(self.averaged, self.model, self.recipe.ema, self.step)
            self.step += 1
            yield float(loss.detach())
        self.model.eval()

    def loss(self, batch: np.ndarray, rng: np.random.Generator) -> torch.Tensor:
        """The loss of the pairs `batch`, int64 [B]; all images of the step go through the network at once."""
        data, recipe = self.data, self.recipe
        count, total = len(batch), len(data.faces)
        replayed = rng.integers(total - data.replay, total, size=count if data.replay else 0)
        rows = torch.from_numpy(np.concatenate([data.first[batch], data.second[batch], replayed])).to(self.device)
        raw = self._embed(rows, rng)
        paired = rows[: 2 * count]
        same = torch.as_tensor(data.same[batch], device=self.device)
        pairs = losses.EmbeddedPairs(raw[: 2 * count], self.teacher[paired], self.groups[paired], same)
        loss = self.pair_loss(pairs, recipe)
        if data.replay:
            loss = loss + recipe.replay * losses.distillation(raw[2 * count :], self.teacher[rows[2 * count :]])
        return loss

    def _embed(self, rows: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
        """Raw embeddings float32 [B, D] of the images `rows`, with gradients."""
        model: Any = self.model
        embedded: torch.Tensor
        if self.activations is not None:
            embedded = model.head(self.activations[rows])
            return embedded
        faces = torch.from_numpy(self.data.faces)[rows.cpu()].to(self.device)
        if self.recipe.augment:
            faces = mirrored_at_random(faces, rng)
        with mixed_precision(self.device):
            embedded = model(to_input(faces, self.preprocessing))
        return embedded.float()

    def own_weights(self) -> dict[str, Any]:
        """The network and its average."""
        return {"model": self.model.state_dict(), "averaged": self.averaged.state_dict()}

    def own_state(self) -> dict[str, Any]:
        """What the optimizer remembers."""
        return {"optimizer": self.optimizer.state_dict()["state"]}

    def state_dict(self) -> dict[str, Any]:
        """Everything that the next epoch depends on; the random order follows from the seed."""
        return self.own_weights() | {"optimizer": self.optimizer.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where `state_dict` was taken. Raises ValueError for a step that never was."""
        steps = [float(of_one["step"]) for of_one in state["optimizer"]["state"].values()]
        if not all(0 < step < 2**40 for step in steps):
            raise ValueError("an optimizer's step is no step")
        self.model.load_state_dict(state["model"])
        self.averaged.load_state_dict(state["averaged"])
        own = self.optimizer.state_dict()["param_groups"]  # the recipe's, not what a file says of it
        self.optimizer.load_state_dict({**state["optimizer"], "param_groups": own})
