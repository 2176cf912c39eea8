"""What validation ranks, and how it says so."""

from __future__ import annotations

import numpy as np
import pytest

from magface_al.finetuning.answered_pairs import index_pairs
from magface_al.finetuning.epochs import line_of
from magface_al.finetuning.validation import validate
from magface_al.pairs.pair_file import Pair


def answered(named):
    """Three answered pairs of six images; those of the first `named` pairs have names."""
    people = [("ann", "ann", 1), ("bob", "cid", 0), ("dan", "eve", 0)]
    pairs = [
        Pair(f"{k}a", f"{k}b", label, {"identity1": one, "identity2": two} if k < named else {})
        for k, (one, two, label) in enumerate(people)
    ]
    return index_pairs(pairs, {f"{k}{side}": np.zeros((2, 2, 3), np.uint8) for k in range(3) for side in "ab"})


@pytest.mark.parametrize(
    ("named", "count", "words"),
    [
        (0, 3, "the answered validation pairs"),
        (2, 6 + 1, "every pair of the named validation images, and the answered pairs of the others"),
        (3, 15, "every pair of the named validation images"),
    ],
)
def test_what_is_ranked_is_said_in_words(named, count, words):
    pairs = answered(named)
    cosine, same = pairs.every_pair(np.eye(6, 4) + 0.1)
    assert (len(cosine), len(same)) == (count, count)
    assert pairs.ranked() == words
    entry = {"epoch": 3, **validate(lambda faces: np.eye(6, 4, dtype=np.float32) + 0.1, pairs, 0.4)}
    assert entry["ranked"] == words
    assert f"eer {entry['val_eer']:.4f} of {words};" in line_of(entry)
    assert "of the answered validation pairs;  magnitude" in line_of(entry)


def test_pairs_that_errors_chose_are_named_so():
    entry = {"ranked": "", "answered": "", "epoch": 3}
    pairs = [Pair("0a", "0b", 1, {"strategy": "exact"}), Pair("1a", "1b", 0, {"strategy": "random"})]
    indexed = index_pairs(pairs, {f"{k}{side}": np.zeros((2, 2, 3), np.uint8) for k in range(2) for side in "ab"})
    entry |= validate(lambda faces: np.eye(4, dtype=np.float32) + 0.1, indexed, 0.4)
    words = "the answered validation pairs (1 of 2 chosen by a model's errors)"
    assert entry["answered"] == entry["ranked"] == words
    assert line_of(entry).count(words) == 2
