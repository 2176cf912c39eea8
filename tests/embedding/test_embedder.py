"""Images to embeddings: flips, conventions, small memories."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from magface_al.embedding.embedder import Embedder
from magface_al.faces.preprocess import PRESETS, to_input
from magface_al.models.checkpoint import load_backbone


def test_the_flip_test_adds_or_joins_the_mirrored_embedding(tiny_checkpoint):
    backbone = load_backbone(tiny_checkpoint)
    faces = np.random.default_rng(0).integers(0, 256, (3, 112, 112, 3), dtype=np.uint8)
    embed = {
        flip: Embedder(backbone.model, backbone.preprocessing, torch.device("cpu"), flip)
        for flip in ("none", "sum", "concat")
    }
    own, mirrored = embed["none"](faces), embed["none"](faces[:, :, ::-1].copy())
    assert embed["sum"](faces) == pytest.approx(own + mirrored, abs=1e-5)
    assert embed["concat"](faces) == pytest.approx(np.concatenate([own, mirrored], axis=1), abs=1e-5)


class SmallMemory(torch.nn.Module):
    """A network on a device that holds at most three faces."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def forward(self, x):
        self.seen.append(len(x))
        if len(x) > 3:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return x.flatten(1)[:, :5]


def test_out_of_memory_halves_the_batch_and_keeps_every_row():
    faces = np.random.default_rng(0).integers(0, 255, (14, 112, 112, 3), dtype=np.uint8)
    network = SmallMemory()
    rows = Embedder(network, PRESETS["magface"], torch.device("cpu"))(faces)
    assert np.array_equal(rows, to_input(torch.from_numpy(faces), PRESETS["magface"]).flatten(1)[:, :5].numpy())
    assert network.seen == [14, 7, 3, 3, 3, 3, 2]
