"""finetune_on_feedback.py interrupted, resumed, and with the options that change what is learnt."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from magface_al.embedding.embedder import Embedder
from magface_al.faces.preprocess import decode_image
from magface_al.metrics.cosine import unit
from magface_al.models.checkpoint import load_backbone
from magface_al.pairs.chosen import is_mined
from magface_al.pairs.pair_file import read_pairs
from magface_al.pictures.canvas import save_figure
from tests.support.scripts import ROOT


@pytest.fixture
def feedback(run_script, tmp_path, features):
    run_script("build_hard_pairs.py", "--features_list", features, "--output_file", "pairs.json", "--pos_target", 40, "--neg_target", 40)  # fmt: skip
    return tmp_path / "pairs.json"


@pytest.fixture
def flags(feedback, tiny_checkpoint):
    return [
        "--checkpoint",
        tiny_checkpoint,
        "--feedback_file",
        feedback,
        "--batch_size",
        8,
        "--val_split",
        0.3,
        "--force_cpu",
    ]


def weights(path):
    return load_backbone(path).model.state_dict()


@pytest.mark.slow(10)
@pytest.mark.process
@pytest.mark.parametrize("ema", [0, 0.9])
def test_a_killed_run_resumes_to_the_weights_of_an_unbroken_one(run_script, tmp_path, flags, ema):
    flags = [*flags, "--epochs", 3, "--ema", ema]
    run_script("finetune_on_feedback.py", *flags, "--output_dir", "whole")
    command = [sys.executable, ROOT / "finetune_on_feedback.py", *flags, "--output_dir", "cut"]
    process = subprocess.Popen([*map(str, command)], cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    history = tmp_path / "cut" / "history.json"
    while not (history.exists() and len(json.loads(history.read_text())["epochs"]) > 1):
        assert process.poll() is None
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert not (tmp_path / "cut" / "magface_feedback_epoch3.pth").exists()
    done = run_script("finetune_on_feedback.py", *flags, "--output_dir", "cut", "--resume_training")
    assert "epoch   1" not in done.stdout
    whole, resumed = (weights(tmp_path / name / "magface_feedback_epoch3.pth") for name in ("whole", "cut"))
    for key in whole:
        assert torch.equal(whole[key], resumed[key]), key
    assert (tmp_path / "whole" / "history.json").read_text() == history.read_text()
    done = run_script(
        "finetune_on_feedback.py", *flags, "--output_dir", "cut", "--resume_training", "--lr", 0.5, code=2
    )
    assert "was trained with lr 0.0001, expected 0.5" in done.stderr
    done = run_script("finetune_on_feedback.py", *flags, "--output_dir", "empty", "--resume_training", code=2)
    assert "no training to resume" in done.stderr


DRAWN = ("history.json", "history.png", "relabel.json", "manifest.json")


@pytest.mark.slow(4)
@pytest.mark.parametrize("lost", [DRAWN, DRAWN[1:]], ids=["before its history", "before its picture"])
def test_a_run_that_was_cut_while_it_drew_its_last_picture_is_repaired(run_script, tmp_path, flags, monkeypatch, lost):
    flags = [*flags, "--epochs", 2, "--output_dir", "out"]

    def die(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        pictures = iter([save_figure, save_figure, die])
        patched.setattr("magface_al.training.progress.save_figure", lambda *rest: next(pictures)(*rest))
        run_script("finetune_on_feedback.py", *flags, code=130)
    for name in lost:
        (tmp_path / "out" / name).unlink(missing_ok=True)
    done = run_script("finetune_on_feedback.py", *flags, "--resume_training")
    assert "epoch   2" not in done.stdout  # all of them are done
    assert {path.name for path in (tmp_path / "out").iterdir()} >= set(DRAWN)
    assert len(json.loads((tmp_path / "out" / "history.json").read_text())["epochs"]) == 3


@pytest.mark.slow(3)
def test_several_files_are_learnt_from_as_one(run_script, tmp_path, flags, feedback):
    content = json.loads(feedback.read_text())
    pairs, half = content["pairs"], len(content["pairs"]) // 2
    wrong = {**pairs[half], "label": 1 - pairs[half]["label"]}  # answered otherwise in the second file, which counts
    parts = [tmp_path / "rounds" / "first.json", tmp_path / "rounds" / "deeper" / "second.json"]
    parts[1].parent.mkdir(parents=True)
    for path, part in zip(parts, ([*pairs[:half], wrong], pairs[half:]), strict=True):
        places = [
            {key: os.path.relpath(read_pairs(feedback).locate(pair[key]), path.parent) for key in ("image1", "image2")}
            for pair in part
        ]
        placed = [pair | place for pair, place in zip(part, places, strict=True)]
        path.write_text(json.dumps({"pairs": placed}))
    run_script("finetune_on_feedback.py", *flags, "--epochs", 1, "--output_dir", "one")
    run_script("finetune_on_feedback.py", *flags, "--epochs", 1, "--output_dir", "two", "--feedback_file", *parts)
    one, two = ((tmp_path / name / "history.json").read_text() for name in ("one", "two"))
    assert one == two


@pytest.mark.slow(5)
@pytest.mark.process
def test_ctrl_c_keeps_the_epochs_that_are_done(tmp_path, flags, run_script):
    command = [sys.executable, ROOT / "finetune_on_feedback.py", *flags, "--epochs", 200, "--output_dir", "out"]
    process = subprocess.Popen([*map(str, command)], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)  # fmt: skip
    state = tmp_path / "out" / "training_state.pth"
    while not state.exists():
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "complete epochs are kept; --resume_training goes on from there" in errors
    assert "Traceback" not in errors
    load_backbone(tmp_path / "out" / "magface_feedback_best.pth")
    assert not list((tmp_path / "out").glob("*.part"))


@pytest.mark.slow(2)
def test_batch_norm_in_training_mode_replaces_the_statistics(run_script, tmp_path, flags, tiny_checkpoint):
    run_script("finetune_on_feedback.py", *flags, "--epochs", 1, "--batch_norm", "train", "--output_dir", "out")
    start, tuned = weights(tiny_checkpoint), weights(tmp_path / "out" / "magface_feedback_epoch1.pth")
    assert not torch.equal(start["bn1.running_mean"], tuned["bn1.running_mean"])


@pytest.mark.slow(9)
@pytest.mark.parametrize("part", ["head", "last_stage"])
def test_only_the_chosen_layers_learn(run_script, tmp_path, flags, tiny_checkpoint, part):
    run_script("finetune_on_feedback.py", *flags, "--epochs", 1, "--trainable", part, "--output_dir", "out")
    start, tuned = weights(tiny_checkpoint), weights(tmp_path / "out" / "magface_feedback_epoch1.pth")
    changed = {key.split(".")[0] for key in start if not torch.equal(start[key], tuned[key])}
    assert changed <= ({"fc", "features", "bn2"} | ({"layer4"} if part == "last_stage" else set()))
    assert "fc" in changed
    assert ("layer4" in changed) == (part == "last_stage")


@pytest.mark.slow(4)
def test_wrong_answers_are_listed_for_a_second_look(run_script, tmp_path, feedback):
    content = json.loads(feedback.read_text())
    content["pairs"] = [{**pair, "strategy": "random"} for pair in content["pairs"]]
    easiest = max((pair for pair in content["pairs"] if pair["label"] == 1), key=lambda pair: pair["similarity"])
    easiest["label"] = 0
    feedback.write_text(json.dumps(content))
    run_script(
        "finetune_on_feedback.py",
        "--checkpoint",
        ROOT / "assets" / "demo_magface.pth",
        "--feedback_file",
        feedback,
        "--epochs",
        1,
        "--lr",
        1e-9,
        "--split_by",
        "pair",
        "--output_dir",
        "out",
    )
    doubted = read_pairs(tmp_path / "out" / "relabel.json").pairs
    assert all(map(is_mined, doubted))
    listed = {pair.key() for pair in doubted}
    assert tuple(sorted((easiest["image1"], easiest["image2"]))) in listed


@pytest.mark.slow(3)
def test_missing_images_are_named_and_the_rest_is_learnt(run_script, flags, feedback):
    content = json.loads(feedback.read_text())
    content["pairs"][0]["image1"] = "absent.png"
    feedback.write_text(json.dumps(content))
    done = run_script("finetune_on_feedback.py", *flags, "--epochs", 1)
    assert "absent.png: No such file or directory; it is left out, and so are its pairs" in done.stderr


def test_an_output_folder_that_is_a_file_is_named(run_script, tmp_path, flags):
    (tmp_path / "file").touch()
    assert (
        "file/out: cannot be written (Not a directory)"
        in run_script("finetune_on_feedback.py", *flags, "--output_dir", "file/out", code=2).stderr
    )


@pytest.mark.slow(4)
def test_answers_that_contradict_each_other_are_reported(run_script, tmp_path, flags, feedback):
    content = json.loads(feedback.read_text())
    one, two, three = sorted({pair[side] for pair in content["pairs"] for side in ("image1", "image2")})[:3]
    content["pairs"] = [pair for pair in content["pairs"] if {pair["image1"], pair["image2"]} != {one, three}]
    for a, b, label in ((one, two, 1), (two, three, 1), (one, three, 0)):
        person = Path(one).parent.name
        content["pairs"].append({"image1": a, "image2": b, "label": label, "identity1": person, "identity2": person})
    feedback.write_text(json.dumps(content))
    done = run_script("finetune_on_feedback.py", *flags, "--epochs", 1)
    assert "1 pair is answered different although other answers make them one person" in done.stderr


@pytest.mark.slow(7)
def test_replayed_faces_hold_the_model_where_it_was(run_script, tmp_path, flags, faces, tiny_checkpoint):
    listed = (faces / "images.list").read_text().split()
    moved = {}
    for weight in (0, 1000):
        run_script("finetune_on_feedback.py", *flags, "--epochs", 2, "--lr", 0.001, "--replay_list", faces / "images.list", "--replay", weight,
                   "--output_dir", f"out{weight}")  # fmt: skip
        after = load_backbone(tmp_path / f"out{weight}" / "magface_feedback_epoch2.pth")
        images = np.stack([decode_image(Path(name))[0] for name in listed])
        rows = [
            Embedder(model.model, model.preprocessing, torch.device("cpu"))(images)
            for model in (load_backbone(tiny_checkpoint), after)
        ]
        moved[weight] = 1 - np.mean(np.sum(unit(rows[0]) * unit(rows[1]), axis=1))
    assert moved[1000] < moved[0] / 2


@pytest.mark.slow(8)
@pytest.mark.parametrize("unnamed", [0, 0.3], ids=["all", "some"])
def test_validation_ranks_every_pair_of_people_who_are_named(
    run_script, tmp_path, flags, feedback, tiny_checkpoint, unnamed
):
    content = json.loads(feedback.read_text())
    nameless = sorted({pair[f"identity{side}"] for pair in content["pairs"] for side in (1, 2)})
    nameless = set(nameless[: round(unnamed * len(nameless))])
    for pair in content["pairs"]:
        for key in ("identity1", "identity2"):
            pair[key] = None if pair[key] in nameless else pair[key]
    feedback.write_text(json.dumps(content))
    run_script(
        "finetune_on_feedback.py", *flags, "--epochs", 1, "--lr", 1e-12, "--split_by", "pair", "--output_dir", "named"
    )
    found = read_pairs(tmp_path / "named" / "val_pairs.json")
    model, names = load_backbone(tiny_checkpoint), found.images()
    faces = np.stack([decode_image(found.locate(name))[0] for name in names])
    directions = unit(Embedder(model.model, model.preprocessing, torch.device("cpu"))(faces))
    person = {name: Path(name).parent.name for name in names}
    known = [name for name in names if person[name] not in nameless]
    ranked = [(one, two, person[one] == person[two]) for k, one in enumerate(known) for two in known[:k]]
    answered = [(p.image1, p.image2, p.label) for p in found.pairs if {person[p.image1], person[p.image2]} & nameless]
    assert len(ranked) > 2 * len(found.pairs)
    assert bool(answered) == bool(unnamed)
    row = {name: k for k, name in enumerate(names)}
    same, cosine = zip(*((label, directions[row[one]] @ directions[row[two]]) for one, two, label in ranked + answered), strict=True)  # fmt: skip
    start = json.loads((tmp_path / "named" / "history.json").read_text())["epochs"][0]
    assert start["val_auc"] == pytest.approx(roc_auc_score(same, cosine), abs=1e-5)


@pytest.mark.slow(2)
def test_validation_ranks_the_answered_pairs_of_people_without_names(run_script, tmp_path, flags, feedback):
    content = json.loads(feedback.read_text())
    content["pairs"] = [{key: pair[key] for key in ("image1", "image2", "label")} for pair in content["pairs"]]
    feedback.write_text(json.dumps(content))
    run_script(
        "finetune_on_feedback.py", *flags, "--epochs", 1, "--lr", 1e-12, "--split_by", "pair", "--output_dir", "bare"
    )
    found = read_pairs(tmp_path / "bare" / "val_pairs.json")
    known = {pair.key(): pair for pair in read_pairs(feedback).pairs}
    assert {pair.key() for pair in found.pairs} <= set(known)
    run_script(
        "visualize_errors.py",
        "--model",
        flags[1],
        "--feedback_file",
        "bare/val_pairs.json",
        "--max_fp",
        0,
        "--max_fn",
        0,
    )
    summary = json.loads((tmp_path / "magface_errors" / "error_summary.json").read_text())
    start = json.loads((tmp_path / "bare" / "history.json").read_text())["epochs"][0]
    assert start["val_auc"] == pytest.approx(summary["auc"], abs=1e-5)


def finetune(run_script, checkpoint, pairs, *flags, **options):
    return run_script("finetune_on_feedback.py", "--checkpoint", checkpoint, "--feedback_file", pairs, "--batch_size", 16, "--val_split", 0.3,
                      "--force_cpu", *flags, **options)  # fmt: skip


@pytest.mark.slow(3)
def test_finetuning_writes_every_epoch_and_leaves_batchnorm_alone(run_script, tmp_path, pairs, tiny_checkpoint):
    finetune(run_script, tiny_checkpoint, pairs, "--epochs", 2, "--output_dir", "whole")
    history = json.loads((tmp_path / "whole" / "history.json").read_text())
    assert [entry["epoch"] for entry in history["epochs"]] == [0, 1, 2]
    names = {path.name for path in (tmp_path / "whole").iterdir()}
    assert names >= {
        "magface_feedback_epoch1.pth",
        "magface_feedback_epoch2.pth",
        "magface_feedback_best.pth",
        "history.png",
        "relabel.json",
        "manifest.json",
    }
    aucs = [entry["val_auc"] for entry in history["epochs"]]
    assert aucs[history["best_epoch"]] == max(aucs)
    start = load_backbone(tiny_checkpoint).model.state_dict()
    tuned = load_backbone(tmp_path / "whole" / "magface_feedback_epoch2.pth").model.state_dict()
    for key in start:
        same = torch.equal(start[key], tuned[key])
        assert same if "running" in key else True, key
    assert not torch.equal(start["fc.weight"], tuned["fc.weight"])


def test_nobody_is_trained_on_and_validated(run_script, tmp_path, pairs, tiny_checkpoint):
    finetune(
        run_script,
        tiny_checkpoint,
        pairs,
        "--epochs",
        1,
        "--output_dir",
        "out",
        "--trainable",
        "head",
        "--test_split",
        0.2,
    )
    people = []
    for part in ("train", "val", "test"):
        found = read_pairs(tmp_path / "out" / f"{part}_pairs.json").pairs
        people.append({pair.extra[key] for pair in found for key in ("identity1", "identity2")})
    assert not (people[0] & people[1] or people[0] & people[2] or people[1] & people[2])


@pytest.mark.slow(4)
def test_the_documented_recipe_warns_that_different_pairs_teach_nothing(run_script, pairs, tiny_checkpoint):
    done = finetune(
        run_script, tiny_checkpoint, pairs, "--epochs", 1, "--loss", "contrastive", "--margin", 0.01, "--lr", 1e-12
    )
    assert "0 of" in done.stdout
    assert "hardly any different pair has a gradient" in done.stderr


@pytest.mark.slow(4)
def test_original_weights_are_best_when_nothing_improves(run_script, tmp_path, pairs, tiny_checkpoint):
    done = finetune(run_script, tiny_checkpoint, pairs, "--epochs", 1, "--lr", 1e-12, "--output_dir", "out")
    assert "the original weights are written as best" in done.stderr
    best = load_backbone(tmp_path / "out" / "magface_feedback_best.pth")
    assert best.weights_sha256 == load_backbone(tiny_checkpoint).weights_sha256


def test_a_loss_that_is_not_finite_stops_with_words(run_script, pairs, tiny_checkpoint):
    done = finetune(run_script, tiny_checkpoint, pairs, "--epochs", 2, "--lr", 1e30, "--clip", 1e30, code=1)
    assert "the loss is" in done.stderr
    assert "try a lower --lr" in done.stderr


def test_labels_of_one_kind_are_refused(run_script, write_pairs_file, pairs, tiny_checkpoint):
    same = [entry for entry in json.loads(pairs.read_text())["pairs"] if entry["label"] == 1]
    done = finetune(run_script, tiny_checkpoint, write_pairs_file(same, "same.json"), "--epochs", 1, code=2)
    assert "expected both same and different ones" in done.stderr


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if not path.name.startswith(".")}


OUTPUTS = (
    "val_random_pairs.json",
    "test_random_pairs.json",
    "test_pairs.json",
    "relabel.json",
    "magface_feedback_epoch1.pth",
    "magface_feedback_best.pth",
    "training_state.pth",
)


@pytest.mark.parametrize("name", OUTPUTS)
def test_a_folder_that_holds_an_input_is_left_as_it_is(run_script, tmp_path, pairs, tiny_checkpoint, name):
    folder, weights = tmp_path / "out", name.endswith(".pth")
    folder.mkdir()
    for output in OUTPUTS:
        (folder / output).write_bytes((tiny_checkpoint if output.endswith(".pth") else pairs).read_bytes())
    before = contents(folder)
    checkpoint, second = (folder / name, []) if weights else (tiny_checkpoint, [folder / name])
    flags = ["--checkpoint", checkpoint, "--feedback_file", pairs, *second, "--output_dir", "out", "--epochs", 1]
    done = run_script("finetune_on_feedback.py", *flags, "--force_cpu", code=2)
    which = "--checkpoint" if weights else "--feedback_file"
    assert f"out/{name}: would be written over, and is an input ({which})" in done.stderr
    assert contents(folder) == before
