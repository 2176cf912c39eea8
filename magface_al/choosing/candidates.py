"""One pass over all pairs of a feature store, in bounded memory: the pairs that may be worth a question.

The similarities are computed a block of rows at a time and only three small things are kept: the pairs nearest the
threshold, every image's nearest neighbours, and how many pairs there are in each stratum of similarity (with the pairs
themselves where they are few). Similarity is the cosine. Pairs are int64 [K, 2] with i < j.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from magface_al.choosing.mining import pair_cosines
from magface_al.metrics.cosine import unit

ELEMENTS = 2**24  # similarities held at a time, 64 MB
NEIGHBOURS = 10  # kept per image

Found = tuple[np.ndarray, np.ndarray]  # pairs int64 [K, 2], similarity float32 [K]


@dataclass(frozen=True)
class Scan:
    """near: the pairs nearest the threshold. neighbours int64 [N, k] of each image, nearest first, and their similarity
    float32 [N, k]. strata int64 [S]: the number of pairs in each. listed: all pairs of the strata that were to be listed.
    """

    near: Found
    neighbours: np.ndarray
    neighbour_similarity: np.ndarray
    strata: np.ndarray
    listed: dict[int, Found]


def scan(
    faces: torch.Tensor,
    threshold: float,
    near: int,
    edges: Sequence[float] = (),
    listed: Sequence[int] = (),
    progress: Callable[[int], object] = lambda rows: None,
) -> Scan:
    """Look at every pair once.

    faces float32 [N, D] of length-1 rows, on the device to compute on; near: how many pairs nearest the threshold are
    kept. edges, falling, part the similarities into len(edges) + 1 strata: stratum 0 is above edges[0], stratum s is
    above edges[s] up to and including edges[s - 1]. All pairs of the strata `listed` are kept: they should be few.
    """
    total, rows = len(faces), max(1, ELEMENTS // len(faces))
    bounds = [2.0, *map(float, edges), -2.0]
    above = np.zeros(len(edges), np.int64)
    nearest = _Nearest(threshold, near)
    parts: dict[int, list[Found]] = {s: [] for s in listed}
    neighbours, similarity = [], []
    for start in range(0, total, rows):
        block = faces[start : start + rows] @ faces.T
        own = torch.arange(len(block), device=faces.device)
        block[own, own + start] = -3.0  # an image is no neighbour of itself
        top = block.topk(min(NEIGHBOURS, total - 1))
        neighbours.append(top.indices.cpu().numpy())
        similarity.append(top.values.cpu().numpy())
        upper = block[:, start:]  # (i, j) and (j, i) are one pair
        upper[:, : len(block)].masked_fill_(own[:, None] >= own[None, :], -3.0)
        above += np.array([int(torch.count_nonzero(upper > edge)) for edge in bounds[1:-1]], np.int64)
        nearest.add(upper, start)
        for s, found in parts.items():
            found.append(_pairs(upper, (upper > bounds[s + 1]) & (upper <= bounds[s]), start))
        progress(len(block))
    counts = np.diff([0, *above.tolist(), total * (total - 1) // 2])
    listed_whole = {s: _joined(found) for s, found in parts.items()}
    return Scan(nearest.result(), np.concatenate(neighbours), np.concatenate(similarity), counts, listed_whole)


def _joined(parts: Sequence[Found]) -> Found:
    return np.concatenate([pairs for pairs, _ in parts]), np.concatenate([similarity for _, similarity in parts])


def _pairs(upper: torch.Tensor, chosen: torch.Tensor, start: int) -> Found:
    """The chosen entries of the part of the matrix whose first row and column are image `start`."""
    hits = torch.nonzero(chosen)
    return (hits + start).cpu().numpy(), upper[tuple(hits.T)].cpu().numpy()


class _Nearest:
    """The `count` pairs nearest the threshold so far. The farthest of them is a radius that shrinks from block to block."""

    def __init__(self, threshold: float, count: int) -> None:
        self.threshold, self.count, self.radius = threshold, count, 4.0
        self.pairs, self.similarity = np.empty((0, 2), np.int64), np.empty(0, np.float32)

    def add(self, upper: torch.Tensor, start: int) -> None:
        """upper: a block in which what is no pair stands below -2; start: the image of its first row and column."""
        if self.radius > 2:  # nothing known yet: of one block no more than `count` can be wanted, ties aside
            distance = (upper - self.threshold).abs().masked_fill_(upper < -2, 9.0).flatten()
            if len(distance) > self.count:
                self.radius = min(2.0, float(distance.kthvalue(self.count).values))
        found = _pairs(
            upper,
            (upper >= self.threshold - self.radius) & (upper <= self.threshold + self.radius) & (upper > -2),
            start,
        )
        self.pairs = np.concatenate([self.pairs, found[0]])
        self.similarity = np.concatenate([self.similarity, found[1]])
        if len(self.pairs) > 2 * self.count:
            self._cut()

    def _cut(self) -> None:
        distance = np.abs(self.similarity - np.float32(self.threshold))
        order = np.lexsort((self.pairs[:, 1], self.pairs[:, 0], distance))[: self.count]
        self.pairs, self.similarity = self.pairs[order], self.similarity[order]
        if len(order) == self.count:
            self.radius = float(distance[order[-1]]) + 1e-6  # ties, and the rounding of threshold +- radius

    def result(self) -> Found:
        self._cut()
        return self.pairs, self.similarity


@dataclass(frozen=True)
class Candidates:
    """Pairs int64 [K, 2] that may be asked about, none twice, and what is known of them without any answer.

    similarity, relative float32 [K]: the cosine, and how far it exceeds what the two images have in common with their
    nearest neighbours anyway; magnitude float32 [K], of the poorer image; unit float32 [N, D], all embeddings. given
    bool [K]: whether their folders or a list call the two images one person; None if nobody has named them.
    """

    pairs: np.ndarray
    similarity: np.ndarray
    relative: np.ndarray
    magnitude: np.ndarray
    unit: np.ndarray
    given: np.ndarray | None

    def __len__(self) -> int:
        return len(self.pairs)

    def where(self, chosen: np.ndarray) -> Candidates:
        """Those of a bool mask or of indices."""
        return replace(
            self,
            pairs=self.pairs[chosen],
            similarity=self.similarity[chosen],
            relative=self.relative[chosen],
            magnitude=self.magnitude[chosen],
            given=None if self.given is None else self.given[chosen],
        )

    def middles(self) -> np.ndarray:
        """float32 [K, D] of length 1: where in the embedding space each pair lies."""
        return unit(self.unit[self.pairs[:, 0]] + self.unit[self.pairs[:, 1]])


def candidates(
    directions: np.ndarray,
    magnitude: np.ndarray,
    scanned: Scan,
    identity: np.ndarray | None = None,
    more: Sequence[np.ndarray] = (),
) -> Candidates:
    """The pairs nearest the threshold, every image with its neighbours, and `more` pairs [K, 2].

    directions float32 [N, D] of length 1, magnitude float32 [N], identity int [N] where images have been named.

    The relative similarity is s(i, j) - (r(i) + r(j)) / 2, r being the mean similarity to the nearest neighbours:
    halved CSLS of Conneau et al. 2018 (arXiv 1710.04087). A face that resembles everybody has a large r, so that its
    high similarities say little.
    """
    count, k = scanned.neighbours.shape
    own = np.stack([np.repeat(np.arange(count), k), scanned.neighbours.ravel()], axis=1)
    pairs = np.unique(np.sort(np.concatenate([scanned.near[0], own, *more]), axis=1), axis=0)
    similarity = pair_cosines(directions, pairs)
    common = scanned.neighbour_similarity.mean(axis=1)
    return Candidates(
        pairs=pairs,
        similarity=similarity,
        relative=similarity - common[pairs].mean(axis=1),
        magnitude=magnitude[pairs].min(axis=1),
        unit=directions,
        given=None if identity is None else identity[pairs[:, 0]] == identity[pairs[:, 1]],
    )
