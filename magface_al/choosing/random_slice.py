"""A random slice of questions with known inclusion probabilities.

Pairs chosen because they are hard say nothing about how often the model errs. Here all pairs are parted into strata of
similarity, the rare high ones small and the mass of plain strangers in one, and each stratum is sampled at random with
about as many questions. Pairs whose label is known already are no part of the strata. error_estimate.py reads the answers.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

from magface_al.choosing.asked import Known
from magface_al.choosing.mining import pair_cosines, random_impostors

if TYPE_CHECKING:
    from magface_al.choosing.candidates import Scan

PILOT = 1_000_000  # random pairs whose similarities place the strata's edges; all pairs where there are fewer
LISTED = 2_000_000  # a stratum of up to about so many pairs is listed whole, a larger one is sampled by drawing
DRAWN_AT_ONCE = 200_000
NEIGHBOURS_EACH = 5


@dataclass(frozen=True)
class Strata:
    """edges, falling cosines, as candidates.scan takes them; listed: which of the strata between them are small enough to
    be listed. Pairs of nearest neighbours are strata of their own, two of them, parted at the threshold."""

    edges: list[float]
    listed: list[int]
    threshold: float

    def of(self, similarity: np.ndarray) -> np.ndarray:
        """int64 [K]: the stratum of each similarity; AT an edge is below it."""
        return len(self.edges) - np.searchsorted(np.array(self.edges[::-1]), similarity, side="left")

    def name(self, stratum: int) -> str:
        """For the pairs file: "0.4 < cosine <= 0.52", or "neighbours, cosine > 0.4"."""
        beyond = stratum - len(self.edges) - 1
        if beyond >= 0:
            return f"neighbours, cosine {('>', '<=')[beyond]} {self.threshold:.4g}"
        bounds = [1.0, *self.edges, -1.0]
        return f"{bounds[stratum + 1]:.4g} < cosine <= {bounds[stratum]:.4g}"


@dataclass(frozen=True)
class RandomSlice:
    """pairs int64 [K, 2]; similarity float32 [K]; stratum int64 [K]; size int64 [K], the pairs in each one's stratum;
    probability float [K], with which each one was drawn."""

    pairs: np.ndarray
    similarity: np.ndarray
    stratum: np.ndarray
    size: np.ndarray
    probability: np.ndarray

    def records(self, strata: Strata) -> list[dict[str, Any]]:
        """What the pairs file says of each pair besides its images: error_estimate.py reads it."""
        drawn = zip(self.stratum.tolist(), self.size.tolist(), self.probability.tolist(), strict=True)
        return [
            {"holdout": True, "stratum": strata.name(stratum), "stratum_pairs": size, "inclusion_probability": share}
            for stratum, size, share in drawn
        ]


def plan_strata(unit: np.ndarray, threshold: float, count: int, rng: np.random.Generator) -> Strata:
    """Edges for a slice of `count` pairs of the N images unit float32 [N, D].

    The threshold is an edge, so that false matches lie in strata of their own; above it the pairs are halved; below it
    come the next 20 N pairs, then all others. Fewer than 10 questions get one edge, fewer than 5 none.
    """
    total = len(unit) * (len(unit) - 1) // 2
    pairs = np.stack(np.triu_indices(len(unit), 1), 1) if total <= PILOT else _random_pairs(len(unit), PILOT, rng)
    falling = np.sort(pair_cosines(unit, pairs))[::-1]
    above = int(np.count_nonzero(falling > threshold))
    wanted = [threshold] if count >= 5 else []
    if count >= 10:
        share = len(falling) / total
        ranks = [above // 2, above + round(20 * len(unit) * share)]
        wanted += [float(falling[rank]) for rank in ranks if rank < len(falling)]
    edges = sorted({round(edge, 4) for edge in wanted}, reverse=True)
    shares = np.diff([0, *(np.count_nonzero(falling > edge) for edge in edges), len(falling)]) / len(falling)
    return Strata(edges, [s for s, share in enumerate(shares) if share * total <= LISTED], threshold)


def draw_slice(
    unit: np.ndarray, scanned: Scan, strata: Strata, known: Known, count: int, rng: np.random.Generator
) -> RandomSlice:
    """`count` pairs, spread evenly over the strata, none of them asked before or implied. Fewer if there are fewer.

    scanned must come from the same edges and listed strata. Neighbours are where most pairs of one person are, so without
    strata of their own hardly any would be drawn.
    """
    k = min(NEIGHBOURS_EACH, scanned.neighbours.shape[1])
    pairs = np.stack([np.repeat(np.arange(len(unit)), k), scanned.neighbours[:, :k].ravel()], 1)
    near = _Near(unit, np.unique(np.sort(pairs, axis=1), axis=0), known, strata.threshold)
    sizes = scanned.strata.copy()
    unanswered = known.asked[~known.implies(known.asked)]
    implied = (pairs for pairs, _ in known.implied())
    for gone in chain([unanswered, *near.parts], implied):  # no pair is in two of them
        sizes -= np.bincount(strata.of(pair_cosines(unit, gone)), minlength=len(sizes))
    lists = {s: found[~near.excludes(found)] for s, (found, _) in scanned.listed.items()}
    lists |= {len(sizes) + k: found for k, found in enumerate(near.parts)}
    sizes = np.array([len(lists[s]) if s in lists else max(0, sizes[s]) for s in range(len(sizes) + 2)])
    chosen = [
        lists[s][rng.permutation(len(lists[s]))[:quota]] if s in lists else _drawn(unit, strata, s, near, quota, rng)
        for s, quota in enumerate(allocate(sizes, count))
    ]
    stratum = np.repeat(np.arange(len(sizes)), [len(found) for found in chosen])
    found = np.concatenate(chosen)
    taken = np.bincount(stratum, minlength=len(sizes))
    probability = (taken / np.maximum(sizes, 1))[stratum]
    return RandomSlice(found, pair_cosines(unit, found), stratum, sizes[stratum], probability)


class _Near:
    """The pairs of nearest neighbours that nobody has been asked about: parts, those above the threshold and those below."""

    def __init__(self, unit: np.ndarray, pairs: np.ndarray, known: Known, threshold: float) -> None:
        self.known = known
        self._keys = known.keys(pairs)
        free = pairs[~known.covers(pairs)]
        above = pair_cosines(unit, free) > threshold
        self.parts = [free[above], free[~above]]

    def excludes(self, pairs: np.ndarray) -> np.ndarray:
        """bool [K]: pairs that belong to no stratum of similarity: known ones and neighbours."""
        return np.asarray(self.known.covers(pairs) | np.isin(self.known.keys(pairs), self._keys))


def allocate(sizes: np.ndarray, count: int) -> np.ndarray:
    """How many to take from each stratum of the given sizes: as even as they allow, the first ones before the last."""
    quotas = np.zeros(len(sizes), np.int64)
    for _ in range(min(count, int(sizes.sum()))):
        room = np.where(quotas < sizes, quotas, np.iinfo(np.int64).max)
        quotas[room.argmin()] += 1
    return quotas


def _random_pairs(images: int, count: int, rng: np.random.Generator) -> np.ndarray:
    return random_impostors(np.arange(images), count, rng)  # every image taken for a person of its own


def _drawn(
    unit: np.ndarray, strata: Strata, stratum: int, near: _Near, quota: int, rng: np.random.Generator
) -> np.ndarray:
    """`quota` distinct pairs of a large stratum: random pairs of all images, kept if they lie in it."""
    found = np.empty((0, 2), np.int64)
    while len(found) < quota:
        pairs = _random_pairs(len(unit), DRAWN_AT_ONCE, rng)
        pairs = pairs[(strata.of(pair_cosines(unit, pairs)) == stratum) & ~near.excludes(pairs)]
        new = np.concatenate([found, pairs])
        found = new[np.sort(np.unique(new, axis=0, return_index=True)[1])]
    return found[:quota]
