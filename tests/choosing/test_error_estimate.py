"""The error rates of all pairs from the answers of random slices, worked out by hand; test_random_slice.py simulates them."""

from __future__ import annotations

import numpy as np
import pytest

from magface_al.choosing import error_estimate
from magface_al.choosing.asked import Asked
from magface_al.metrics.cosine import unit
from magface_al.pairs.pair_file import Pair

THRESHOLD = 0.4


def test_an_answer_weighs_what_it_stands_for_and_open_pairs_hand_their_weight_on():
    """Two strata of 2 and 6 pairs around four directions of the plane; worked out by hand."""
    directions = unit(np.array([[1, 0], [1, 0.1], [0, 1], [-1, 0.2], [-1, 0.1]]))
    high, low = (
        {"holdout": True, "stratum": "high", "stratum_pairs": 2},
        {"holdout": True, "stratum": "low", "stratum_pairs": 8},
    )
    entries = [
        Pair("0", "1", 0, high),
        Pair("3", "4", 1, high),
        Pair("0", "2", 0, low),
        Pair("0", "3", 1, low),
        Pair("1", "2", None, low),
    ]
    pairs = np.array([[0, 1], [3, 4], [0, 2], [0, 3], [1, 2]])
    asked = Asked(pairs, np.array([0, 1, 0, 1, -1]), np.ones(5, np.int64), entries)
    result = error_estimate.estimate(directions, asked, THRESHOLD, np.random.default_rng(0))
    assert result.value["fmr"] == pytest.approx(1 / 5)  # 1 false match; 1 + 4 different
    assert result.value["error"] == pytest.approx(5 / 10)
    assert result.value["fnmr"] is None  # 2 answers "same" are no evidence
    assert result.open == 1
    nobody = Asked(pairs, np.array([0, 1, -1, -1, -1]), np.ones(5, np.int64), entries)
    assert error_estimate.estimate(directions, nobody, THRESHOLD, np.random.default_rng(0)) is None
