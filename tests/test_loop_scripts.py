"""The stages after the embeddings, each through its command line, on drawn faces."""

from __future__ import annotations

import json
import resource
import shutil

import numpy as np
import pytest
import torch

from magface_al.embedding.store import read_features
from magface_al.metrics.cosine import unit
from magface_al.metrics.roc import confusion
from magface_al.models.checkpoint import load_backbone
from magface_al.pairs.pair_file import read_pairs


@pytest.fixture
def pairs(run_script, tmp_path, features):
    run_script(
        "build_hard_pairs.py",
        "--features_list",
        features,
        "--output_file",
        "pairs.json",
        "--pos_target",
        60,
        "--neg_target",
        60,
    )
    return tmp_path / "pairs.json"


def test_hard_pairs_are_the_hardest_and_say_so(run_script, tmp_path, features):
    flags = [
        "--features_list",
        features,
        "--pos_target",
        6000,
        "--neg_target",
        50,
        "--max_per_image",
        0,
        "--output_file",
    ]
    done = run_script("build_hard_pairs.py", *flags, "pairs.json")
    assert "only 120 of the 6000 same pairs wanted exist" in done.stderr  # 12 people x 10 pairs of 5 images
    assert "different pairs: cosine min" in done.stdout
    found = read_pairs(tmp_path / "pairs.json").pairs
    store = read_features(features)
    directions, row = unit(store.embeddings), {name: k for k, name in enumerate(store.names)}
    cosine = directions @ directions.T
    person = np.array([name.split("/")[-2] for name in store.names])
    different = np.triu(person[:, None] != person[None, :])
    assert min(p.extra["similarity"] for p in found if p.label == 0) == pytest.approx(
        np.sort(cosine[different])[-50], abs=1e-5
    )
    for pair in found:
        assert pair.extra["similarity"] == pytest.approx(cosine[row[pair.image1], row[pair.image2]], abs=1e-5)
    run_script("build_hard_pairs.py", *flags, "again.json")
    assert read_pairs(tmp_path / "again.json").pairs == found


@pytest.mark.parametrize("strategy", ["sampled", "balanced"])
def test_random_strategies_follow_the_seed(run_script, tmp_path, features, strategy):
    flags = [
        "--features_list",
        features,
        "--pos_target",
        30,
        "--neg_target",
        30,
        "--strategy",
        strategy,
        "--output_file",
    ]
    run_script("build_hard_pairs.py", *flags, "a.json", "--seed", 1)
    run_script("build_hard_pairs.py", *flags, "b.json", "--seed", 1)
    run_script("build_hard_pairs.py", *flags, "c.json", "--seed", 2)
    a, b, c = (read_pairs(tmp_path / f"{name}.json").pairs for name in "abc")
    assert a == b != c
    assert len({pair.key() for pair in a}) == 60


def test_identities_may_come_from_a_list(run_script, tmp_path):
    (tmp_path / "f.list").write_text("a.jpg 1 0\nb.jpg 0.9 0.1\nc.jpg 0 1\n")
    one = run_script("build_hard_pairs.py", "--features_list", "f.list", "--output_file", "p.json", code=2)
    assert "all 3 images show one identity" in one.stderr
    (tmp_path / "who.list").write_text("a.jpg 0 7 0\nb.jpg 0 7 0\nc.jpg ann\n")
    run_script(
        "build_hard_pairs.py",
        "--features_list",
        "f.list",
        "--output_file",
        "p.json",
        "--identity_from",
        "list",
        "--identity_list",
        "who.list",
    )
    found = {pair.key(): pair.label for pair in read_pairs(tmp_path / "p.json").pairs}
    assert found == {("a.jpg", "b.jpg"): 1, ("a.jpg", "c.jpg"): 0, ("b.jpg", "c.jpg"): 0}


