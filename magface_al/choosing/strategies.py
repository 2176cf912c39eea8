"""Which of the candidate pairs to ask a person about: each strategy puts them in an order, the most useful first.

A strategy is a function (candidates, threshold, count, rng) -> rows of the candidates, int64 [at most K]; count is how
many will be asked, threshold the cosine at which the model decides. No strategy knows any answer. STRATEGIES names them
for choose_pairs.py, whose --help reads this file: it imports no torch.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from magface_al.command.errors import UserError
from magface_al.pairs.chosen import RANDOM

if TYPE_CHECKING:
    from magface_al.choosing.candidates import Candidates

POOL = 8  # likely pairs of one person, per question, among which `hardest` takes the least similar
SPREAD = 6  # promising pairs, per question, among which `diverse` spreads out
UNRECOGNISABLE = 0.2  # share of the candidates with the smallest magnitudes that `quality` never asks about
MIXED = "mix"  # no order of its own: some of each strategy of MIX
MIX = {"hardest": 0.4, "quality": 0.35, "uncertainty": 0.15, "diverse": 0.1}
MISLABELED_SHARE = 0.15  # of a mix, where images have been named


def random(c: Candidates, threshold: float, count: int, rng: np.random.Generator) -> np.ndarray:
    """The candidates in a random order. To be a baseline they must themselves be random pairs."""
    return rng.permutation(len(c))


def uncertainty(c: Candidates, threshold: float, count: int, rng: np.random.Generator) -> np.ndarray:
    """Nearest the threshold first."""
    return np.lexsort((c.pairs[:, 1], c.pairs[:, 0], np.abs(c.similarity - np.float32(threshold))))


def hardest(c: Candidates, threshold: float, count: int, rng: np.random.Generator) -> np.ndarray:
    """Where similarity and neighbourhood disagree most: the least similar of the pairs that their neighbourhoods call one
    person, and, every fourth, the pair above the threshold that its neighbourhood supports least.
    """
    likely = _falling(c.relative)[: min(POOL * count, len(c.unit))]  # true pairs are about as many as images
    misses = likely[np.argsort(c.similarity[likely], kind="stable")]
    alike = np.flatnonzero(c.similarity > threshold)
    false_matches = alike[np.argsort(c.relative[alike], kind="stable")]
    return interleaved(misses, false_matches, every=4)


def diverse(c: Candidates, threshold: float, count: int, rng: np.random.Generator) -> np.ndarray:
    """Spread over the embedding space: k-center (Gonzalez 1985) on the pairs' middles, among those hardest to call.

    The promising ones are those whose relative similarity is high (likely one person) and, as many, those nearest the
    threshold. The first centre is the most promising; each further one is the farthest from all centres before it.
    """
    promising = interleaved(_falling(c.relative), uncertainty(c, threshold, count, rng), every=2)[: SPREAD * count]
    middle = c.where(promising).middles()
    distance = np.full(len(middle), np.inf, np.float32)
    centres: list[int] = []
    for _ in range(min(count, len(middle))):
        centres.append(0 if not centres else int(distance.argmax()))
        distance = np.minimum(distance, 1 - middle @ middle[centres[-1]])
        distance[centres] = -1
    rest = np.setdiff1d(np.arange(len(promising)), centres)
    return np.asarray(promising[np.concatenate([np.array(centres, np.int64), rest])])


def quality(c: Candidates, threshold: float, count: int, rng: np.random.Generator) -> np.ndarray:
    """The hardest pairs that a person can recognise: without the smallest magnitudes, and the better the image the sooner.

    Raises UserError if all magnitudes are alike: the store was normalised, and has no quality to go by.
    """
    if not _graded(c):
        raise UserError(
            "strategy quality: all embeddings have one length, expected raw ones whose length is MagFace's quality; "
            "make the store with gen_features.py from MagFace weights, or choose another strategy"
        )
    rank = np.argsort(np.argsort(c.magnitude, kind="stable"), kind="stable") / max(1, len(c))
    seen = np.flatnonzero(rank >= UNRECOGNISABLE)
    order = seen[hardest(c.where(seen), threshold, count, rng)]
    return np.asarray(order[np.argsort((1 + np.arange(len(order))) / rank[order], kind="stable")])


def _graded(c: Candidates) -> bool:
    """Whether the magnitudes differ. Those of a normalised store do not, nor those of a single pair."""
    return len(c) > 0 and float(np.ptp(c.magnitude)) > 1e-3 * float(c.magnitude.max())


def mislabeled(c: Candidates, threshold: float, count: int, rng: np.random.Generator) -> np.ndarray:
    """Pairs on the wrong side of the threshold for the label that their folders or list give them, farthest first.

    Pairs called the same and pairs called different take turns. Raises UserError if nobody has named the images.
    """
    if c.given is None:
        raise UserError("strategy mislabeled: doubts given labels, expected --identity_from parent_dir or list")
    doubt = np.where(c.given, threshold - c.similarity, c.similarity - threshold)
    order = _falling(doubt)
    order = order[doubt[order] > 0]
    return interleaved(order[c.given[order]], order[~c.given[order]], every=2)


class Strategy(NamedTuple):
    """How the candidates are ordered, and what --help says of it."""

    order: Callable[[Candidates, float, int, np.random.Generator], np.ndarray]
    sentence: str


STRATEGIES = {
    "uncertainty": Strategy(uncertainty, "nearest the threshold"),
    "hardest": Strategy(hardest, "similarity and neighbourhood disagree"),
    "diverse": Strategy(diverse, "promising and spread over the embedding space"),
    "quality": Strategy(quality, "hardest that can be recognised"),
    "mislabeled": Strategy(mislabeled, "given labels the model doubts"),
    RANDOM: Strategy(random, "baseline"),
}


def explained() -> dict[str, str]:
    """Everything that can be asked for -> its sentence."""
    return {MIXED: "some of each", **{name: strategy.sentence for name, strategy in STRATEGIES.items()}}


def _falling(values: np.ndarray) -> np.ndarray:
    """Indices from the largest value to the smallest, ties in the candidates' order."""
    return np.argsort(-values, kind="stable")


