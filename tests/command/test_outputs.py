"""Outputs: whole or absent, private, never an input, never two runs' at once."""

from __future__ import annotations

import argparse
import errno
import json
import multiprocessing
import os
import stat
from pathlib import Path

import pytest
import torch

from magface_al.command import outputs
from magface_al.command.errors import UserError
from magface_al.command.outputs import (
    Claim,
    OutputFolder,
    OutputPath,
    growing,
    guarded,
    replacing,
    replacing_folder,
    write_json,
)
from tests.support.scripts import ROOT, load_script

SCRIPTS = sorted(path.name for path in ROOT.glob("*.py"))


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def full_disk(monkeypatch):
    """Every write to a file of ours fails; the file system's own part is tried in test_surroundings.py."""

    def write(self, data, /):
        self.failure = OSError(errno.ENOSPC, "No space left on device", str(self._path))
        raise self.failure

    monkeypatch.setattr(outputs._Raw, "write", write)


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


def test_new_files_and_folders_are_their_owners_alone_whatever_umask_says(tmp_path):
    wide = os.umask(0)
    try:
        (tmp_path / "old.json").write_text("{}")
        assert mode(tmp_path / "old.json") == 0o666
        with guarded({}):
            write_json(tmp_path / "old.json", [])
            write_json(tmp_path / "a" / "b" / "new.json", [])
            (tmp_path / "library's").write_text("")
            growing(tmp_path / "rows.part", tmp_path / "rows").close()
            with replacing_folder(tmp_path / "pictures") as building:
                (building / "1.png").write_bytes(b"")
        assert os.umask(0) == 0  # as it was before
    finally:
        os.umask(wide)
    for file in ("old.json", "a/b/new.json", "library's", "rows.part", "pictures/1.png"):
        assert mode(tmp_path / file) == 0o600, file
    for folder in ("a", "a/b", "pictures"):
        assert mode(tmp_path / folder) == 0o700, folder


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


@pytest.mark.parametrize("place", ["/dev/null", "folder", "pipe"])
def test_what_is_no_regular_file_is_never_replaced(tmp_path, monkeypatch, place):
    monkeypatch.chdir(tmp_path)
    Path("folder").mkdir()
    os.mkfifo("pipe")
    for write in (
        lambda path: write_json(path, []),
        lambda path: growing(path, path),
        lambda path: guarded({"o": OutputPath(path)}).__enter__(),
    ):
        with pytest.raises(
            UserError, match=rf"^{place}: a (folder|device, pipe or socket), expected the name of a file"
        ):
            write(Path(place))
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)


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


def test_a_folder_that_takes_no_files_is_told_by_the_outputs_name():
    with pytest.raises(OSError, match="/proc/out.json") as failed:  # root may write everywhere else
        write_json(Path("/proc/out.json"), [])
    assert failed.value.filename == "/proc/out.json"
    for path, folder in ((Path("/proc/out.json"), False), (Path("/proc/a/b"), True)):
        with pytest.raises(
            UserError, match=rf"^{path}: cannot be written \(.*\); choose a name in a folder of your own"
        ):
            Claim(path, folder=folder)


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


def test_a_folder_with_an_input_in_it_is_not_replaced(tmp_path):
    (tmp_path / "images" / "ann").mkdir(parents=True)
    photo = tmp_path / "images" / "ann" / "1.png"
    photo.write_text("photo")
    (tmp_path / "alias").symlink_to("images")
    for given, reads in (
        ({"dataset": tmp_path / "images"}, ()),
        ({"dataset": tmp_path / "alias"}, ()),
        ({"list": photo}, ()),
        ({}, [photo.parent]),
    ):
        with (
            pytest.raises(UserError, match="would be replaced"),
            guarded(given),
            replacing_folder(tmp_path / "images", reads),
        ):
            pass
    assert photo.read_text() == "photo"


def test_what_a_killed_run_left_is_swept_but_nothing_that_somebody_holds(tmp_path):
    (tmp_path / ".magface_al-dead.part").write_text("")
    (tmp_path / ".magface_al-gone.part").mkdir()
    (tmp_path / ".magface_al-gone.part" / "1.png").write_text("")
    (tmp_path / "notes.part").write_text("somebody's")
    with replacing(tmp_path / "a") as file:
        file.write("a")
        outputs._swept.clear()
        with replacing_folder(tmp_path / "b"):
            outputs._swept.clear()
            write_json(tmp_path / "c", [])
            assert len(names(tmp_path)) == 4  # c, the notes, and two that are held
    assert names(tmp_path) == ["a", "b", "c", "notes.part"]


# --- no input is written over


