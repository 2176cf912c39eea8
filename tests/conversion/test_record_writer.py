"""Packing that is interrupted goes on."""

from __future__ import annotations

import errno
import os

import pytest

from magface_al.command.errors import UserError
from magface_al.conversion.record_writer import RecordWriter
from magface_al.faces.recordio import RecordFile, image_records

PNG, JPEG = b"\x89PNG", b"\xff\xd8\xff"


def interrupt(folder, images):
    """Pack some images and stop."""
    with pytest.raises(KeyboardInterrupt), RecordWriter(folder / "train.rec", {"list_sha256": "x"}) as writer:
        for label, image in enumerate(images):
            writer.append(label, image)
        raise KeyboardInterrupt
    assert not (folder / "train.rec").exists()


@pytest.mark.parametrize("stop_after", [1, 3, 4])
def test_a_killed_packing_goes_on(tmp_path, stop_after):
    images = [JPEG + bytes([k]) * (5 + k) for k in range(6)]
    interrupt(tmp_path, images[:stop_after])
    with (tmp_path / "train.rec.part").open("ab") as file:
        file.truncate((tmp_path / "train.rec.part").stat().st_size - 3)  # the last record never got to the disk whole
    with RecordWriter(tmp_path / "train.rec", {"list_sha256": "x"}) as writer:
        assert writer.count == stop_after - 1
        for label in range(writer.count, len(images)):
            writer.append(label, images[label])
    with RecordFile(tmp_path / "train.rec") as records:
        assert list(image_records(records)) == [(k, k, image) for k, image in enumerate(images)]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["train.idx", "train.rec"]


def test_packing_another_list_begins_anew(tmp_path):
    interrupt(tmp_path, [JPEG] * 4)
    with RecordWriter(tmp_path / "train.rec", {"list_sha256": "y"}) as writer:
        assert writer.count == 0
        writer.append(3, PNG)
        with pytest.raises(UserError, match="label 16777216, expected 0 to 16777215"):
            writer.append(1 << 24, JPEG)
    with RecordFile(tmp_path / "train.rec") as records:
        assert list(image_records(records)) == [(0, 3, PNG)]


def test_a_disk_that_is_full_when_it_is_waited_for_leaves_the_old_records(tmp_path, monkeypatch):
    def no_room(_):
        raise OSError(errno.EDQUOT, "Disk quota exceeded")

    with RecordWriter(tmp_path / "train.rec", {"list_sha256": "x"}) as writer:
        writer.append(0, JPEG)
    before = (tmp_path / "train.rec").read_bytes()
    with (
        pytest.raises(OSError, match="Disk quota exceeded") as failed,
        RecordWriter(tmp_path / "train.rec", {}) as writer,
    ):
        writer.append(0, JPEG * 9)
        monkeypatch.setattr(os, "fsync", no_room)
    assert failed.value.filename == str(tmp_path / "train.rec")
    assert (tmp_path / "train.rec").read_bytes() == before


@pytest.mark.parametrize("name", ["train.rec", "train.idx"])
def test_records_replace_no_link_and_no_picture(tmp_path, name):
    (tmp_path / name).symlink_to("elsewhere")
    with pytest.raises(UserError, match=rf"{name}: a link, expected a file"):
        RecordWriter(tmp_path / "train.rec", {})
    (tmp_path / name).unlink()
    (tmp_path / name).write_bytes(PNG)
    with pytest.raises(UserError, match=rf"{name}: a picture \(image/png\) that would be written over"):
        RecordWriter(tmp_path / "train.rec", {})
    assert [path.name for path in tmp_path.iterdir()] == [name]
