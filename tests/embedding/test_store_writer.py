"""A store that is written bit by bit."""

from __future__ import annotations

import errno
import os
import tracemalloc

import cv2
import numpy as np
import pytest

from magface_al.command.errors import UserError, WorkError
from magface_al.embedding.embedder import face_batches
from magface_al.embedding.store import manifest_path, read_features
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
                writer.finish({"script": "a test", "rows": 1})

    def no_room(_):
        raise OSError(errno.EDQUOT, "Disk quota exceeded")

    write(1)
    with pytest.raises(OSError, match="Disk quota exceeded") as failed:
        write(2)
    assert failed.value.filename == str(tmp_path / name)
    assert read_features(tmp_path / name).embeddings.tolist() == [[1] * 4]


@pytest.mark.parametrize("name", ["f.list", "f.npy"])
def test_what_is_no_store_is_not_replaced_by_one(tmp_path, name):
    path, png = tmp_path / name, cv2.imencode(".png", np.zeros((2, 2, 3), np.uint8))[1].tobytes()
    path.write_bytes(png)  # as an image list may name it, which no flag does
    with pytest.raises(UserError, match=rf"{name}: a picture \(image/png\) that would be written over"):
        FeatureWriter(path, {})
    assert path.read_bytes() == png
    path.write_bytes(b"")
    for answers in ('[{"image1": "a", "image2": "b", "label": 1}]', '{"pairs": []}', "", "text"):
        manifest_path(path).write_text(answers)
        with pytest.raises(UserError, match=rf"json: is no manifest, and would be written over by that of {name}"):
            FeatureWriter(path, {})
        assert manifest_path(path).read_text() == answers
    manifest_path(path).unlink()
    for _ in range(2):  # an older store gives way
        with FeatureWriter(path, {}) as writer:
            writer.append(["a.png"], np.ones((1, 4), np.float32), [])
            writer.finish({"script": "gen_features.py", "rows": 1})
    assert read_features(path).names == ["a.png"]


@pytest.mark.parametrize("name", ["f.list", "f.npy", "f.json", "f.paths.txt", "f.npy.failed.txt"])
def test_no_file_of_a_store_is_a_link(tmp_path, name):
    """The others would stand beside the link, or beside its target: whoever reads by the other name finds none."""
    (tmp_path / "far").mkdir()
    for target in ("far/absent", "far/there"):
        (tmp_path / "far" / "there").touch()
        (tmp_path / name).symlink_to(target)
        with pytest.raises(UserError, match=rf"{name}: a link, expected a file: others belong beside it"):
            FeatureWriter(tmp_path / ("f.list" if name == "f.list" else "f.npy"), {})
        assert [path.name for path in tmp_path.glob("f*") if path.name != "far"] == [name]
        (tmp_path / name).unlink()


def append(writer, *names):
    writer._save_at = 0.0  # every batch is recorded
    writer.append(names, np.ones((len(names), 4), np.float32), [])


def end(writer):
    writer.finish({"script": "gen_features.py", "rows": writer.rows})


@pytest.mark.parametrize("name", ["f.list", "f.npy"])
@pytest.mark.parametrize("first_ends", [False, True])
def test_of_two_writers_without_locks_the_one_that_notices_writes_no_more(tmp_path, name, first_ends):
    """Writers claim nothing themselves: two of them are two runs on a file system without locks."""
    with FeatureWriter(tmp_path / name, {}) as first:
        append(first, "a")
        with FeatureWriter(tmp_path / name, {}) as second:
            end(first) if first_ends else append(first, "b")
            with pytest.raises(
                WorkError, match=rf"{name}\.part: was written or moved by another run too; when no other"
            ):
                append(second, "b", "c")
        if not first_ends:
            end(first)
    assert read_features(tmp_path / name).names == (["a"] if first_ends else ["a", "b"])


@pytest.mark.parametrize("name", ["f.list", "f.npy"])
@pytest.mark.parametrize("part", [0, 1, -1])
def test_parts_that_another_run_has_written_too_are_not_put_in_place(tmp_path, name, part):
    with FeatureWriter(tmp_path / name, {}) as writer:
        append(writer, "a")
        path = writer._kept()[part]
        with path.with_name(path.name + ".part").open("ab") as other:
            other.write(b"of another")
        with pytest.raises(WorkError, match=r"was written or moved by another run too"):
            end(writer)
    assert not (tmp_path / name).exists()
    with FeatureWriter(tmp_path / name, {}) as again:
        assert again.rows == 1
        append(again, "b")
        end(again)
    assert read_features(tmp_path / name).names == ["a", "b"]
    assert [path.name for path in tmp_path.iterdir() if ".part" in path.name] == []
