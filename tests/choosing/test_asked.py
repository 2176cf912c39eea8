"""What answers imply."""

from __future__ import annotations

import itertools

import numpy as np

from magface_al.choosing.asked import OPEN, Known


def test_what_answers_imply_is_what_closing_them_step_by_step_gives():
    rng = np.random.default_rng(0)
    person = rng.integers(0, 5, 24)
    pairs = np.array([p for p in itertools.combinations(range(24), 2) if rng.random() < 0.12])
    label = (person[pairs[:, 0]] == person[pairs[:, 1]]).astype(int)
    label[rng.random(len(label)) < 0.1] = OPEN
    table = {frozenset(p): y for p, y in zip(pairs.tolist(), label, strict=True) if y != OPEN}
    for _ in range(6):
        for a, b, c in itertools.permutations(range(24), 3):
            if table.get(frozenset((a, b))) == 1 and frozenset((b, c)) in table:
                table.setdefault(frozenset((a, c)), table[frozenset((b, c))])
    known = Known(24, pairs, label)
    implied, same = known.implied()
    assert {frozenset(p): int(y) for p, y in zip(implied.tolist(), same, strict=True)} == table
    everything = np.array(list(itertools.permutations(range(24), 2)))
    asked = {frozenset(p) for p in pairs.tolist()}
    assert known.covers(everything).tolist() == [frozenset(p) in table.keys() | asked for p in everything.tolist()]
