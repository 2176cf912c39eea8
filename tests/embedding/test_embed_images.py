"""Images by name to embeddings by name."""

from __future__ import annotations

import cv2
import numpy as np
import torch

from magface_al.embedding.embedder import Embedder, embed_images
from magface_al.faces.drawn.people import draw_person
from magface_al.models.checkpoint import new_backbone


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
