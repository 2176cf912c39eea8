"""train.py through its command line: drawn people, interruptions, several processes, config files, bad input."""

from __future__ import annotations

import json
import pickle
import shutil
import socket
import subprocess
import sys

import cv2
import numpy as np
import pytest
import torch

from magface_al.models.checkpoint import load_backbone
from magface_al.models.weight_files import read_checkpoint
from tests.support.scripts import ROOT

CUT = """
import os, runpy, sys
sys.argv = ["train.py", *sys.argv[1:]]
sys.path.insert(0, r"{root}")
from magface_al.training.progress import Progress
save, calls = Progress.save_state, []
def save_and_die(self):
    save(self)
    calls.append(1)
    if len(calls) == 3:
        os._exit(9)
Progress.save_state = save_and_die
runpy.run_path(r"{script}", run_name="__main__")
"""
SMALL = ["--arch", "iresnet_tiny", "--batch_size", 24, "--lr", 0.02, "--force_cpu"]


@pytest.fixture
def listed(people, tmp_path):
    """A MagFace list of the drawn people, whose ids have a gap: nobody is number 3."""
    files = sorted((people / "folders").glob("*/*.png"))
    lines = [f"{path} 0 {int(path.parent.name[2:]) + (int(path.parent.name[2:]) >= 3)} 0" for path in files]
    (tmp_path / "train.list").write_text("\n".join(lines) + "\n")
    return tmp_path / "train.list"


def history(folder):
    epochs = json.loads((folder / "history.json").read_text())["epochs"]
    return [{key: value for key, value in entry.items() if key != "seconds"} for entry in epochs]


def torchrun(folder, processes, *flags, code=0):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", processes, "--master_port", port, ROOT / "train.py", *flags]  # fmt: skip
    done = subprocess.run([*map(str, command)], cwd=folder, capture_output=True, text=True, check=False, timeout=600)
    assert (done.returncode == 0) == (code == 0), done.stdout + done.stderr
    return done


@pytest.mark.slow(5)
def test_a_run_learns_validates_and_its_weights_embed(run_script, tmp_path, people, listed):
    images = sorted((people / "folders").glob("*/*.png"))[:20]
    content = [image.read_bytes() for image in images]  # five pairs of one person, five of two
    pairs = [content[k] for k in (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 6, 1, 7, 2, 8, 3, 12, 4, 13)]
    (tmp_path / "small.bin").write_bytes(pickle.dumps((pairs, [True] * 5 + [False] * 5)))
    done = run_script("train.py", "--data", listed, *SMALL, "--epochs", 3, "--ema", 0.5, "--val_set", "small.bin", "--tensorboard",
                      "--save_every", 2, "--crop", 0.2, "--low_resolution", 0.2, "--photometric", 0.2)  # fmt: skip
    assert "1 of the ids 0 to 20 has no image; the others are numbered without gaps (first: 3)" in done.stderr
    assert "120 images of 20 people" in done.stdout
    epochs = history(tmp_path / "trained")
    assert epochs[-1]["cosine"] > epochs[0]["cosine"] + 0.05
    assert 0 <= epochs[-1]["validation"]["small"] <= 1
    assert {path.name for path in (tmp_path / "trained").iterdir()} == {
        "best.pth", "last.pth", "00002.pth", "training_state.pth", "history.json", "history.png", "classes.tsv", "samples.png",
        "manifest.json", "tensorboard"}  # fmt: skip
    classes = (tmp_path / "trained" / "classes.tsv").read_text().splitlines()
    assert len(classes) == 21
    assert classes[4].split("\t")[:3] == ["3", "4", "6"]  # class 3 is the id 4
    manifest = json.loads((tmp_path / "trained" / "manifest.json").read_text())
    assert manifest["arguments"]["seed"] == 42
    assert len(manifest["data"]["fingerprint"]) == 64
    assert cv2.imread(str(tmp_path / "trained" / "samples.png")).shape == (4 * 112, 8 * 112, 3)
    best = load_backbone(tmp_path / "trained" / "best.pth")
    assert (best.arch, best.family, best.preprocessing.name()) == ("iresnet_tiny", "magface", "magface")
    (tmp_path / "faces.list").write_text("\n".join(map(str, images)))
    run_script(
        "gen_features.py", "--inf_list", "faces.list", "--feat_list", "f.npy", "--checkpoint", "trained/best.pth"
    )
    assert np.load(tmp_path / "f.npy").shape == (20, 128)
    again = run_script("train.py", "--data", listed, *SMALL, code=2)
    assert "trained: holds a run already; --resume_training goes on with it, --overwrite begins anew" in again.stderr


