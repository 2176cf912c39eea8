"""The hardest pairs of images that have been named: what build_hard_pairs.py chooses. Imports no torch, so --help is instant."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from magface_al.choosing.mining import Mined, capped, hardest_genuines, hardest_impostors, sampled
from magface_al.pairs.chosen import BALANCED
from magface_al.pairs.pair_file import DIFFERENT, SAME, Pair

KINDS = {"same": SAME, "different": DIFFERENT}


@dataclass(frozen=True)
class HardWishes:
    """What a person asked for: the flags of build_hard_pairs.py of the same names. strategy: one of STRATEGIES."""

    strategy: str = "exact"
    pos_target: int = 6000
    neg_target: int = 6000
    candidate_mult: int = 6
    max_per_image: int = 20
    max_per_identity: int = 0


@dataclass(frozen=True)
class NamedImages:
    """Images `names` [N] which show `people` [N]; unit float32 [N, D] of length 1, their embeddings; device: for the exact search."""

    names: Sequence[str]
    people: Sequence[str]
    unit: np.ndarray
    device: str = "auto"  # as --device has it

    @cached_property
    def identity(self) -> np.ndarray:
        """int [N], equal where two images show one person."""
        return np.unique(self.people, return_inverse=True)[1]


def exact(images: NamedImages, wishes: HardWishes, rng: np.random.Generator) -> tuple[Mined, Mined]:
    """The hardest of all pairs that max_per_image and max_per_identity allow."""
    import torch  # not where only the wishes are read, nor for pairs that are drawn
    from tqdm import tqdm

    from magface_al.models.device import pick_device

    faces, identity = torch.as_tensor(images.unit, device=pick_device(images.device)), images.identity

    def genuines(count: int) -> Mined:
        return hardest_genuines(faces, identity, count)

    def impostors(count: int) -> Mined:
        with tqdm(total=len(faces), unit="image", desc="mining") as progress:
            return hardest_impostors(faces, identity, count, progress.update)

    caps = wishes.max_per_image, wishes.max_per_identity
    return (
        capped(genuines, identity, wishes.pos_target, *caps),
        capped(impostors, identity, wishes.neg_target, *caps),
    )


def hardest_drawn(images: NamedImages, wishes: HardWishes, rng: np.random.Generator) -> tuple[Mined, Mined]:
    """The hardest of candidate_mult times as many random pairs."""
    targets = wishes.pos_target, wishes.neg_target
    return sampled(images.unit, images.identity, *targets, wishes.candidate_mult, rng)


def balanced(images: NamedImages, wishes: HardWishes, rng: np.random.Generator) -> tuple[Mined, Mined]:
    """Random pairs."""
    return sampled(images.unit, images.identity, wishes.pos_target, wishes.neg_target, 1, rng)


class HardStrategy(NamedTuple):
    """How (same-person, different-person) pairs are chosen, what --help says of it, and which flags limit their number."""

    choose: Callable[[NamedImages, HardWishes, np.random.Generator], tuple[Mined, Mined]]
    sentence: str
    limits: str = ""


STRATEGIES = {
    "exact": HardStrategy(exact, "the hardest of all pairs", " within --max_per_image and --max_per_identity"),
    "sampled": HardStrategy(hardest_drawn, "the hardest of candidate_mult times as many random pairs"),
    BALANCED: HardStrategy(balanced, "random pairs"),
}


@dataclass(frozen=True)
class HardPairs:
    """The pairs chosen, in random order; hardness: the quantiles of the cosine of each kind of which there are any;
    shortfalls: sentences where there were fewer than wanted."""

    pairs: list[Pair]
    hardness: dict[str, dict[str, float]]
    shortfalls: list[str]


def choose_hard(images: NamedImages, wishes: HardWishes, rng: np.random.Generator) -> HardPairs:
    """Choose by the strategy wished for."""
    strategy = STRATEGIES[wishes.strategy]
    chosen = dict(zip(KINDS, strategy.choose(images, wishes, rng), strict=True))
    pairs = []
    for kind, (indices, similarity) in chosen.items():
        for (i, j), s in zip(indices.tolist(), similarity, strict=True):
            people = {"identity1": images.people[i], "identity2": images.people[j]}
            extra = {"similarity": round(float(s), 6), "strategy": wishes.strategy, **people}
            pairs.append(Pair(images.names[i], images.names[j], KINDS[kind], extra))
    rng.shuffle(pairs)
    wanted = dict(zip(KINDS, (wishes.pos_target, wishes.neg_target), strict=True))
    shortfalls = [
        f"only {len(similarity)} of the {wanted[kind]} {kind} pairs wanted exist{strategy.limits}"
        for kind, (_, similarity) in chosen.items()
        if len(similarity) < wanted[kind]
    ]
    hardness = {kind: _quantiles(similarity) for kind, (_, similarity) in chosen.items() if len(similarity)}
    return HardPairs(pairs, hardness, shortfalls)


def _quantiles(similarity: np.ndarray) -> dict[str, float]:
    values = np.quantile(similarity, [0, 0.25, 0.5, 0.75, 1])
    return {name: round(float(v), 4) for name, v in zip(("min", "q25", "median", "q75", "max"), values, strict=True)}
