"""An output that grows bit by bit belongs to one run: another is refused in words, and lets the first one finish."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import signal
import subprocess
import sys

import cv2
import numpy as np
import pytest

from magface_al.command.claims import Claim
from magface_al.command.errors import UserError
from magface_al.command.outputs import OutputFolder, OutputPath, guarded
from magface_al.conversion.record_writer import RecordWriter
from magface_al.embedding.store import read_features
from magface_al.embedding.store_writer import FeatureWriter
from tests.support.scripts import ROOT


def growing(faces, checkpoint):
    """Every command whose output grows bit by bit -> (its flags, its output)."""
    embedding = ["gen_features.py", "--inf_list", faces / "images.list", "--resume", checkpoint]
    return {
        "binary store": ([*embedding, "--feat_list", "f.npy"], OutputPath("f.npy")),
        "text store": ([*embedding, "--feat_list", "f.list"], OutputPath("f.list")),
        "train.rec": (
            ["prepare_data.py", "list2rec", "--train_list", "t.list", "--output_dir", "out"],
            OutputFolder("out"),
        ),
        "unpacked folder": (
            ["prepare_data.py", "bin2folder", "--bin", "set.bin", "--output_dir", "out"],
            OutputFolder("out"),
        ),
    }


@pytest.mark.parametrize("name", ["binary store", "text store", "train.rec", "unpacked folder"])
def test_a_second_run_is_refused_until_the_first_is_done(
    run_script, tmp_path, monkeypatch, faces, tiny_checkpoint, name
):
    image = cv2.imencode(".png", np.zeros((112, 112, 3), np.uint8))[1].tobytes()
    (tmp_path / "a.png").write_bytes(image)
    (tmp_path / "t.list").write_text("a.png 0 0 0\n")
    (tmp_path / "set.bin").write_bytes(pickle.dumps(([image, image], [True])))
    command, output = growing(faces, tiny_checkpoint)[name]
    monkeypatch.chdir(tmp_path)
    with guarded({"output": output}):
        before = sorted(tmp_path.rglob("*"))
        refused = run_script(*command, code=2).stderr
        assert f"{output}: another run is writing it; wait for its end, or choose another name" in refused
        assert sorted(tmp_path.rglob("*")) == before
    run_script(*command)
    assert not list(tmp_path.rglob("*.lock"))


@pytest.mark.parametrize("script", ["visualize_errors.py", "create_test_feedback.py", "prepare_data.py"])
def test_a_folder_that_another_run_fills_is_left_as_it_is(run_script, tmp_path, features, pairs, script):
    (tmp_path / "out").mkdir()
    (tmp_path / "set.rec").touch()
    flags = {
        "visualize_errors.py": ["--features_list", features, "--feedback_file", pairs],
        "create_test_feedback.py": ["--num_identities", 3],
        "prepare_data.py": ["rec2folder", "--rec", "set.rec"],
    }[script]
    with Claim(tmp_path / "out", folder=True):
        done = run_script(script, *flags, "--output_dir", "out", code=2)
        assert "out: another run is writing it; wait for its end, or choose another name" in done.stderr
        assert [path.name for path in (tmp_path / "out").iterdir()] == [".lock"]


@pytest.mark.process
def test_two_processes_write_one_store(run_script, tmp_path, faces, tiny_checkpoint):
    """The second is refused while the first one lives, is stopped or not; a kill lets go of it, and nothing is doubled."""
    program = (
        "import sys; from magface_al.command.outputs import OutputPath, guarded\n"
        "from magface_al.embedding.store_writer import FeatureWriter\n"
        "with guarded({'feat_list': OutputPath('f.npy')}), FeatureWriter(OutputPath('f.npy'), {}) as writer:\n"
        "    writer.append(['other.png'], [[1.0, 2.0]], [])\n"
        "    print('holding', flush=True); sys.stdin.read()"
    )
    flags = ["--inf_list", faces / "images.list", "--feat_list", "f.npy", "--resume", tiny_checkpoint]
    command = [sys.executable, "-c", program]
    surroundings = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, cwd=tmp_path, stdin=-1, stdout=-1, text=True, env=surroundings) as other:
        assert other.stdout.readline() == "holding\n"
        before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
        refused = run_script("gen_features.py", *flags, code=2).stderr
        assert "f.npy: another run is writing it" in refused
        assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
        other.send_signal(signal.SIGKILL)
    run_script("gen_features.py", *flags)
    assert read_features(tmp_path / "f.npy").names == (faces / "images.list").read_text().split()
    left = sorted(path.name for path in tmp_path.iterdir() if not path.name.startswith("."))
    assert left == ["f.json", "f.npy", "f.paths.txt"]


@pytest.mark.parametrize(
    ("output", "input_name"), [("f.npy", "f.paths.txt"), ("f.npy", "f.json"), ("f.list", "f.list.failed.txt")]
)
def test_files_beside_a_store_are_no_inputs_either(run_script, tmp_path, faces, tiny_checkpoint, output, input_name):
    shutil.copy(faces / "images.list", tmp_path / input_name)
    flags = ["--inf_list", input_name, "--feat_list", output, "--resume", tiny_checkpoint]
    done = run_script("gen_features.py", *flags, code=2)
    assert f"{input_name}: would be written over, and is an input (--inf_list)" in done.stderr
    assert (tmp_path / input_name).read_bytes() == (faces / "images.list").read_bytes()


def test_a_sample_never_replaces_the_faces_it_is_taken_from(run_script, tmp_path):
    run_script("create_test_feedback.py", "--num_identities", 4, "--output_dir", "made", "--num_pairs", 10)
    before = sorted((tmp_path / "made" / "images").rglob("*.png"))
    (tmp_path / "link").symlink_to("made/images")
    for dataset in ("made/images", "link"):
        done = run_script("create_test_feedback.py", "--dataset", dataset, "--output_dir", "made", code=2)
        assert "would be replaced, and " in done.stderr
    assert sorted((tmp_path / "made" / "images").rglob("*.png")) == before


def interrupted(folder, name="f.npy"):
    """A store of which 4 of 6 rows are written."""
    with FeatureWriter(folder / name, {"list": 1}) as writer:
        writer.append(["a", "b"], [[1.0, 2.0]] * 2, [])
        writer._save_at = 0.0
        writer.append(["c"], [[1.0, 2.0]], [("d", "empty")])
    return folder / f"{name}.part.json"


@pytest.mark.parametrize("name", ["f.npy", "f.list"])
@pytest.mark.parametrize(
    "change",
    [
        lambda state: [],
        lambda state: {key: value for key, value in state.items() if key != "lengths"},
        lambda state: state | {"lengths": state["lengths"][:-1]},
        lambda state: state | {"lengths": [-1] * len(state["lengths"])},
        lambda state: state | {"rows": 2},
        lambda state: state | {"rows": "3"},
        lambda state: state | {"consumed": 3},
        lambda state: state | {"dimensions": None},
        lambda state: state | {"failed": 1e400},
    ],
)
def test_a_state_that_does_not_fit_is_refused(tmp_path, name, change):
    path = interrupted(tmp_path, name)
    state = json.loads(path.read_text())
    path.write_text(json.dumps(change(state)))
    with pytest.raises(UserError, match=r"f\.\w+\.part\.json: "):
        FeatureWriter(tmp_path / name, {"list": 1})
    with FeatureWriter(tmp_path / name, {"list": 1}, resume=False) as writer:
        assert writer.consumed == 0


@pytest.mark.parametrize("name", ["f.npy", "f.list"])
def test_what_was_written_in_part_goes_on_once_and_only_for_the_same_work(tmp_path, name):
    interrupted(tmp_path, name)
    with FeatureWriter(tmp_path / name, {"list": 1}) as writer:
        assert (writer.consumed, writer.rows, writer.failed) == (4, 3, 1)
        writer.append(["e"], [[1.0, 2.0]], [])
        writer.finish({"script": "a test", "rows": 4})
    assert read_features(tmp_path / name).names == ["a", "b", "c", "e"]
    with FeatureWriter(tmp_path / name, {"list": 2}) as writer:
        assert writer.consumed == 0


@pytest.mark.parametrize("index", [b"nonsense\n", b"0\t0\n5\t40\n", b"0\t\xb2\n", b"\n", b"0 0\n"])
def test_an_index_in_part_that_is_none_is_refused(tmp_path, index):
    with pytest.raises(KeyboardInterrupt), RecordWriter(tmp_path / "train.rec", {}) as writer:
        writer.append(0, b"\xff\xd8\xff")
        raise KeyboardInterrupt
    (tmp_path / "train.idx.part").write_bytes(index)
    with pytest.raises(UserError, match=r"train\.idx\.part: .* remove the file to begin anew"):
        RecordWriter(tmp_path / "train.rec", {})


def test_empty_images_are_not_packed(run_script, tmp_path):
    """A record without an image is InsightFace's bookkeeping: readers would leave it out without a word."""
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((112, 112, 3), np.uint8))
    (tmp_path / "b.png").touch()
    (tmp_path / "t.list").write_text("a.png 0 0 0\nb.png 0 1 0\n")
    done = run_script("prepare_data.py", "list2rec", "--train_list", "t.list", "--output_dir", "out", code=2)
    assert "t.list: b.png: the file is empty, expected an image; what came before is kept" in done.stderr
    assert not (tmp_path / "out" / "train.rec").exists()
