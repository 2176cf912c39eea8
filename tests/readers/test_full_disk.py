"""A disk that is full in the middle: one line that names the file, the state kept, and the same command goes on later."""

from __future__ import annotations

import contextlib
import resource

import numpy as np
import pytest

from magface_al.conversion.record_writer import RecordWriter
from magface_al.embedding.store import read_features
from magface_al.embedding.store_writer import FeatureWriter
from magface_al.faces.recordio import RecordFile

IMAGES = [bytes([k]) * 50_000 for k in range(1, 40)]


@contextlib.contextmanager
def room_for(count):
    """No file may become larger than that many bytes: the system refuses it as it refuses more on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (count, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("name", ["f.npy", "f.list"])
def test_a_store_goes_on_when_there_is_room_again(tmp_path, name):
    names, rows = [f"{k}.png" for k in range(400)], np.random.default_rng(0).normal(size=(400, 256)).astype(np.float32)

    def go_on():
        with FeatureWriter(tmp_path / name, {"list": 1}) as writer:
            start = writer.consumed
            for k in range(start, 400, 20):
                writer.append(names[k : k + 20], rows[k : k + 20], [])
                writer._save_at = 0.0  # every batch
            writer.finish({"rows": 400})
        return start

    with room_for(150_000), pytest.raises(OSError) as full:
        go_on()
    assert full.value.filename == str(tmp_path / name)
    assert not (tmp_path / name).exists()
    assert go_on() > 0
    store = read_features(tmp_path / name)
    assert store.names == names
    assert np.array_equal(store.embeddings, rows)
    assert sorted(path.suffix for path in tmp_path.iterdir() if not path.name.startswith("f.")) == []


def test_a_record_file_goes_on_when_there_is_room_again(tmp_path):
    def go_on():
        with RecordWriter(tmp_path / "train.rec", {}) as writer:
            start = writer.count
            for k in range(start, len(IMAGES)):
                writer.append(k, IMAGES[k])
        return start

    with room_for(500_000), pytest.raises(OSError) as full:
        go_on()
    assert full.value.filename == str(tmp_path / "train.rec")
    assert 0 < go_on() < 10
    with RecordFile(tmp_path / "train.rec") as records:
        assert [records.read(k).image for k in range(len(IMAGES))] == IMAGES
    assert sorted(path.name for path in tmp_path.iterdir()) == ["train.idx", "train.rec"]


def test_a_script_names_the_file_that_has_no_room(run_script, tmp_path, faces, tiny_checkpoint):
    flags = [
        "--inf_list",
        faces / "images.list",
        "--feat_list",
        "f.list",
        "--resume",
        tiny_checkpoint,
        "--batch_size",
        8,
    ]
    with room_for(40_000):
        done = run_script("gen_features.py", *flags, code=1)
    assert "gen_features.py: error: f.list: File too large; files written before stay as they were" in done.stderr
    assert "taking up an interrupted run after" in run_script("gen_features.py", *flags).stderr
    assert read_features(tmp_path / "f.list").names == (faces / "images.list").read_text().split()
