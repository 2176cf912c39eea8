"""visualize_errors.py on drawn faces."""

from __future__ import annotations

import html
import json
import shutil

import numpy as np
import pytest
import torch

from magface_al.embedding.store import read_features
from magface_al.metrics.roc import confusion
from magface_al.pairs.pair_file import read_pairs


@pytest.mark.slow(12)
def test_errors_are_shown_worst_first_and_a_rerun_leaves_no_old_ones(
    run_script, tmp_path, features, pairs, tiny_checkpoint
):
    fewer = json.loads(pairs.read_text())["pairs"][::4]  # each error is drawn, which takes time
    pairs.write_text(json.dumps(fewer))
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


def test_rates_on_pairs_that_errors_chose_are_named_so(run_script, tmp_path, features, pairs):
    content = [pair for pair in json.loads(pairs.read_text())["pairs"] if pair["label"] == 1][:8]
    flags = ["--feedback_file", pairs, "--features_list", features, "--max_fp", 0, "--max_fn", 0]
    note = "8 of 8 pairs were chosen by a model's errors (strategy exact): these rates are of such pairs, not of faces at large"
    for kept, found in ((content, note), ([{**pair, "strategy": "random"} for pair in content], None)):
        pairs.write_text(json.dumps(kept))
        done = run_script("visualize_errors.py", *flags)
        summary = json.loads((tmp_path / "magface_errors" / "error_summary.json").read_text())
        assert (summary["note"], summary["chosen_by_errors"]) == (found, 8 if found else 0)
        assert (note in done.stdout) == bool(found)
        page = html.unescape((tmp_path / "magface_errors" / "index.html").read_text())
        assert (note in page) == bool(found)


def test_an_output_folder_that_cannot_be_made_is_named(run_script, features, pairs):
    flags = ["--feedback_file", pairs, "--features_list", features, "--output_dir"]
    assert (
        "/proc/errors: cannot be written (No such file"
        in run_script("visualize_errors.py", *flags, "/proc/errors", code=2).stderr
    )


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


@pytest.mark.slow(3)
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


def test_what_others_put_among_the_errors_is_never_removed(run_script, tmp_path, features, pairs):
    flags = ["--feedback_file", pairs, "--features_list", features, "--max_fp", 1, "--max_fn", 0]
    run_script("visualize_errors.py", *flags)
    run_script("visualize_errors.py", *flags)  # over its own
    (pair,) = (tmp_path / "magface_errors" / "false_positives").iterdir()
    for mine in (
        pair / "mine.txt",
        pair.parent / "mine.txt",
        tmp_path / "magface_errors" / "false_negatives" / "a.txt",
    ):
        mine.write_text("mine")
        done = run_script("visualize_errors.py", *flags, code=2)
        assert f"{mine.relative_to(tmp_path)}: was not written by this script" in done.stderr
        assert mine.read_text() == "mine"
        mine.unlink()


def test_an_input_among_its_outputs_is_refused_before_anything_is_written(run_script, tmp_path, features, pairs):
    (tmp_path / "out").mkdir()
    pairs.rename(tmp_path / "out" / "error_summary.json")
    flags = ["--feedback_file", "out/error_summary.json", "--features_list", features, "--output_dir", "out"]
    done = run_script("visualize_errors.py", *flags, code=2)
    assert "out/error_summary.json: would be written over, and is an input (--feedback_file)" in done.stderr
    assert not (tmp_path / "out" / "false_positives").exists()
