"""When to stop asking."""

from __future__ import annotations

import numpy as np

from magface_al.choosing import stopping
from magface_al.choosing.asked import OPEN, Asked
from magface_al.pairs.pair_file import Pair


def answered(labels, then, **extra):
    entries = [Pair(f"a{k}", f"b{k}", None if y == OPEN else int(y), {"similarity": s, "batch": 1, **extra})
               for k, (y, s) in enumerate(zip(labels, then, strict=True))]  # fmt: skip
    pairs = np.arange(2 * len(labels)).reshape(-1, 2)
    return Asked(pairs, np.array(labels), np.ones(len(labels), np.int64), entries)


def test_advice():
    right, wrong = [1, 0] * 20, [0, 1] * 20
    then = [0.7, 0.1] * 20
    assert stopping.advice(answered([OPEN] * 40, then), np.array(then), 0.4) == []
    verdict, reason = stopping.advice(answered(right, then), np.array(then), 0.4)
    assert verdict == "you may stop"
    assert "wrong in 0% of the last 40" in reason
    assert stopping.advice(answered(wrong, then), np.array(then), 0.4)[0] == "go on"
    few = stopping.advice(answered(right[:6], then[:6]), np.array(then[:6]), 0.4)
    assert few[0] == "go on"
    assert "6 chosen questions" in few[1]
    unsure = answered(wrong[:30] + [OPEN] * 10, then)
    assert stopping.advice(unsure, np.array(then), 0.4)[0] == "go on"
    unsure = answered(wrong[:10] + [OPEN] * 30, then, answer="unsure")
    assert "could not be told" in stopping.advice(unsure, np.array(then), 0.4)[2]
    moved = stopping.advice(answered(wrong, then), np.array([0.3, 0.2] * 20), 0.4)
    assert any("changed its call on 50%" in line for line in moved)
