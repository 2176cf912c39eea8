"""Learning rates."""

from __future__ import annotations

import numpy as np
import pytest

from magface_al.training.schedules import warmup_cosine, warmup_linear, warmup_multistep


def test_rates_drop_at_the_milestones_of_all_finished_epochs():
    rates = [warmup_multistep(step, 250, 0.04, [100, 180, 220], 0.1) for step in range(250)]
    assert rates[:10] == pytest.approx(np.arange(1, 11) / 10)
    assert [rates[k] for k in (10, 99, 100, 179, 180, 219, 220, 249)] == pytest.approx([1, 1, 0.1, 0.1, 0.01, 0.01, 1e-3, 1e-3])  # fmt: skip
    line = [warmup_linear(step, 100, 0.1) for step in range(100)]
    assert np.diff(line[10:]) == pytest.approx(-1 / 90)
    assert (line[9], line[10]) == (1, 1)


def test_the_learning_rate_rises_then_falls_to_nothing():
    factors = [warmup_cosine(step, 100, 0.1) for step in range(100)]
    assert np.all(np.diff(factors[:10]) > 0)
    assert max(factors) == 1
    assert np.all(np.diff(factors[10:]) < 0)
    assert factors[-1] < 0.001
