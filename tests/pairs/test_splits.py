"""The split by person."""

from __future__ import annotations

import numpy as np

from magface_al.pairs.pair_file import Pair
from magface_al.pairs.splits import split_pairs


def people_of(part):
    return {pair.extra[key] for pair in part for key in ("identity1", "identity2")}


def test_no_person_is_in_two_parts():
    rng = np.random.default_rng(0)
    people = rng.integers(0, 40, (500, 2))
    pairs = [
        Pair(f"{a}/{k}", f"{b}/{k + 1}", int(a == b), {"identity1": str(a), "identity2": str(b)})
        for k, (a, b) in enumerate(people)
    ]
    pairs += [
        Pair(f"{a}/x{k}", f"{a}/y{k}", 1, {"identity1": str(a), "identity2": str(a)})
        for k, a in enumerate(people[:, 0])
    ]
    split = split_pairs(pairs, [0.6, 0.2, 0.2], np.random.default_rng(1))
    train, val, test = map(people_of, split.parts)
    assert not (train & val or train & test or val & test)
    assert sum(map(len, split.parts)) + split.crossing == len(pairs)
    assert all(len(part) > 50 for part in split.parts)


def test_without_identities_images_that_pairs_connect_stay_together():
    pairs = [Pair(f"{k}a", f"{k}b", k % 2) for k in range(100)] + [Pair(f"{k}b", f"{k}c", 1) for k in range(100)]
    split = split_pairs(pairs, [0.8, 0.2], np.random.default_rng(0))
    images = [{name for pair in part for name in (pair.image1, pair.image2)} for part in split.parts]
    assert not images[0] & images[1]
    assert (split.crossing, split.unit) == (0, "group of answers")
