"""Images to embeddings: flips, conventions, small memories; and by name to embeddings by name."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from magface_al.embedding.embedder import Embedder, embed_images
from magface_al.faces.drawn.people import draw_person
from magface_al.faces.preprocess import PRESETS, to_input
from magface_al.models.checkpoint import load_backbone, new_backbone


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


def test_embeddings_come_back_under_their_names_and_failures_with_their_reasons(tmp_path):
    faces = [draw_person(person, 0, 0) for person in range(5)]
    images = [(f"face {number}", cv2.imencode(".png", face)[1].tobytes()) for number, face in enumerate(faces)]
    images[2:2] = [("absent", tmp_path / "absent.png"), ("noise", b"no picture")]
    start = new_backbone("iresnet_tiny", "magface", 0)
    embedder = Embedder(start.model.eval(), start.preprocessing, torch.device("cpu"))
    counted = []
    embeddings, failures = embed_images(embedder, images, 2, 3, counted.append)
    assert list(embeddings) == [f"face {number}" for number in range(5)]
    assert [name for name, _ in failures] == ["absent", "noise"]
    assert "No such file" in failures[0][1]
    assert counted == [2, 2, 2, 1]
    expected = np.concatenate([embedder(face[None]) for face in faces])
    assert np.allclose(np.stack(list(embeddings.values())), expected, atol=1e-4)
    assert embeddings["face 0"].dtype == np.float32


def test_no_images_and_only_failures_give_nothing():
    start = new_backbone("iresnet_tiny", "magface", 0)
    embedder = Embedder(start.model.eval(), start.preprocessing, torch.device("cpu"))
    assert embed_images(embedder, [], 2, 1) == ({}, [])
    embeddings, failures = embed_images(embedder, [("noise", b"no picture")], 2, 1)
    assert (embeddings, len(failures)) == ({}, 1)
