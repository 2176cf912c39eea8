"""A store that is written bit by bit."""

from __future__ import annotations

import errno
import os
import tracemalloc

import cv2
import numpy as np
import pytest

from magface_al.embedding.embedder import face_batches
from magface_al.embedding.store import read_features
from magface_al.embedding.store_writer import FeatureWriter


@pytest.mark.parametrize("name", ["f.list", "f.npy"])
def test_memory_does_not_grow_with_the_list(tmp_path, name):
    cv2.imwrite(str(tmp_path / "face.png"), np.zeros((112, 112, 3), np.uint8))
    images = [(f"{k}.png", tmp_path / "face.png") for k in range(4000)]  # 150 MB once decoded
    tracemalloc.start()
    writer = FeatureWriter(tmp_path / name, {})
    for batch in face_batches(iter(images), 32, workers=2):
        writer.append(batch.names, batch.faces[:, :8, :8].reshape(len(batch.names), -1), batch.failures)
    writer.finish({})
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 30e6
    assert len(read_features(tmp_path / name).names) == 4000


@pytest.mark.parametrize("name", ["f.list", "f.npy"])
def test_a_disk_that_is_full_when_it_is_waited_for_leaves_the_old_store(tmp_path, monkeypatch, name):
    def write(value):
        with FeatureWriter(tmp_path / name, {"value": value}) as writer:
            writer.append(["a.png"], np.full((1, 4), value, np.float32), [])
            with monkeypatch.context() as full:
                if value == 2:
                    full.setattr(os, "fsync", no_room)
                writer.finish({"rows": 1})

    def no_room(_):
        raise OSError(errno.EDQUOT, "Disk quota exceeded")

    write(1)
    with pytest.raises(OSError, match="Disk quota exceeded") as failed:
        write(2)
    assert failed.value.filename == str(tmp_path / name)
    assert read_features(tmp_path / name).embeddings.tolist() == [[1] * 4]
