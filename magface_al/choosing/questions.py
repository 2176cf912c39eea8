"""A batch of questions: a random slice that measures the error, and the pairs that a strategy finds worth asking."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from magface_al.choosing import mining
from magface_al.choosing.asked import OPEN, Asked, Known
from magface_al.choosing.candidates import Candidates, Scan, candidates, scan
from magface_al.choosing.random_slice import Slice, Strata, draw_slice, plan_strata
from magface_al.choosing.strategies import Picker, pick, unrecognisable_below
from magface_al.metrics.cosine import THRESHOLD
from magface_al.pairs.pair_file import Pair

NEAR, NEAR_PER_QUESTION = 20_000, 20  # pairs nearest the threshold that are kept as candidates
NAMED_PER_QUESTION = 20  # pairs on the wrong side of their given label, where images have been named


@dataclass(frozen=True)
class Wishes:
    """What a person asked for: the flags of choose_pairs.py of the same names."""

    budget: int = 200
    strategy: str = "mix"
    threshold: float = THRESHOLD
    random_share: float = 0.15
    max_per_image: int = 4


def choose(
    unit: np.ndarray,
    magnitude: np.ndarray,
    names: Sequence[str],
    asked: Asked,
    wishes: Wishes,
    identity: np.ndarray | None,
    device: torch.device,
    rng: np.random.Generator,
    progress: Callable[[int], object] = lambda rows: None,
) -> list[Pair]:
    """Up to `budget` pairs without a label, in random order, none asked before or implied by the answers.

    unit float32 [N, D] of length 1 and magnitude float32 [N] of the images `names` [N]; identity int [N], equal where
    two images were given one name, or None; progress is told the images done.
    """
    known = Known(len(unit), asked.pairs, asked.label)
    slots = round(min(wishes.budget, len(unit) * (len(unit) - 1) // 2) * wishes.random_share)
    strata = plan_strata(unit, wishes.threshold, slots, rng) if slots else Strata([], [], wishes.threshold)
    near = max(NEAR, NEAR_PER_QUESTION * wishes.budget)
    faces = torch.as_tensor(unit, device=device)
    scanned = scan(faces, wishes.threshold, near, strata.edges, strata.listed, progress)
    batch = 1 + int(asked.batch.max(initial=0))
    audit = draw_slice(unit, scanned, strata, known, slots, rng) if slots else None
    held = [] if audit is None else audit.pairs.tolist()

    picker = Picker(wishes.max_per_image if wishes.strategy != "random" else 0)
    picker.taken.update(map(tuple, held))
    pool = _pool(unit, magnitude, scanned, identity, faces, asked, known, wishes, rng)
    picked = pick(pool, wishes.strategy, wishes.budget - len(held), wishes.threshold, picker, rng)
    pairs = [*_audit_pairs(audit, strata, names, magnitude, batch),
             *(_pair(pool, row, strategy, names, magnitude, batch) for row, strategy in picked)]  # fmt: skip
    return [pairs[k] for k in rng.permutation(len(pairs))]


def _pool(
    unit: np.ndarray,
    magnitude: np.ndarray,
    scanned: Scan,
    identity: np.ndarray | None,
    faces: torch.Tensor,
    asked: Asked,
    known: Known,
    wishes: Wishes,
    rng: np.random.Generator,
) -> Candidates:
    """The candidates that may still be asked, without those that people have been shown to be unable to tell."""
    more = []
    if wishes.strategy == "random":
        wanted = wishes.budget + len(asked.pairs) + len(known.implied()[0])
        random_pairs = mining.random_impostors(np.arange(len(unit)), wanted, rng)
        scanned = Scan((random_pairs, mining.cosines(unit, random_pairs)), scanned.neighbours[:, :0],
                       scanned.neighbour_similarity[:, :1], scanned.strata, {})  # fmt: skip
    elif identity is not None:
        most = NAMED_PER_QUESTION * wishes.budget
        more = [mining.hardest_genuines(faces, identity, most)[0], mining.hardest_impostors(faces, identity, most)[0]]
    pool = candidates(unit, magnitude, scanned, identity, more)
    keep = ~known.covers(pool.pairs)
    if len(asked.pairs) and wishes.strategy != "random":
        unable = asked.unable()
        seen = unable | (asked.label != OPEN)
        keep &= pool.magnitude > unrecognisable_below(magnitude[asked.pairs[seen]].min(axis=1), unable[seen])
    return pool.where(keep)


def _audit_pairs(
    audit: Slice | None, strata: Strata, names: Sequence[str], magnitude: np.ndarray, batch: int
) -> list[Pair]:
    if audit is None:
        return []
    return [
        _named(i, j, s, "random_slice", names, magnitude, batch,
               {"holdout": True, "stratum": strata.name(stratum), "stratum_pairs": size, "inclusion_probability": share})
        for (i, j), s, stratum, size, share in zip(
            audit.pairs.tolist(), audit.similarity, audit.stratum.tolist(), audit.size.tolist(), audit.probability.tolist(), strict=True
        )
    ]  # fmt: skip


def _pair(pool: Candidates, row: int, strategy: str, names: Sequence[str], magnitude: np.ndarray, batch: int) -> Pair:
    given = {} if pool.given is None else {"given_label": int(pool.given[row])}
    i, j = pool.pairs[row].tolist()
    return _named(i, j, pool.similarity[row], strategy, names, magnitude, batch, given)


def _named(
    i: int, j: int, s: float, strategy: str, names: Sequence[str], magnitude: np.ndarray, batch: int, extra: dict
) -> Pair:
    values = {"similarity": s, "magnitude1": magnitude[i], "magnitude2": magnitude[j]}
    rounded = {key: round(float(value), 6) for key, value in values.items()}
    return Pair(names[i], names[j], None, {**rounded, "strategy": strategy, "batch": batch, **extra})
