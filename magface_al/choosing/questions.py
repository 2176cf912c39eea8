"""A round of questions: a random slice that measures the error, and the pairs that a strategy finds worth asking."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from magface_al.choosing.asked import OPEN, Asked, Known
from magface_al.choosing.candidates import Candidates, Scan, candidates, scan
from magface_al.choosing.mining import hardest_genuines, hardest_impostors, pair_cosines, random_impostors
from magface_al.choosing.random_slice import Strata, draw_slice, plan_strata
from magface_al.choosing.strategies import Picker, pick, unrecognisable_below
from magface_al.choosing.wishes import Wishes
from magface_al.pairs.chosen import RANDOM, RANDOM_SLICE
from magface_al.pairs.pair_file import Pair

NEAR, NEAR_PER_QUESTION = 20_000, 20  # pairs nearest the threshold that are kept as candidates
NAMED_PER_QUESTION = 20  # pairs on the wrong side of their given label, where images have been named


@dataclass(frozen=True)
class Pool:
    """The images whose pairs may be asked about.

    names [N]; unit float32 [N, D] of length 1 and magnitude float32 [N], their embeddings; identity int [N], equal where
    two images were given one name, or None; device: where the pass over all pairs is computed.
    """

    names: Sequence[str]
    unit: np.ndarray
    magnitude: np.ndarray
    identity: np.ndarray | None = None
    device: torch.device = torch.device("cpu")

    def question(self, pair: Sequence[int], similarity: float, extra: dict[str, Any]) -> Pair:
        """The pair of two images as the pairs file has it, without a label."""
        i, j = pair
        values = {"similarity": similarity, "magnitude1": self.magnitude[i], "magnitude2": self.magnitude[j]}
        rounded = {key: round(float(value), 6) for key, value in values.items()}
        return Pair(self.names[i], self.names[j], None, {**rounded, **extra})


def choose(
    pool: Pool,
    asked: Asked,
    wishes: Wishes,
    rng: np.random.Generator,
    progress: Callable[[int], object] = lambda rows: None,
) -> list[Pair]:
    """Up to `budget` pairs without a label, in random order, none asked before or implied by the answers.

    progress is told the images done.
    """
    images = len(pool.names)
    known = Known(images, asked.pairs, asked.label)
    slice_size = round(min(wishes.budget, images * (images - 1) // 2) * wishes.random_share)
    strata = Strata([], [], wishes.threshold)
    if slice_size:
        strata = plan_strata(pool.unit, wishes.threshold, slice_size, rng)
    near = max(NEAR, NEAR_PER_QUESTION * wishes.budget)
    faces = torch.as_tensor(pool.unit, device=pool.device)
    scanned = scan(faces, wishes.threshold, near, strata.edges, strata.listed, progress)
    number = {"batch": 1 + int(asked.round.max(initial=0))}

    picker = Picker(wishes.max_per_image if wishes.strategy != RANDOM else 0)
    pairs = []
    if slice_size:
        drawn = draw_slice(pool.unit, scanned, strata, known, slice_size, rng)
        picker.taken.update(map(tuple, drawn.pairs.tolist()))
        for pair, similarity, record in zip(drawn.pairs.tolist(), drawn.similarity, drawn.records(strata), strict=True):
            pairs.append(pool.question(pair, similarity, {"strategy": RANDOM_SLICE, **number, **record}))
    found = _candidates(pool, scanned, faces, wishes, known.count_implied() + len(asked.pairs), rng)
    found = found.where(~known.covers(found.pairs))
    if wishes.strategy != RANDOM and len(asked.pairs):
        found = found.where(found.magnitude > _least_magnitude(pool, asked))
    for row, strategy in pick(found, wishes.strategy, wishes.budget - len(pairs), wishes.threshold, picker, rng):
        given = {} if found.given is None else {"given_label": int(found.given[row])}
        extra = {"strategy": strategy, **number, **given}
        pairs.append(pool.question(found.pairs[row].tolist(), found.similarity[row], extra))
    return [pairs[k] for k in rng.permutation(len(pairs))]


def _candidates(
    pool: Pool, scanned: Scan, faces: torch.Tensor, wishes: Wishes, spare: int, rng: np.random.Generator
) -> Candidates:
    """What the pass over all pairs has found, and the pairs whose given labels are doubtful where images have been named.

    For the strategy random these are random pairs instead: as many as wanted, and `spare` ones more for those known.
    """
    more = []
    if wishes.strategy == RANDOM:
        pairs = random_impostors(np.arange(len(pool.names)), wishes.budget + spare, rng)
        near, closest = (pairs, pair_cosines(pool.unit, pairs)), scanned.neighbour_similarity[:, :1]
        scanned = replace(scanned, near=near, neighbours=scanned.neighbours[:, :0], neighbour_similarity=closest)
    elif pool.identity is not None:
        most = NAMED_PER_QUESTION * wishes.budget
        more = [hardest_genuines(faces, pool.identity, most)[0], hardest_impostors(faces, pool.identity, most)[0]]
    return candidates(pool.unit, pool.magnitude, scanned, pool.identity, more)


def _least_magnitude(pool: Pool, asked: Asked) -> float:
    """The magnitude below which people have been shown to be unable to tell; 0 if there is none."""
    unable = asked.unable()
    seen = unable | (asked.label != OPEN)
    return unrecognisable_below(pool.magnitude[asked.pairs[seen]].min(axis=1), unable[seen])


def count_strategies(pairs: Sequence[Pair]) -> dict[str, int]:
    """strategy -> how many of the pairs it chose."""
    return dict(sorted(Counter(pair.extra["strategy"] for pair in pairs).items()))
