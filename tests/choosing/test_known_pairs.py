"""Random pairs of known people, and labels flipped on purpose."""

from __future__ import annotations

import numpy as np

from magface_al.choosing.known_pairs import flip_labels, random_pairs

PEOPLE = {"ann": ["a/1", "a/2", "a/3"], "bo": ["b/1", "b/2"], "cy": ["c/1"]}


def test_half_of_the_pairs_are_of_one_person_and_none_comes_twice():
    pairs = random_pairs(PEOPLE, 8, np.random.default_rng(0))
    assert sorted(pair.label for pair in pairs) == [0] * 4 + [1] * 4
    assert len({pair.key() for pair in pairs}) == 8
    for pair in pairs:
        assert pair.label == (pair.extra["identity1"] == pair.extra["identity2"])
        assert pair.image1 in PEOPLE[pair.extra["identity1"]]
        assert pair.image2 in PEOPLE[pair.extra["identity2"]]


def test_what_does_not_exist_is_not_made_up():
    pairs = random_pairs(PEOPLE, 100, np.random.default_rng(0))
    assert sum(pair.label for pair in pairs) == 3 + 1
    assert len(pairs) == 6 * 5 // 2


def test_flipped_labels_keep_the_truth():
    pairs = random_pairs(PEOPLE, 10, np.random.default_rng(0))
    noisy, flipped = flip_labels(pairs, 0.3, np.random.default_rng(1))
    wrong = [pair for pair in noisy if pair.label != pair.extra["actual_label"]]
    assert len(wrong) == flipped == round(0.3 * len(pairs))
    assert [pair.extra["actual_label"] for pair in noisy] == [pair.label for pair in pairs]
    assert flip_labels(pairs, 0.0, np.random.default_rng(1)) == (pairs, 0)
