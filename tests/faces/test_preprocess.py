"""Pixels to a network's input."""

from __future__ import annotations

import numpy as np
import torch

from magface_al.faces.preprocess import PRESETS, to_input


def test_channel_order_and_range_are_the_presets():
    face = np.zeros((1, 2, 2, 3), np.uint8)
    face[..., 0] = 255  # pure blue, BGR
    for name, first, last in [("magface", 1, 0), ("magface-rgb", 0, 1), ("arcface", -1, 1), ("adaface", 1, -1)]:
        planes = to_input(torch.from_numpy(face), PRESETS[name])
        assert (planes[0, 0].unique().item(), planes[0, 2].unique().item()) == (first, last)