def linked(kind, tmp_path):
    """(the input's name, another name of the same file)."""
    (tmp_path / "input").write_text("input")
    other = tmp_path / "other"
    if kind == "same":
        return tmp_path / "input", tmp_path / "input"
    other.symlink_to("input") if kind == "symlink" else other.hardlink_to(tmp_path / "input")
    return tmp_path / "input", other


@pytest.mark.parametrize("kind", ["same", "symlink", "hard link"])
@pytest.mark.parametrize("shape", [lambda path: path, lambda path: [path], lambda path: [("lfw", path)]])
def test_an_input_under_any_name_is_no_output(tmp_path, kind, shape):
    given, output = linked(kind, tmp_path)
    for first, second in ((given, output), (output, given)):
        with pytest.raises(UserError, match=r"would be written over, and is an input \(--list\)"):
            guarded({"list": shape(first), "out": OutputPath(second)}).__enter__()
        with guarded({"list": shape(first)}):
            for write in (lambda path: write_json(path, []), lambda path: growing(path, path)):
                with pytest.raises(UserError, match="is an input"):  # derived names, which no flag gives
                    write(second)
    assert given.read_text() == "input"
    write_json(given, [])  # when the run is over it is an input no more


def test_two_outputs_are_two_files(tmp_path):
    with pytest.raises(UserError, match="--csv and --json name one file"):
        guarded({"json": OutputPath(tmp_path / "a"), "csv": OutputPath(tmp_path / "b" / ".." / "a")}).__enter__()


OUTPUTS = {
    "build_hard_pairs.py": {"output_file"},
    "choose_pairs.py": {"output_file"},
    "compare_faces.py": {"output_dir"},
    "create_test_feedback.py": {"output_dir"},
    "evaluate_finetuned_model.py": {"output_dir"},
    "evaluate_quality.py": {"output_dir"},
    "evaluate_recognition.py": {"output_dir"},
    "evaluate_templates.py": {"output_dir"},
    "export_model.py": {"output_file"},
    "finetune_on_feedback.py": {"output_dir"},
    "gen_features.py": {"feat_list"},
    "inspect_checkpoint.py": set(),
    "label_pairs.py": {"feedback_file", "csv_file"},
    "prepare_data.py": {"output_dir", "output_list"},
    "train.py": {"output_dir"},
    "visualize_errors.py": {"output_dir"},
}
INPUTS = {
    "answered", "bin", "checkpoint", "config", "data", "dataset", "features_list", "feedback_file", "finetuned", "general_file",
    "gold", "identity_list", "images", "import_label_studio", "inf_list", "init", "label_map", "lists", "meta", "model",
    "pairs_file", "rec", "replay_list", "root", "quality", "sets", "sources", "train_list", "val_set",
}  # fmt: skip


def actions_of(parser):
    for action in parser._actions:
        yield action
        if isinstance(action, argparse._SubParsersAction):
            for inner in action.choices.values():
                yield from actions_of(inner)


def takes_a_path(action):
    """A path by its type, or by its name where somebody forgot the type."""
    kind = getattr(action.type, "__name__", "")
    return (
        "path" in kind.lower() or "folder" in kind.lower() or action.dest.endswith(("_file", "_list", "_dir", "_path"))
    )


@pytest.mark.parametrize("script", SCRIPTS)
def test_every_flag_that_takes_a_path_is_known_as_input_or_output(script):
    """A new flag fails here until it stands in one of the tables above and, if it is written, has an output's type."""
    flags = {action.dest: action for action in actions_of(load_script(script).build_parser()) if takes_a_path(action)}
    written = {name for name, action in flags.items() if action.type in (OutputPath, OutputFolder)}
    assert written == OUTPUTS[script]
    assert set(flags) - written <= INPUTS
    for name in written:
        default = flags[name].default
        assert default is None or type(default) is flags[name].type


# --- one run at a time


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
    lock, real, calls = outputs.fcntl.flock, tmp_path / "out.lock", []

    def flock(descriptor, operation):
        if not calls:
            real.unlink()
        calls.append(descriptor)
        lock(descriptor, operation)

    monkeypatch.setattr(outputs.fcntl, "flock", flock)
    with Claim(tmp_path / "out"):
        assert len(calls) == 2
        assert real.exists()


def test_only_the_first_of_several_processes_claims(tmp_path):
    with guarded({"o": OutputFolder(tmp_path)}), guarded({"o": OutputFolder(tmp_path)}, claiming=False):
        pass
    with Claim(tmp_path, folder=True), pytest.raises(UserError, match="another run"):
        guarded({"o": OutputFolder(tmp_path)}).__enter__()