def test_errors_are_shown_worst_first_and_a_rerun_leaves_no_old_ones(
    run_script, tmp_path, features, pairs, tiny_checkpoint
):
    flags = [
        "--model",
        tiny_checkpoint,
        "--feedback_file",
        pairs,
        "--features_list",
        features,
        "--output_dir",
        "errors",
        "--threshold",
    ]
    done = run_script("visualize_errors.py", *flags, 0.4, "--max_fn", 3)
    summary = json.loads((tmp_path / "errors" / "error_summary.json").read_text())
    content = read_pairs(pairs)
    expected = confusion(np.array([p.extra["similarity"] for p in content.pairs]), content.labels(), 0.4)
    for name, value in vars(expected).items():
        assert summary[name] == value
    assert summary["accuracy"] == pytest.approx(expected.accuracy)
    assert "insufficient data" in done.stdout
    folders = sorted((tmp_path / "errors" / "false_positives").iterdir())
    assert len(folders) == expected.false_positives
    assert len(list((tmp_path / "errors" / "false_negatives").iterdir())) == min(3, expected.false_negatives)
    similarities = [float(folder.name.split("sim")[1]) for folder in folders]
    assert similarities == sorted(similarities, reverse=True)
    assert {path.name for path in folders[0].iterdir()} >= {"comparison.png", "info.txt"}
    assert len(list(folders[0].glob("img[12]_*.png"))) == 2
    page = (tmp_path / "errors" / "index.html").read_text()
    assert page.count('<li data-kind="false positive"') == len(folders)
    assert "http://" not in page
    assert "https://" not in page
    run_script("visualize_errors.py", *flags, 1)
    assert not list((tmp_path / "errors" / "false_positives").iterdir())
    assert json.loads((tmp_path / "errors" / "error_summary.json").read_text())["precision"] is None


def test_labels_of_one_kind_leave_figures_undefined(run_script, tmp_path, features, pairs):
    same = [pair for pair in json.loads(pairs.read_text())["pairs"] if pair["label"] == 1]
    (tmp_path / "same.json").write_text(json.dumps(same))
    done = run_script(
        "visualize_errors.py", "--feedback_file", "same.json", "--features_list", features, "--output_dir", "errors"
    )
    summary = json.loads((tmp_path / "errors" / "error_summary.json").read_text())
    assert [summary[name] for name in ("auc", "eer", "fmr", "best_threshold")] == [None] * 4
    assert summary["recall"] == summary["true_positives"] / len(same)
    assert "undefined" in done.stdout


def test_a_full_disk_leaves_the_old_pairs(run_process, tmp_path, features, pairs):
    before = pairs.read_bytes()
    done = run_process("build_hard_pairs.py", "--features_list", features, "--output_file", pairs, "--seed", 1, code=1,
                       preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000)))  # fmt: skip
    assert "File too large" in done.stderr
    assert pairs.read_bytes() == before


def test_an_output_folder_that_cannot_be_made_is_named(run_script, features, pairs):
    flags = ["--feedback_file", pairs, "--features_list", features, "--output_dir"]
    assert "/proc/errors: No such file" in run_script("visualize_errors.py", *flags, "/proc/errors", code=2).stderr


def test_hostile_names_do_not_reach_the_page(run_script, tmp_path, faces):
    folder = tmp_path / "<img src=x onerror=alert(1)>"
    shutil.copytree(faces / "person_00", folder)
    names = [f"{folder}/{k}.png" for k in range(2)]
    np.save(tmp_path / "f.npy", np.eye(2, dtype=np.float32))
    (tmp_path / "f.paths.txt").write_text("\n".join(names))
    (tmp_path / "f.json").write_text(json.dumps({"arguments": {"root": "."}, "checkpoint": {}}))
    (tmp_path / "p.json").write_text(json.dumps([{"image1": names[0], "image2": names[1], "label": 1}]))
    run_script("visualize_errors.py", "--feedback_file", "p.json", "--features_list", "f.npy", "--output_dir", "errors")
    assert "<img src=x" not in (tmp_path / "errors" / "index.html").read_text()