@pytest.mark.slow(3)
def test_sources_are_compounded_and_every_head_and_optimizer_runs(run_script, tmp_path, people):
    data = ["--data", people / "records", people / "folders", *SMALL, "--epochs", 1]
    done = run_script("train.py", *data, "--head", "adaface", "--optimizer", "adamw", "--lr", 0.001, "--decay", "weights",
                      "--accumulate", 2, "--schedule", "linear", "--precision", "bf16", "--sample_rate", 0.5)  # fmt: skip
    assert "60 images of 10 people" in done.stdout
    assert "120 images of 20 people" in done.stdout
    classes = (tmp_path / "trained" / "classes.tsv").read_text().splitlines()
    assert [line.split("\t")[1] for line in (classes[10], classes[11])] == ["9", "id00"]
    assert len(classes) == 31
    assert history(tmp_path / "trained")[0]["skipped"] == 0
    done = run_script("train.py", "--data", people / "records", *SMALL, "--epochs", 1, "--head", "arcface", "--schedule", "cosine", "--init", "trained/best.pth", "--arch", "auto",
                      "--batch_norm", "frozen", "--output_dir", "tuned")  # fmt: skip
    assert "iresnet_tiny (magface weights), loaded 115/115" in done.stdout
    before, after = (load_backbone(tmp_path / name / "best.pth").model.state_dict() for name in ("trained", "tuned"))
    assert torch.equal(before["bn1.running_mean"], after["bn1.running_mean"])
    assert not torch.equal(before["fc.weight"], after["fc.weight"])


@pytest.mark.slow(6)
def test_half_precision_counts_the_steps_that_overflow_and_stays_finite(run_script, tmp_path, people):
    flags = ["--data", people / "records", *SMALL, "--batch_size", 6, "--epochs", 1, "--precision", "fp16"]
    done = run_script("train.py", *flags)
    entry = history(tmp_path / "trained")[0]
    assert 0 < entry["skipped"] < 10  # the loss scale starts high and is halved until the gradients fit
    assert f"{entry['skipped']:.0f} of 10 steps skipped, for want of a finite gradient" in done.stderr
    assert np.isfinite(entry["loss"])
    scale = read_checkpoint(tmp_path / "trained" / "training_state.pth")["trainer"]["loss_scale"]["factor"]
    assert scale == 2.0 ** (16 - entry["skipped"])
    for key, value in load_backbone(tmp_path / "trained" / "best.pth").model.state_dict().items():
        assert value.isfinite().all(), key


@pytest.mark.process
@pytest.mark.slow(20)
@pytest.mark.skipif(not shutil.which("g++"), reason="torch.compile needs a C++ compiler on the CPU")
def test_a_compiled_network_learns_the_same(run_script, tmp_path, people):
    flags = ["--data", people / "records", *SMALL, "--epochs", 1, "--dropout", 0]
    run_script("train.py", *flags, "--output_dir", "plain")
    run_script("train.py", *flags, "--output_dir", "compiled", "--compile")
    plain, compiled = (history(tmp_path / name)[0] for name in ("plain", "compiled"))
    assert compiled["loss"] == pytest.approx(plain["loss"], rel=1e-3)
    plain, compiled = (load_backbone(tmp_path / name / "best.pth").model.state_dict() for name in ("plain", "compiled"))
    for key, value in plain.items():
        assert torch.allclose(compiled[key].float(), value.float(), rtol=1e-2, atol=1e-3), key


@pytest.mark.slow(6)
def test_the_magnitude_range_comes_from_existing_features(run_script, tmp_path, people):
    flags = [
        "--data",
        people / "records",
        "--batch_size",
        12,
        "--epochs",
        1,
        "--magnitude_range",
        "auto",
        "--force_cpu",
    ]
    done = run_script("train.py", *flags, "--init", ROOT / "assets" / "demo_magface.pth", "--u_a", 500, "--lr", 1e-4)
    found = dict(
        word.split()[:2] for word in done.stdout.split("--")[1:] if word.startswith(("l_a", "u_a", "lambda_g"))
    )
    lowest = float(done.stdout.split("faces: ")[1].split(" ..")[0])
    assert 0.4 * lowest < float(found["l_a"].rstrip(",")) < lowest
    manifest = json.loads((tmp_path / "trained" / "manifest.json").read_text())
    assert manifest["recipe"]["head_options"] == {
        "l_a": float(found["l_a"].rstrip(",")),
        "u_a": 500.0,
        "lambda_g": float(found["lambda_g"]),
    }
    done = run_script("train.py", *flags, "--arch", "iresnet_tiny", "--output_dir", "o", code=2)
    assert "an untrained network has no magnitudes to measure" in done.stderr


