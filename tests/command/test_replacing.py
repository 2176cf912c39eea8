"""Outputs are whole or absent, and written through private names that nobody finds later."""

from __future__ import annotations

import errno
import fcntl
import json
import os

import pytest
import torch

from magface_al.command import replacing as replacing_module
from magface_al.command.errors import UserError
from magface_al.command.replacing import growing, replacing, replacing_folder, write_json
from magface_al.models.saving import save_bytes, save_torch


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def full_disk(monkeypatch):
    """Every write to a file of ours fails; the file system's own part is tried in test_surroundings.py."""

    def write(self, data, /):
        self.failure = OSError(errno.ENOSPC, "No space left on device", str(self._path))
        raise self.failure

    monkeypatch.setattr(replacing_module._Raw, "write", write)


def test_a_file_changes_only_when_all_is_written(tmp_path):
    path = tmp_path / "deep" / "out.json"
    with replacing(path) as file:
        file.write("old")
    with pytest.raises(KeyboardInterrupt), replacing(path) as file:
        file.write("new")
        file.flush()
        assert path.read_text() == "old"
        raise KeyboardInterrupt
    assert path.read_text() == "old"
    assert names(path.parent) == ["out.json"]


def test_a_link_is_written_through_and_stays_a_link(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out.json").symlink_to("elsewhere/real.json")
    write_json(tmp_path / "out.json", [1])
    assert (tmp_path / "out.json").is_symlink()
    assert json.loads((tmp_path / "elsewhere" / "real.json").read_text()) == [1]
    assert names(tmp_path / "elsewhere") == ["real.json"]


def test_a_link_in_the_place_of_a_growing_file_is_not_followed(tmp_path):
    (tmp_path / "victim").write_text("mine")
    (tmp_path / "f.npy.part").symlink_to("victim")
    with pytest.raises(OSError, match="symbolic links"):
        growing(tmp_path / "f.npy.part", tmp_path / "f.npy")
    assert (tmp_path / "victim").read_text() == "mine"


def test_a_link_that_leads_to_itself_is_refused(tmp_path):
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises((UserError, OSError), match="itself|symbolic links"):
        write_json(tmp_path / "a", [])


def test_errors_name_the_output_and_never_the_private_name(tmp_path, full_disk):
    (tmp_path / "out.pth").write_text("old")
    for write in (lambda file: file.write(b"x" * 100000), lambda file: torch.save(torch.zeros(100000), file)):
        with pytest.raises(OSError, match="No space left") as failed, replacing(tmp_path / "out.pth", "wb") as file:
            write(file)
        assert failed.value.filename == str(tmp_path / "out.pth")
    with pytest.raises(OSError, match="No space left") as failed:
        write_json(tmp_path / "out.pth", {})
    assert failed.value.filename == str(tmp_path / "out.pth")
    assert (tmp_path / "out.pth").read_text() == "old"
    assert names(tmp_path) == ["out.pth"]


def test_the_longest_name_is_written_and_a_longer_one_named(tmp_path):
    write_json(tmp_path / ("x" * 255), [])
    with pytest.raises(OSError, match="File name too long") as failed:
        write_json(tmp_path / ("x" * 256), [])
    assert failed.value.filename == str(tmp_path / ("x" * 256))
    assert names(tmp_path) == ["x" * 255]


def test_names_that_are_not_utf8_come_back_from_json(tmp_path):
    write_json(tmp_path / "a.json", ["caf\udce9", "\u2028"])
    assert json.loads((tmp_path / "a.json").read_bytes().decode()) == ["caf\udce9", "\u2028"]


def test_a_folder_is_replaced_whole(tmp_path):
    final = tmp_path / "errors"
    for content in ("old", "new"):
        with replacing_folder(final) as building:
            (building / content).write_text(content)
            assert building.parent == tmp_path
    with pytest.raises(KeyboardInterrupt), replacing_folder(final) as building:
        (building / "half").write_text("")
        raise KeyboardInterrupt
    assert names(final) == ["new"]
    assert names(tmp_path) == ["errors"]


def test_what_a_killed_run_left_is_swept_but_nothing_that_somebody_holds(tmp_path):
    (tmp_path / ".magface_al-dead.part").write_text("")
    (tmp_path / ".magface_al-gone.part").mkdir()
    (tmp_path / ".magface_al-gone.part" / "1.png").write_text("")
    (tmp_path / "notes.part").write_text("somebody's")
    with replacing(tmp_path / "a") as file:
        file.write("a")
        replacing_module._swept.clear()
        with replacing_folder(tmp_path / "b"):
            replacing_module._swept.clear()
            write_json(tmp_path / "c", [])
            assert len(names(tmp_path)) == 4  # c, the notes, and two that are held
    assert names(tmp_path) == ["a", "b", "c", "notes.part"]


def no_room(*_):
    raise OSError(errno.EDQUOT, "Disk quota exceeded")


def test_a_disk_that_says_only_at_the_end_that_it_is_full_leaves_the_old_file(tmp_path, monkeypatch):
    """NFS, and quotas elsewhere, may say so where a file is closed, or waited for."""
    save_bytes(tmp_path / "out.pth", b"old")
    close = replacing_module._Raw.close
    monkeypatch.setattr(replacing_module._Raw, "close", lambda self: self.closed or (close(self), no_room()))
    for write in (
        lambda file: file.write(b"x" * 100000),
        lambda file: file.write(b"x"),
        lambda file: torch.save({"weights": torch.zeros(9)}, file),
    ):
        with pytest.raises(OSError, match="Disk quota") as failed, replacing(tmp_path / "out.pth", "wb") as file:
            write(file)
        assert failed.value.filename == str(tmp_path / "out.pth")
    monkeypatch.undo()
    monkeypatch.setattr(os, "fsync", no_room)
    for save in (lambda path: save_bytes(path, b"new"), lambda path: save_torch(path, {"a": torch.zeros(9)})):
        with pytest.raises(OSError, match="Disk quota") as failed:
            save(tmp_path / "out.pth")
        assert failed.value.filename == str(tmp_path / "out.pth")
    assert (tmp_path / "out.pth").read_bytes() == b"old"
    assert names(tmp_path) == ["out.pth"]


def test_a_file_is_locked_until_it_has_its_place(tmp_path, monkeypatch):
    """A sweeper that comes between the closing and the renaming finds it held."""
    close = replacing_module._Raw.close

    def close_and_sweep(self):
        close(self)
        replacing_module._swept.clear()
        replacing_module._sweep(tmp_path)

    monkeypatch.setattr(replacing_module._Raw, "close", close_and_sweep)
    write_json(tmp_path / "a", [])
    assert names(tmp_path) == ["a"]


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_a_sweeper_that_was_quicker_than_the_lock_removes_nothing_later(tmp_path, monkeypatch, kind):
    """It has locked the new file before its owner could, and unlinks that name only when the owner has gone on."""
    flock, swept = fcntl.flock, []

    def quicker(descriptor, operation):
        if not swept:
            (part,) = tmp_path.glob(".magface_al-*")
            swept.append(part)
            holder = os.open(part, os.O_RDONLY)
            flock(holder, operation)
            try:
                flock(descriptor, operation)
            finally:
                os.close(holder)
        flock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", quicker)
    with replacing(tmp_path / "a") if kind == "file" else replacing_folder(tmp_path / "a"):
        assert not swept[0].exists()  # the late unlink finds nothing of that name, and so removes nobody's
        assert len(names(tmp_path)) == 1
    assert names(tmp_path) == ["a"]
