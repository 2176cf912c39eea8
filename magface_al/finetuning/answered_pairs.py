"""Answered pairs as arrays: what is learnt from and validated on, what their scores rank, and batches of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from magface_al.metrics.cosine import unit
from magface_al.pairs.chosen import mined
from magface_al.pairs.pair_file import SAME, Pair
from magface_al.pairs.people import given_names, image_identities

RANKED_IMAGES = 2000  # of the validation people, at most: two million pairs


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
        cosine: np.ndarray = np.einsum("nd,nd->n", directions[self.first], directions[self.second])
        return cosine

    def every_pair(self, embeddings: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(cosine, same), float32 and bool [K], of all pairs of the images whose people are named, and of the answered pairs
        of the others: a hundred named images have 4,950 pairs, and rank two models that 50 answers cannot tell apart."""
        directions, named = unit(embeddings), np.flatnonzero(self.named)[:RANKED_IMAGES]
        i, j = np.triu_indices(len(named), 1)
        others = self._of_others()
        cosine = np.concatenate(
            [(directions[named] @ directions[named].T)[i, j], self.similarities(embeddings)[others]]
        )
        return cosine, np.concatenate([self.groups[named][i] == self.groups[named][j], self.same[others]])

    def ranked(self) -> str:
        """What every_pair ranks, in words."""
        if np.count_nonzero(self.named) < 2:
            return self.answered()
        more = ", and the answered pairs of the others" if self._of_others().any() else ""
        return f"every pair of the named validation images{more}"

    def answered(self) -> str:
        """The pairs themselves, in words: also whether a model's errors chose them."""
        chosen = int(mined(self.pairs).sum())
        by = f" ({chosen} of {len(self.pairs)} chosen by a model's errors)" if chosen else ""
        return f"the answered validation pairs{by}"

    def _of_others(self) -> np.ndarray:
        """bool [N]: the pairs with an image whose person has no name."""
        both: np.ndarray = self.named[self.first] & self.named[self.second]
        return ~both


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
