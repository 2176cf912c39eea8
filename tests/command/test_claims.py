"""An output is never two runs' at once."""

from __future__ import annotations

import errno
import multiprocessing
from pathlib import Path

import pytest

from magface_al.command import claims
from magface_al.command.claims import Claim
from magface_al.command.errors import UserError
from magface_al.command.replacing import write_json


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_folder_that_takes_no_files_is_told_by_the_outputs_name():
    with pytest.raises(OSError, match="/proc/out.json") as failed:  # root may write everywhere else
        write_json(Path("/proc/out.json"), [])
    assert failed.value.filename == "/proc/out.json"
    for path, folder in ((Path("/proc/out.json"), False), (Path("/proc/a/b"), True)):
        with pytest.raises(
            UserError, match=rf"^{path}: cannot be written \(.*\); choose a name in a folder of your own"
        ):
            Claim(path, folder=folder)


def hold(path, folder, ready, end):
    with Claim(path, folder=folder):
        ready.set()
        end.wait(60)


@pytest.mark.process
@pytest.mark.parametrize("folder", [False, True])
def test_a_claim_holds_against_another_process_and_is_gone_with_a_killed_one(tmp_path, folder):
    context = multiprocessing.get_context("fork")
    ready, end = context.Event(), context.Event()
    (tmp_path / "alias").symlink_to("out")
    holder = context.Process(target=hold, args=(tmp_path / "out", folder, ready, end))
    holder.start()
    assert ready.wait(60)
    for name in ("out", "alias"):
        with pytest.raises(UserError, match=rf"{name}: another run is writing it"):
            Claim(tmp_path / name, folder=folder)
    holder.kill()
    holder.join()
    lock = tmp_path / "out" / ".lock" if folder else tmp_path / "out.lock"
    assert lock.exists()  # the name is left, the lock is not
    with Claim(tmp_path / "out", folder=folder):
        pass
    assert not lock.exists()
    assert names(tmp_path) == (["alias", "out"] if folder else ["alias"])


def test_a_claim_on_a_folder_that_nothing_was_written_to_leaves_no_folder(tmp_path):
    with Claim(tmp_path / "out", folder=True):
        pass
    with Claim(tmp_path / "new" / "file"):
        pass
    assert names(tmp_path) == []


def test_a_lock_that_was_removed_while_it_was_opened_is_not_taken_for_one(tmp_path, monkeypatch):
    """The run before unlinks the lock file between this one's open and flock: a lock on a nameless file keeps nobody out."""
    lock, real, calls = claims.fcntl.flock, tmp_path / "out.lock", []

    def flock(descriptor, operation):
        if not calls:
            real.unlink()
        calls.append(descriptor)
        lock(descriptor, operation)

    monkeypatch.setattr(claims.fcntl, "flock", flock)
    with Claim(tmp_path / "out"):
        assert len(calls) == 2
        assert real.exists()


def test_every_folder_that_a_claim_made_goes_again_and_no_other(tmp_path):
    (tmp_path / "mine").mkdir()
    with Claim(tmp_path / "mine" / "new" / "newer" / "out", folder=True):
        pass
    with Claim(tmp_path / "mine" / "new" / "newer" / "file"):
        pass
    assert [path.name for path in tmp_path.rglob("*")] == ["mine"]
    with Claim(tmp_path / "new" / "newer" / "out", folder=True):
        write_json(tmp_path / "new" / "kept", [])
    assert names(tmp_path / "new") == ["kept"]


def test_a_place_that_the_system_does_not_take_is_told_with_the_way_out(tmp_path):
    long = tmp_path / "new" / ("x" * 256) / "out"
    for folder in (False, True):
        with pytest.raises(UserError, match=r"cannot be written \(File name too long\); choose a name in a folder"):
            Claim(long, folder=folder)
    assert names(tmp_path) == []


@pytest.mark.parametrize("folder", [False, True])
def test_a_lock_file_that_cannot_be_opened_is_named(tmp_path, folder):
    """Another user's, usually; a link stands for it here, because root may open every file."""
    lock = tmp_path / (".lock" if folder else "out.lock")
    lock.symlink_to("elsewhere")
    path = tmp_path if folder else tmp_path / "out"
    with pytest.raises(
        UserError, match=rf"^{path}: its lock file {lock} cannot be opened \(.*\), so it may be another"
    ):
        Claim(path, folder=folder)
    assert names(tmp_path) == [lock.name]


def test_a_file_system_without_locks_is_told_once(tmp_path, monkeypatch, capfd):
    def no_locks(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(claims.fcntl, "flock", no_locks)
    monkeypatch.setattr(claims, "_told", False)
    for name in ("a", "b"):
        with Claim(tmp_path / name):
            pass
    told = f"note: {tmp_path}: no file locks here (No locks available): see that one run at a time writes\n"
    assert capfd.readouterr().err == told