def test_features_of_other_weights_or_another_convention_are_refused(
    run_script, tmp_path, features, pairs, tiny_checkpoint
):
    other = torch.load(tiny_checkpoint, weights_only=True)
    other["state_dict"]["features.module.fc.bias"] += 1
    torch.save(other, tmp_path / "other.pth")
    flags = ["--feedback_file", pairs, "--features_list", features, "--model"]
    assert "made with other weights" in run_script("visualize_errors.py", *flags, "other.pth", code=2).stderr
    done = run_script("visualize_errors.py", *flags, tiny_checkpoint, "--preprocessing", "arcface", code=2)
    assert "its images were read as magface, expected arcface" in done.stderr


def test_images_missing_in_the_features_are_embedded(run_script, tmp_path, features, pairs, tiny_checkpoint):
    content = json.loads(pairs.read_text())
    store = read_features(features)
    (tmp_path / "few.list").write_text("\n".join(store.names[:20]) + "\n")
    run_script("gen_features.py", "--inf_list", "few.list", "--feat_list", "few.npy", "--resume", tiny_checkpoint)
    for name, flags in (
        ("all", ["--features_list", features]),
        ("few", ["--features_list", "few.npy", "--model", tiny_checkpoint]),
    ):
        run_script(
            "visualize_errors.py", "--feedback_file", pairs, "--output_dir", name, "--max_fp", 0, "--max_fn", 0, *flags
        )
    summaries = [json.loads((tmp_path / name / "error_summary.json").read_text()) for name in ("all", "few")]
    assert summaries[0]["auc"] == pytest.approx(summaries[1]["auc"], abs=1e-4)
    assert len(content["pairs"]) == summaries[1]["pairs"]
    done = run_script("visualize_errors.py", "--feedback_file", pairs, "--features_list", "few.npy", code=2)
    assert "have no embedding" in done.stderr


def finetune(run_script, checkpoint, pairs, *flags, **options):
    return run_script("finetune_on_feedback.py", "--checkpoint", checkpoint, "--feedback_file", pairs, "--batch_size", 16, "--val_split", 0.3,
                      "--force_cpu", *flags, **options)  # fmt: skip


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


def test_the_documented_recipe_warns_that_different_pairs_teach_nothing(run_script, pairs, tiny_checkpoint):
    done = finetune(
        run_script, tiny_checkpoint, pairs, "--epochs", 1, "--loss", "contrastive", "--margin", 0.01, "--lr", 1e-12
    )
    assert "0 of" in done.stdout
    assert "hardly any different pair has a gradient" in done.stderr


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


def test_evaluation_reports_the_change_and_guards_against_forgetting(run_script, tmp_path, pairs, tiny_checkpoint):
    finetune(run_script, tiny_checkpoint, pairs, "--epochs", 1, "--output_dir", "out")
    flags = ["--checkpoint", tiny_checkpoint, "--feedback_file", pairs, "--resamples", 50, "--finetuned"]
    done = run_script(
        "evaluate_finetuned_model.py",
        *flags,
        "out/magface_feedback_epoch1.pth",
        "--general_file",
        pairs,
        "--max_regression",
        1,
    )
    result = json.loads((tmp_path / "evaluation" / "evaluation.json").read_text())["target"]
    assert result["change"]["eer"] == pytest.approx(result["after"]["eer"] - result["before"]["eer"])
    assert result["before"]["tar_at_far_0.001"] is None
    assert "insufficient data" in done.stdout
    wrecked = torch.load(tiny_checkpoint, weights_only=True)
    wrecked["state_dict"]["features.module.fc.weight"] = torch.randn(128, 96 * 49) * 0.01
    wrecked["state_dict"]["features.module.layer1.0.conv1.weight"] *= 50
    torch.save(wrecked, tmp_path / "wrecked.pth")
    done = run_script(
        "evaluate_finetuned_model.py", *flags, "wrecked.pth", "--general_file", pairs, "--max_regression", 0, code=None
    )
    flipped = json.loads((tmp_path / "evaluation" / "flipped.json").read_text())["pairs"]
    result = json.loads((tmp_path / "evaluation" / "evaluation.json").read_text())
    assert len(flipped) == result["fixed"] + result["broken"]
    assert done.returncode == (1 if result["general_eer_rise"] > 0 else 0)
