"""Averaged weights."""

from __future__ import annotations

import torch

from magface_al.training.optimizer import average


def test_averaging_is_the_moving_average():
    mean, model = (torch.nn.BatchNorm1d(2) for _ in range(2))
    expected = mean.weight.detach().clone()
    for step in range(30):
        with torch.no_grad():
            model.weight.fill_(float(step))
            model.num_batches_tracked += 1
        average(mean, model, 0.8, step)
        decay = min(0.8, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * step
    assert torch.allclose(mean.weight, expected)
    assert int(mean.num_batches_tracked) == 30
