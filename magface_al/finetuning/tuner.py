"""Fine-tuning on answered pairs: the data, one step, one epoch. The epochs themselves are in finetune_on_feedback.py.

BatchNorm and dropout stay in inference mode unless a recipe says otherwise: the iResNets carry BatchNorm momentum 0.9,
so one training-mode step replaces 90 % of the running statistics, and dropout 0.4 in front of the embedding layer.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import nn

from magface_al.command.errors import WorkError
from magface_al.embedding.embedder import CPU_BATCH, Embedder
from magface_al.faces.preprocess import Preprocessing, to_input
from magface_al.finetuning import losses
from magface_al.metrics.cosine import THRESHOLD, magnitudes, unit
from magface_al.metrics.roc import Figures, best_threshold, confusion
from magface_al.models.backbones import trainable_modules
from magface_al.models.device import keep_freed_memory, mixed_precision
from magface_al.pairs.pair_file import SAME, Pair
from magface_al.pairs.people import given_names, image_identities
from magface_al.training.optimizer import average
from magface_al.training.schedules import warmup_cosine

LOSSES = ("adaptive", "logistic", "cosine", "contrastive")
RANKED_IMAGES = 2000  # of the validation people, at most: two million pairs


@dataclass(frozen=True)
class Recipe:
    """How to train; the defaults are what won in benchmarks/real_domain_shift.py."""

    loss: str = "adaptive"
    margin: float = 0.4  # contrastive: a Euclidean distance; cosine: a cosine
    threshold: float = THRESHOLD  # logistic and adaptive: the cosine at which decisions are taken
    lr: float = 1e-4
    epochs: int = 10
    batch_size: int = 16
    trainable: str = "all"
    batch_norm: str = "frozen"
    in_batch: float = 1.0  # weight of the softmax over the batch (adaptive)
    distill: float = 1.0  # weight of the pull to the original embeddings (adaptive)
    replay: float = 10.0  # weight of the same pull on the replay faces, where there are any
    weight_decay: float = 0.0
    warmup: float = 0.1  # share of all steps over which the learning rate rises
    clip: float = 1.0  # largest norm of the gradient
    ema: float = 0.0  # decay of the averaged weights that are validated and kept; 0: the weights themselves
    augment: bool = True
    seed: int = 42


@dataclass(frozen=True)
class AnsweredPairs:
    """Pairs as indices into their images uint8 [M, size, size, 3] BGR, which are held in memory (38 kB each).

    names [M]; first, second int64 [N]; same bool [N]; groups int64 [M], equal where two images are known to show one
    person; named bool [M]: a pair says who is on the image; pairs [N] as they stand in the file. The last `replay` faces are
    of no pair and have no name or group: faces nobody answered about, on which the model must stay as it is.
    """

    names: list[str]
    faces: np.ndarray
    first: np.ndarray
    second: np.ndarray
    same: np.ndarray
    groups: np.ndarray
    named: np.ndarray
    pairs: Sequence[Pair]
    replay: int = 0

    def similarities(self, embeddings: np.ndarray) -> np.ndarray:
        """Raw embeddings [M, D] of the images -> cosine of each pair, float32 [N]."""
        directions = unit(embeddings)
        return np.einsum("nd,nd->n", directions[self.first], directions[self.second])

    def every_pair(self, embeddings: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(cosine, same), float32 and bool [K], of all pairs of the images whose people are named, and of the answered pairs
        of the others: a hundred named images have 4,950 pairs, and rank two models that 50 answers cannot tell apart."""
        directions, named = unit(embeddings), np.flatnonzero(self.named)[:RANKED_IMAGES]
        i, j = np.triu_indices(len(named), 1)
        others = ~(self.named[self.first] & self.named[self.second])
        cosine = np.concatenate(
            [(directions[named] @ directions[named].T)[i, j], self.similarities(embeddings)[others]]
        )
        return cosine, np.concatenate([self.groups[named][i] == self.groups[named][j], self.same[others]])


def index_pairs(
    pairs: Sequence[Pair], faces: dict[str, np.ndarray], replay: Sequence[np.ndarray] = ()
) -> AnsweredPairs:
    """Index pairs, all of whose images must be in `faces` (name -> uint8 [size, size, 3]); replay as in AnsweredPairs."""
    names = list(dict.fromkeys(name for pair in pairs for name in (pair.image1, pair.image2)))
    row = {name: k for k, name in enumerate(names)}
    identity, known = image_identities(pairs), given_names(pairs)
    return AnsweredPairs(
        names=names,
        faces=np.stack([*(faces[name] for name in names), *replay]),
        first=np.array([row[pair.image1] for pair in pairs]),
        second=np.array([row[pair.image2] for pair in pairs]),
        same=np.array([pair.label == SAME for pair in pairs]),
        groups=np.unique([identity[name] for name in names], return_inverse=True)[1],
        named=np.array([name in known for name in names]),
        pairs=pairs,
        replay=len(replay),
    )


