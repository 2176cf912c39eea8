"""Fine-tuning's batches."""

from __future__ import annotations

import numpy as np

from magface_al.finetuning.answered_pairs import balanced_batches


def test_batches_are_half_same_and_repeat_the_rarer_kind():
    same = np.array([True] * 3 + [False] * 20)
    batches = list(balanced_batches(same, 8, np.random.default_rng(0)))
    assert all(np.count_nonzero(same[batch]) == np.count_nonzero(~same[batch]) for batch in batches)
    assert set(np.concatenate(batches)) == set(range(23))
