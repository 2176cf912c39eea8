"""Contradictions and implications."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from magface_al.labelling.consistency import find_contradictions, implied_labels
from magface_al.pairs.pair_file import Pair


def pairs_of(text):
    """'ab=1 bc=0' as pairs."""
    return [Pair(item[0], item[1], {"1": 1, "0": 0}[item[3]]) for item in text.split()]


def test_a_triangle_that_cannot_be_is_shown_by_its_shortest_chain():
    (found,), count = find_contradictions(pairs_of("ab=1 bc=1 cd=1 bd=1 ad=0 xy=1 xz=0"))
    assert count == 1
    assert found.faces() == ["a", "b", "d"]
    assert [pair.key() for pair in found.chain] == [("a", "b"), ("b", "d")]


def test_the_chain_of_a_contradiction_is_a_shortest_path():
    scipy = pytest.importorskip("scipy.sparse.csgraph")
    rng = np.random.default_rng(4)
    names = [f"{k:02d}" for k in range(30)]
    edges = {tuple(sorted(rng.choice(30, 2, replace=False).tolist())) for _ in range(45)}
    same = [Pair(names[a], names[b], 1) for a, b in edges]
    different = [Pair(names[a], names[b], 0) for a, b in itertools.combinations(range(30), 2) if (a, b) not in edges][
        ::9
    ]
    matrix = np.zeros((30, 30))
    for a, b in edges:
        matrix[a, b] = matrix[b, a] = 1
    distance = scipy.shortest_path(matrix, unweighted=True)
    found, count = find_contradictions(same + different, most=10_000)
    expected = [pair for pair in different if np.isfinite(distance[int(pair.image1), int(pair.image2)])]
    assert count == len(found) == len(expected) > 5
    for contradiction in found:
        ends = int(contradiction.different.image1), int(contradiction.different.image2)
        assert len(contradiction.chain) == distance[ends]
        assert (contradiction.faces()[0], contradiction.faces()[-1]) == (names[ends[0]], names[ends[1]])


def test_what_follows_from_the_answers():
    answered = pairs_of("ab=1 bc=1 cd=0 de=1 xy=1 yz=1 xz=0 xq=0")
    others = [Pair(a, b, None) for a, b in ("ac", "ae", "bd", "be", "aq", "dq", "zq", "ap")]
    implied = implied_labels(answered, others)
    # a b c are one person, d e another; x y z contradict themselves, so nothing follows from them
    assert implied == {("a", "c"): 1, ("a", "e"): 0, ("b", "d"): 0, ("b", "e"): 0}