def balanced_batches(same: np.ndarray, batch_size: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Indices of one epoch, half of each batch same and half different where both exist; the rarer kind is repeated."""
    kinds = [rng.permutation(kind) for kind in (np.flatnonzero(same), np.flatnonzero(~same)) if len(kind)]
    longest = max(map(len, kinds))
    repeated = [
        np.concatenate([rng.permutation(kind) for _ in range(-(-longest // len(kind)))])[:longest] for kind in kinds
    ]
    mixed = np.stack(repeated, 1).reshape(-1)  # same, different, same, different, ...
    for start in range(0, len(mixed), batch_size):
        yield mixed[start : start + batch_size]


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
        self.activations = self._trunk() if recipe.trainable == "head" else None
        self.step = 0
        self.steps = recipe.epochs * math.ceil(2 * max(data.same.sum(), (~data.same).sum()) / recipe.batch_size)

    @torch.inference_mode()
    def _trunk(self) -> torch.Tensor:
        """The frozen trunk's activations float32 [M, C, 7, 7] of every image, computed once."""
        blocks = torch.from_numpy(self.data.faces).split(CPU_BATCH)
        return torch.cat(
            [self.model.trunk(to_input(faces.to(self.device), self.preprocessing)) for faces in blocks]
        ).clone()

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
        same = torch.as_tensor(data.same[batch], device=self.device)
        loss = self._pair_loss(raw[: 2 * count], rows[: 2 * count], same)
        if data.replay:
            loss = loss + recipe.replay * losses.distillation(raw[2 * count :], self.teacher[rows[2 * count :]])
        return loss

    def _pair_loss(self, raw: torch.Tensor, rows: torch.Tensor, same: torch.Tensor) -> torch.Tensor:
        """raw [2B, D]: the embeddings of the images `rows`, the first ones of all B pairs before the second ones."""
        directions = nn.functional.normalize(raw)
        first, second = directions.chunk(2)
        recipe = self.recipe
        if recipe.loss == "contrastive":
            return losses.contrastive_euclidean(first, second, same, recipe.margin)
        if recipe.loss == "cosine":
            return losses.contrastive_cosine(first, second, same, recipe.margin)
        loss = losses.logistic(first, second, same, recipe.threshold)
        if recipe.loss == "adaptive":
            loss = loss + recipe.in_batch * losses.in_batch(directions, self.groups[rows])
            loss = loss + recipe.distill * losses.distillation(raw, self.teacher[rows])
        return loss

    def _embed(self, rows: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
        """Raw embeddings float32 [B, D] of the images `rows`, with gradients."""
        if self.activations is not None:
            return self.model.head(self.activations[rows])
        faces = torch.from_numpy(self.data.faces)[rows.cpu()].to(self.device)
        if self.recipe.augment:
            faces = mirrored_at_random(faces, rng)
        with mixed_precision(self.device):
            return self.model(to_input(faces, self.preprocessing)).float()

    def state_dict(self) -> dict[str, Any]:
        """Everything that the next epoch depends on; the random order follows from the seed."""
        return {
            "model": self.model.state_dict(),
            "averaged": self.averaged.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where `state_dict` was taken."""
        self.model.load_state_dict(state["model"])
        self.averaged.load_state_dict(state["averaged"])
        self.optimizer.load_state_dict(state["optimizer"])


def validate(embedder: Embedder, pairs: AnsweredPairs, threshold: float) -> dict[str, float | None]:
    """val_auc and val_eer over every pair of the validation images (see AnsweredPairs.every_pair); of the answered pairs
    val_accuracy at the threshold and the threshold at which they are told apart best; and the images' median magnitude,
    which should not drift: it is their quality score."""
    embeddings = embedder(pairs.faces)
    ranked, answered = Figures(*pairs.every_pair(embeddings), threshold)(), pairs.similarities(embeddings)
    return {
        "val_auc": ranked["auc"],
        "val_eer": ranked["eer"],
        "val_accuracy": confusion(answered, pairs.same, threshold).accuracy,
        "val_best_threshold": best_threshold(answered, pairs.same)[0],
        "val_magnitude": float(np.median(magnitudes(embeddings))),
    }


def doubtful_answers(pairs: AnsweredPairs, embeddings: np.ndarray, threshold: float, most: int = 50) -> list[Pair]:
    """The answers that a model contradicts most, worst first: wrong answers are expected, and stand out here.

    embeddings float [M, D]: the model's raw embeddings of pairs.faces.
    """
    similarity = pairs.similarities(embeddings)
    doubt = np.where(pairs.same, threshold - similarity, similarity - threshold)
    worst = [row for row in np.argsort(-doubt, kind="stable")[:most] if doubt[row] > 0]
    return [
        replace(pairs.pairs[row], extra={**pairs.pairs[row].extra, "similarity": round(float(similarity[row]), 6)})
        for row in worst
    ]