@pytest.mark.slow(6)
@pytest.mark.process
@pytest.mark.parametrize(
    "flags", [[], ["--ema", 0.9, "--accumulate", 2, "--head", "adaface"]], ids=["plain", "averaged"]
)
def test_a_run_that_was_cut_anywhere_resumes_to_the_same_weights(tmp_path, run_script, people, flags):
    flags = ["--data", people / "records", *SMALL, "--batch_size", 12, "--epochs", 2, *flags]
    run_script("train.py", *flags, "--output_dir", "whole")
    # Cut in the middle of the second epoch: the process ends itself as a killed one would, right after a state is written.
    script = CUT.format(root=ROOT, script=ROOT / "train.py")
    command = [sys.executable, "-c", script, *flags, "--output_dir", "cut", "--save_steps", 3]
    assert subprocess.run([*map(str, command)], cwd=tmp_path, capture_output=True, check=False).returncode == 9
    assert len(history(tmp_path / "cut")) == 1
    done = run_script("train.py", *flags, "--output_dir", "cut", "--resume_training")
    assert "goes on after epoch 1, step 3" in done.stdout
    assert history(tmp_path / "whole") == history(tmp_path / "cut")
    whole, cut = (read_checkpoint(tmp_path / name / "training_state.pth")["trainer"] for name in ("whole", "cut"))
    for part in ("model", "averaged", "classifier"):
        for key, value in whole[part].items():
            assert torch.equal(value, cut[part][key]), (part, key)
    done = run_script("train.py", *flags, "--output_dir", "cut", "--resume_training", "--momentum", 0.5, code=2)
    assert "was trained with momentum 0.9, expected 0.5; give the same flags and data, or start anew" in done.stderr


@pytest.mark.slow(4)
def test_a_finished_run_can_be_given_more_epochs_where_the_rate_does_not_depend_on_them(run_script, tmp_path, people):
    flags = ["--data", people / "records", *SMALL, "--milestones", 1]
    run_script("train.py", *flags, "--epochs", 2, "--output_dir", "whole")
    run_script("train.py", *flags, "--epochs", 1, "--output_dir", "longer")
    run_script("train.py", *flags, "--epochs", 2, "--output_dir", "longer", "--resume_training")
    assert history(tmp_path / "whole") == history(tmp_path / "longer")
    run_script("train.py", *flags, "--epochs", 1, "--output_dir", "cosine", "--schedule", "cosine")
    more = ["--epochs", 2, "--output_dir", "cosine", "--schedule", "cosine", "--resume_training"]
    assert "was trained with epochs 1, expected 2" in run_script("train.py", *flags, *more, code=2).stderr


@pytest.mark.slow(15)
@pytest.mark.process
def test_two_processes_split_the_classifier_and_another_number_goes_on(tmp_path, people, run_script):
    flags = ["--data", people / "records", *SMALL, "--dropout", 0, "--batch_norm", "frozen", "--split_fc"]
    done = torchrun(tmp_path, 2, *flags, "--epochs", 1, "--output_dir", "two")
    assert done.stdout.count("done in") == 1
    run_script("train.py", *flags, "--epochs", 1, "--output_dir", "one")
    one, two = (read_checkpoint(tmp_path / name / "training_state.pth")["trainer"] for name in ("one", "two"))
    assert two["classifier"]["weight"].shape == (10, 128)
    for part in ("model", "classifier"):
        for key, value in one[part].items():
            assert torch.allclose(value.float(), two[part][key].float(), rtol=1e-3, atol=1e-4), (part, key)
    assert history(tmp_path / "one")[0]["loss"] == pytest.approx(history(tmp_path / "two")[0]["loss"], rel=1e-4)
    done = torchrun(tmp_path, 3, *flags, "--batch_size", 25, "--output_dir", "three", code=1)
    assert "--batch_size 25: not divisible by 3 processes x --accumulate 1; use 24 or 27" in done.stderr
    state = tmp_path / "two" / "training_state.pth"
    run_script("train.py", *flags, "--epochs", 1, "--output_dir", "two", "--resume_training")
    assert read_checkpoint(state)["trainer"]["classifier"]["weight"].shape == (10, 128)


