"""Choose pairs from embeddings: the hardest ones exactly, the documented random recipe, or plain random ones.

Hard genuine pairs have the lowest cosine inside an identity, hard impostor pairs the highest cosine across identities.
The exact search is a matrix product block by block, on the CPU or a GPU; no N x N matrix is ever held. Every function
returns (pairs int64 [K, 2] with i < j, similarity float32 [K]), hardest first, no pair twice; equal similarities are
ordered by (i, j), so that a seed gives the same pairs everywhere. Only the exact search imports torch.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch

Mined = tuple[np.ndarray, np.ndarray]

BLOCK = 1024  # rows of the similarity matrix held at a time
FIRST_BLOCK = 64  # of the first one, all of whose pairs are candidates because no threshold is known yet
SLACK = 4  # candidates mined per pair wanted when caps will throw some away


def hardest_impostors(
    unit: torch.Tensor, identity: np.ndarray, count: int, progress: Callable[[int], object] = lambda rows: None
) -> Mined:
    """The `count` most similar pairs of different identities, over all pairs.

    unit float32 [N, D] of length-1 rows, on the device to compute on; identity int [N]; progress is told the rows done.
    The worst similarity still wanted is a threshold that rises from block to block and lets nearly every pair go.
    """
    import torch  # the other ways to choose, and the parsers, do without

    people = torch.as_tensor(identity, device=unit.device)
    kept = torch.empty(0, device=unit.device)
    pairs = torch.empty((0, 2), dtype=torch.int64, device=unit.device)
    threshold = -2.0
    start = 0
    while start < len(unit):
        rows = BLOCK if start else FIRST_BLOCK
        block = unit[start : start + rows] @ unit[start:].T  # the upper triangle: (i, j) and (j, i) are one pair
        hits = torch.nonzero(block >= threshold)
        i, j = (hits + start).unbind(1)
        valid = (i < j) & (people[i] != people[j])
        kept = torch.cat([kept, block[tuple(hits[valid].T)]])
        pairs = torch.cat([pairs, hits[valid] + start])
        if len(kept) > count:
            threshold = float(kept.topk(count).values[-1]) if count else 2.0
            keep = kept >= threshold  # ties stay until the end, where (i, j) decides
            kept, pairs = kept[keep], pairs[keep]
        progress(len(block))
        start += rows
    return _ordered(pairs.cpu().numpy(), kept.cpu().numpy(), count, hardest_is_high=True)


def hardest_genuines(unit: torch.Tensor, identity: np.ndarray, count: int) -> Mined:
    """The `count` least similar pairs of one identity, over all such pairs; arguments as in hardest_impostors."""
    import torch  # as above

    pairs, similarity = [np.empty((0, 2), np.int64)], [np.empty(0, np.float32)]
    order = np.argsort(identity, kind="stable")
    for members in np.split(order, np.flatnonzero(np.diff(identity[order])) + 1):
        if len(members) > 1:
            faces = unit[torch.as_tensor(members, device=unit.device)]
            upper = np.triu_indices(len(members), 1)
            pairs.append(np.stack([members[upper[0]], members[upper[1]]], 1))
            similarity.append((faces @ faces.T).cpu().numpy()[upper])
    return _ordered(np.concatenate(pairs), np.concatenate(similarity), count, hardest_is_high=False)


def sampled(
    unit: np.ndarray, identity: np.ndarray, genuines: int, impostors: int, candidates: int, rng: np.random.Generator
) -> tuple[Mined, Mined]:
    """The documented recipe: draw `candidates` times as many random pairs as wanted, keep the hardest (1 keeps them all).

    A pair that is drawn twice is drawn again, unlike in the recipe. Fewer are returned where fewer exist.
    """
    genuine = random_genuines(identity, genuines * candidates, rng)
    impostor = random_impostors(identity, impostors * candidates, rng)
    return (
        _ordered(genuine, pair_cosines(unit, genuine), genuines, hardest_is_high=False),
        _ordered(impostor, pair_cosines(unit, impostor), impostors, hardest_is_high=True),
    )


def random_genuines(identity: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Up to `count` distinct pairs of one identity, int64 [K, 2]: a random person with two images, then two of them."""
    order = np.argsort(identity, kind="stable")
    groups = [members for members in np.split(order, np.flatnonzero(np.diff(identity[order])) + 1) if len(members) > 1]
    if not groups:
        return np.empty((0, 2), np.int64)
    sizes = np.array([len(members) for members in groups])
    starts, flat = np.cumsum(sizes) - sizes, np.concatenate(groups)

    def draw(wanted: int) -> np.ndarray:
        group = rng.integers(len(groups), size=wanted)
        first = rng.integers(sizes[group])
        second = (first + rng.integers(1, sizes[group])) % sizes[group]
        return np.stack([flat[starts[group] + first], flat[starts[group] + second]], 1)

    return _distinct(draw, count, int((sizes * (sizes - 1) // 2).sum()), rng)


def random_impostors(identity: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Up to `count` distinct pairs of different identities, int64 [K, 2]."""

    def draw(wanted: int) -> np.ndarray:
        pairs = rng.integers(len(identity), size=(wanted, 2))
        return np.asarray(pairs[identity[pairs[:, 0]] != identity[pairs[:, 1]]])

    sizes = np.unique(identity, return_counts=True)[1].astype(np.int64)
    return _distinct(draw, count, int((len(identity) ** 2 - (sizes**2).sum()) // 2), rng)


def _distinct(draw: Callable[[int], np.ndarray], count: int, available: int, rng: np.random.Generator) -> np.ndarray:
    """Draw until there are `count` different pairs, or all that are available."""
    count = min(count, available)
    found = np.empty((0, 2), np.int64)
    while len(found) < count:
        found = np.unique(np.concatenate([found, np.sort(draw(2 * count + 16), axis=1)]), axis=0)
    return found[rng.permutation(len(found))[:count]]


def pair_cosines(unit: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """float32 [K]: the cosines of the pairs, a block at a time so that no [K, D] array is held."""
    blocks = [pairs[start : start + 65536] for start in range(0, len(pairs), 65536)]
    return np.concatenate(
        [np.einsum("nd,nd->n", unit[b[:, 0]], unit[b[:, 1]]) for b in blocks] or [np.empty(0, np.float32)]
    )


def _ordered(pairs: np.ndarray, similarity: np.ndarray, count: int, *, hardest_is_high: bool) -> Mined:
    """Sorted by hardness, then (i, j), and cut to `count`."""
    pairs = np.sort(pairs, axis=1)
    order = np.lexsort((pairs[:, 1], pairs[:, 0], -similarity if hardest_is_high else similarity))[:count]
    return pairs[order], similarity[order]


def capped(
    mine: Callable[[int], Mined], identity: np.ndarray, count: int, max_per_image: int, max_per_identity: int
) -> Mined:
    """The hardest pairs of which no image and no identity has more than its share (0: no limit).

    `mine(n)` gives the n hardest; it is asked for more until the caps leave `count` of them or there are no more.
    """
    wanted = count * SLACK if max_per_image or max_per_identity else count
    while True:
        mined = mine(wanted)
        chosen = _within_caps(mined[0], identity, count, max_per_image or wanted, max_per_identity or wanted)
        if len(chosen) == count or len(mined[0]) < wanted:
            return mined[0][chosen], mined[1][chosen]
        wanted *= SLACK


def _within_caps(
    pairs: np.ndarray, identity: np.ndarray, count: int, max_per_image: int, max_per_identity: int
) -> list[int]:
    """Rows taken greedily from the hardest on. A genuine pair counts once for its identity, an impostor pair for both."""
    images: Counter[int] = Counter()
    people: Counter[int] = Counter()
    chosen: list[int] = []
    for row, (i, j) in enumerate(pairs.tolist()):
        persons = {int(identity[i]), int(identity[j])}
        images_full = max(images[i], images[j]) >= max_per_image
        if not images_full and max(people[person] for person in persons) < max_per_identity:
            images.update((i, j))
            people.update(persons)
            chosen.append(row)
        if len(chosen) == count:
            break
    return chosen