def interleaved(first: np.ndarray, second: np.ndarray, every: int) -> np.ndarray:
    """Both orders as one: each `every`-th row is the second's, until either ends. No row twice."""
    at = np.concatenate(
        [np.arange(len(first)) / (every - 1), np.arange(len(second)) + (every - 2) / (every - 1) + 1e-6]
    )
    merged = np.concatenate([first, second])[np.argsort(at, kind="stable")]
    return merged[np.sort(np.unique(merged, return_index=True)[1])]


class Picker:
    """Takes pairs in a strategy's order, none twice, and no image more often than max_per_image (0: no limit)."""

    def __init__(self, max_per_image: int) -> None:
        self.most = max_per_image or np.inf
        self.images: Counter[int] = Counter()
        self.taken: set[tuple[int, int]] = set()

    def take(self, pairs: np.ndarray, order: Sequence[int] | np.ndarray, count: int) -> list[int]:
        """Up to `count` rows of pairs [K, 2] in the order given."""
        rows: list[int] = []
        for row in order:
            if len(rows) == count:
                break
            i, j = map(int, pairs[row])
            if (i, j) not in self.taken and max(self.images[i], self.images[j]) < self.most:
                self.images.update((i, j))
                self.taken.add((i, j))
                rows.append(int(row))
        return rows


def pick(
    c: Candidates, strategy: str, count: int, threshold: float, picker: Picker, rng: np.random.Generator
) -> list[tuple[int, str]]:
    """Up to `count` (row of the candidates, strategy that chose it). MIXED shares them out as MIX does."""
    chosen: list[tuple[int, str]] = []
    for name, share in _parts(strategy, c, count).items():
        order = STRATEGIES[name].order(c, threshold, count, rng)  # as if it chose all, so that it looks as far
        chosen += [(row, name) for row in picker.take(c.pairs, order, share)]
    if strategy == MIXED and len(chosen) < count:  # a part ran dry
        rest = picker.take(c.pairs, uncertainty(c, threshold, count, rng), count - len(chosen))
        chosen += [(row, "uncertainty") for row in rest]
    return chosen


def _parts(strategy: str, c: Candidates, count: int) -> Mapping[str, int]:
    """strategy -> how many of `count` questions it may choose. Raises UserError for one that does not exist."""
    if strategy not in explained():
        raise UserError(f"strategy {strategy}: expected one of {', '.join(explained())}")
    if strategy != MIXED:
        return {strategy: count}
    named = c.given is not None
    shares = {name: share for name, share in MIX.items() if name != "quality" or _graded(c)}
    scale = (1 - MISLABELED_SHARE * named) / sum(shares.values())
    shares = {name: share * scale for name, share in shares.items()}
    shares |= {"mislabeled": MISLABELED_SHARE} if named else {}
    ends = np.round(np.cumsum([0.0, *shares.values()]) * count).astype(int)
    return dict(zip(shares, np.diff(ends).tolist(), strict=True))


def unrecognisable_below(magnitude: np.ndarray, unable: np.ndarray, least: int = 10) -> float:
    """The magnitude below which people could not tell more than half of the pairs; 0 if there is none.

    magnitude float [K] of each asked pair's poorer image, unable bool [K]; `least` answers are needed to say so.
    """
    order = np.argsort(magnitude, kind="stable")
    rate = np.cumsum(unable[order]) / (1 + np.arange(len(order)))
    too_often = np.flatnonzero(rate[least - 1 :] > 0.5)
    return float(magnitude[order[too_often[-1] + least - 1]]) if len(too_often) else 0.0