def test_a_config_file_gives_flags_and_the_command_line_wins(run_script, tmp_path, people):
    (tmp_path / "c.yaml").write_text(
        f"data: {people / 'records'}\narch: iresnet_tiny\nbatch_size: 12\nepochs: 7\nlr: 1e-2\nmilestones: [1, 2]\n"
        "split_fc: yes\neasy_margin: no\nforce_cpu: true\n"
    )
    run_script("train.py", "--config", "c.yaml", "--epochs", 1, "--split_fc", "no")
    arguments = json.loads((tmp_path / "trained" / "manifest.json").read_text())["arguments"]
    assert (arguments["epochs"], arguments["lr"], arguments["milestones"]) == (1, 0.01, [1, 2])
    assert (arguments["split_fc"], arguments["easy_margin"], arguments["force_cpu"]) == (False, False, True)


def test_unreadable_images_in_a_record_file_are_skipped_counted_and_named(run_script, tmp_path, people):
    shutil.copytree(people / "records", tmp_path / "records")
    path = tmp_path / "records" / "train.rec"
    content = bytearray(path.read_bytes())
    at = content.index(b"\xff\xd8", len(content) // 2)
    content[at : at + 400] = bytes(400)
    path.write_bytes(content)
    done = run_script(
        "train.py", "--data", "records", "--arch", "iresnet_tiny", "--batch_size", 12, "--epochs", 1, "--lr", 0.01
    )
    assert "train.rec: record 3" in done.stderr
    assert "not an image that OpenCV can decode; another image took its place" in done.stderr
    assert "1 of 60 images could not be read" in done.stderr
    assert len(json.loads((tmp_path / "trained" / "manifest.json").read_text())["unreadable_images"]) == 1


@pytest.mark.parametrize(
    ("images", "flags", "code", "message"),
    [
        (30, [], 1, "a.png: No such file or directory; nor could the 9 images after it be read"),
        (1, [], 2, "--batch_size 24: more images a step than the training data have in all (1)"),
        (30, ["--margin", 0.3], 2, "--margin: the head magface has none; it has l_a, u_a, l_m, u_m, lambda_g"),
        (30, ["--l_a", 20, "--u_a", 10], 2, "expected 0 < l_a < u_a and l_m <= u_m"),
        (30, ["--resume_training"], 2, "training_state.pth: no such file, so there is no training to resume"),
    ],
)
def test_bad_data_and_flags_end_in_one_clear_line(run_script, tmp_path, images, flags, code, message):
    (tmp_path / "train.list").write_text("a.png 0 0 0\n" * images)
    assert message in run_script("train.py", "--data", "train.list", *SMALL, *flags, code=code).stderr


@pytest.mark.parametrize(
    ("batch", "rate", "message"),
    [
        (2, 1e30, "20 steps in a row"),
        (6, 1e6, "training diverged in epoch 1"),  # its weights are too large, or most of its steps were skipped
        (60, 1e20, "training diverged in epoch 1, step 1: model."),
    ],
)
def test_a_rate_that_diverges_ends_in_words_and_its_weights_are_not_kept(
    run_script, tmp_path, people, batch, rate, message
):
    done = run_script("train.py", "--data", people / "records", "--arch", "iresnet_tiny", "--batch_size", batch, "--epochs", 2, "--lr", rate,
                      "--clip", 1e30, "--force_cpu", code=1)  # fmt: skip
    assert message in done.stderr
    assert "a lower --lr" in done.stderr
    assert "best" not in done.stdout
    assert not list((tmp_path / "trained").glob("*.pth"))


def test_lambda_below_its_bound_and_an_unscaled_rate_are_noted(run_script, people):
    done = run_script(
        "train.py",
        "--data",
        people / "records",
        "--arch",
        "iresnet_tiny",
        "--batch_size",
        16,
        "--epochs",
        1,
        "--lambda_g",
        20,
    )
    assert "--lambda_g 20 is below 22.587" in done.stderr
    assert "--lr 0.1 is for 512 images a step; for 16 the usual rule gives 0.0031" in done.stderr


def test_weights_that_a_kept_epoch_would_replace_are_refused_before_anything_is_lost(
    run_script, tmp_path, listed, tiny_checkpoint
):
    folder = tmp_path / "out"
    folder.mkdir()
    for name in ("00002.pth", "training_state.pth"):
        shutil.copy(tiny_checkpoint, folder / name)
    flags = ["--data", listed, *SMALL, "--init", "out/00002.pth", "--output_dir", "out", "--epochs", 2, "--overwrite"]
    done = run_script("train.py", *flags, "--save_every", 2, code=2)
    assert "out/00002.pth: would be written over, and is an input (--init)" in done.stderr
    assert {path.name for path in folder.iterdir() if not path.name.startswith(".")} == {
        "00002.pth",
        "training_state.pth",
    }
