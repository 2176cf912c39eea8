"""Pairs of people who are known, drawn at random, for a test set; and wrong labels among them, to try what those do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from magface_al.choosing import mining
from magface_al.pairs.chosen import RANDOM
from magface_al.pairs.pair_file import DIFFERENT, SAME, Pair


def random_pairs(people: Mapping[str, Sequence[str]], count: int, rng: np.random.Generator) -> list[Pair]:
    """`count` pairs, half of one person and half of two, none twice, in random order; fewer where there are no more.

    people: identity -> its images.
    """
    names = [name for images in people.values() for name in images]
    owner = [identity for identity, images in people.items() for _ in images]
    number = np.unique(owner, return_inverse=True)[1]
    same = mining.random_genuines(number, count // 2, rng)
    different = mining.random_impostors(number, count - count // 2, rng)
    pairs = [
        Pair(names[i], names[j], label, {"identity1": owner[i], "identity2": owner[j], "strategy": RANDOM})
        for label, rows in ((SAME, same), (DIFFERENT, different))
        for i, j in rows.tolist()
    ]
    return [pairs[k] for k in rng.permutation(len(pairs))]


def flip_labels(pairs: list[Pair], share: float, rng: np.random.Generator) -> tuple[list[Pair], int]:
    """Flip round(share * N) labels, chosen at random; each pair then keeps the truth as "actual_label"."""
    count = round(share * len(pairs))
    if count == 0:
        return pairs, 0
    flipped = set(rng.permutation(len(pairs))[:count].tolist())
    other = {SAME: DIFFERENT, DIFFERENT: SAME, None: None}
    return [
        replace(
            pair,
            label=other[pair.label] if k in flipped else pair.label,
            extra={**pair.extra, "actual_label": pair.label},
        )
        for k, pair in enumerate(pairs)
    ], count
