"""Outputs are private, and never an input."""

from __future__ import annotations

import argparse
import os
import shutil
import stat
from pathlib import Path

import pytest

from magface_al.command.claims import Claim
from magface_al.command.errors import UserError
from magface_al.command.outputs import OutputFolder, OutputPath, also_read, guarded
from magface_al.command.replacing import growing, replacing_folder, write_json
from magface_al.command.run import Run
from tests.support.scripts import ROOT, load_script

SCRIPTS = sorted(path.name for path in ROOT.glob("*.py"))


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


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


def test_a_manifest_is_not_written_over_what_the_run_reads_later(tmp_path):
    (tmp_path / "manifest.json").write_text("{}")
    with guarded({}):
        run = Run("script", {})
        run.path = tmp_path / "manifest.json"
        with pytest.raises(UserError, match=r"manifest\.json: would be written over, and is an input \(a test's\)"):
            also_read(tmp_path / "manifest.json", "a test's")


def test_a_store_in_the_output_folder_keeps_its_manifest(run_script, tmp_path, features, pairs):
    """The folder's own manifest.json would be the store's: refused before anything is drawn."""
    (tmp_path / "vv").mkdir()
    for suffix in (".npy", ".paths.txt", ".json"):
        shutil.copy(features.with_suffix(suffix), tmp_path / "vv" / f"manifest{suffix}")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    flags = ["--feedback_file", pairs, "--features_list", "vv/manifest.npy", "--output_dir", "vv"]
    refused = run_script("visualize_errors.py", *flags, code=2).stderr
    assert "vv/manifest.json: would be written over, and is an input (beside manifest.npy)" in refused
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


COMPANIONS = [
    ["build_hard_pairs.py", "--features_list", "features.npy", "--output_file", "features.json"],
    ["choose_pairs.py", "--features_list", "features.npy", "--output_file", "features.paths.txt"],
    ["prepare_data.py", "folder2list", "--dataset", "D", "--output_list", "D/labels.tsv"],
    ["prepare_data.py", "compound", "--sources", "D", "--output_list", "D/labels.tsv"],
]


@pytest.mark.parametrize("command", COMPANIONS, ids=lambda command: " ".join(command[:2]))
def test_what_an_input_has_beside_it_is_an_input_too(run_script, tmp_path, features, command):
    for path in features.parent.glob("features.*"):
        shutil.copy(path, tmp_path)
    for name in ("a", "b"):
        (tmp_path / "D" / name).mkdir(parents=True)
        (tmp_path / "D" / name / "1.png").touch()
    (tmp_path / "D" / "labels.tsv").write_text("4\ta\n2\tb\n")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    refused = run_script(*command, code=2).stderr
    assert f"{command[-1]}: would be written over, and is an input (" in refused
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_what_is_read_outside_a_run_is_nobodys_input(tmp_path):
    (tmp_path / "a").write_text("")
    also_read(tmp_path / "a", "a test's")
    with guarded({}):
        also_read(tmp_path / "absent", "a test's")
        write_json(tmp_path / "a", [])
        also_read(tmp_path / "a", "a test's")
        with pytest.raises(UserError, match="a: would be written over, and is an input \\(a test's\\)"):
            write_json(tmp_path / "a", [])
    write_json(tmp_path / "a", [])


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


def test_only_the_first_of_several_processes_claims(tmp_path):
    with guarded({"o": OutputFolder(tmp_path)}), guarded({"o": OutputFolder(tmp_path)}, claiming=False):
        pass
    with Claim(tmp_path, folder=True), pytest.raises(UserError, match="another run"):
        guarded({"o": OutputFolder(tmp_path)}).__enter__()
