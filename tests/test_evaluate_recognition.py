"""evaluate_recognition.py on a .bin of drawn people."""

from __future__ import annotations

import json
import pickle

import cv2
import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from magface_al.faces.preprocess import PRESETS
from magface_al.metrics.cosine import cosines
from magface_al.models.backbones import build_backbone
from magface_al.models.checkpoint import load_backbone, save_backbone
from magface_al.pairs.pair_file import read_pairs


@pytest.fixture
def drawn_bin(tmp_path, faces):
    """drawn.bin: 40 pairs of the drawn people, and the pairs JSON that names the same files."""
    files = [[faces / f"person_{person:02d}" / f"{image}.png" for image in range(5)] for person in range(12)]
    rng = np.random.default_rng(1)
    listed = []
    for k in range(40):
        one, other = rng.choice(12, 2, replace=False)
        i, j = rng.choice(5, 2, replace=False)
        second = one if k % 2 else other
        listed.append((files[one][i], files[second][j], k % 2, f"{one}", f"{second}"))
    images = [path.read_bytes() for pair in listed for path in pair[:2]]
    (tmp_path / "drawn.bin").write_bytes(pickle.dumps((images, [bool(pair[2]) for pair in listed]), 2))
    content = [
        {"image1": str(a), "image2": str(b), "label": y, "identity1": p, "identity2": q} for a, b, y, p, q in listed
    ]
    (tmp_path / "drawn.json").write_text(json.dumps(content))
    return tmp_path / "drawn.bin"


@pytest.fixture(scope="module")
def other_checkpoint(tmp_path_factory):
    torch.manual_seed(8)
    path = tmp_path_factory.mktemp("weights") / "other.pth"
    save_backbone(path, build_backbone("iresnet_tiny").eval(), arch="iresnet_tiny", preprocessing=PRESETS["magface"])
    return path


def figures_of(tmp_path, folder="recognition"):
    content = json.loads((tmp_path / folder / "results.json").read_text())
    return {(row["model"], row["set"]): row for row in content["results"]}


def test_a_set_that_errors_chose_is_named_so(run_script, tmp_path, features, pairs):
    done = run_script(
        "evaluate_recognition.py", "--features_list", features, "--set", f"hard={pairs}", "--folds", 2, "--resamples", 5
    )
    chosen = "120 of 120 pairs were chosen by a model's errors (strategy exact)"
    assert f"note: hard: {chosen}: its figures are of such pairs, not of faces at large" in done.stderr
    assert "120, 120 chosen by errors" in (tmp_path / "recognition" / "results.md").read_text()
    assert [row["chosen_by_errors"] for row in figures_of(tmp_path).values()] == [120]


@pytest.mark.slow(3)
def test_one_table_over_checkpoints_and_sets(run_script, tmp_path, drawn_bin, tiny_checkpoint, other_checkpoint):
    done = run_script(
        "evaluate_recognition.py", "--checkpoint", tiny_checkpoint, other_checkpoint, "--set", "BIN=drawn.bin", "drawn.json",
        "--resamples", "20", "--force_cpu",
    )  # fmt: skip
    found = figures_of(tmp_path)
    assert set(found) == {(model, name) for model in ("tiny.pth", "other.pth") for name in ("BIN", "drawn")}
    for model, checkpoint in (("tiny.pth", tiny_checkpoint), ("other.pth", other_checkpoint)):
        of_bin, of_json = found[model, "BIN"], found[model, "drawn"]
        assert {key: of_bin[key] for key in ("accuracy", "auc", "eer", "threshold")} == pytest.approx(
            {key: of_json[key] for key in ("accuracy", "auc", "eer", "threshold")}
        )
        assert of_bin["intervals_95"] is None  # a .bin does not say who its people are
        low, high = of_json["intervals_95"]["accuracy"]
        assert low <= of_json["accuracy"] <= high
        assert of_bin["auc"] == pytest.approx(auc_by_hand(checkpoint, tmp_path / "drawn.json"), abs=1e-6)
    table = (tmp_path / "recognition" / "results.md").read_text()
    assert table in done.stdout
    assert "protocol cosine, no mean subtraction, flip none, 10 folds" in table
    assert "insufficient data" in table  # 20 impostor pairs show no FAR of 0.01
    assert cv2.imread(str(tmp_path / "recognition" / "roc.png")) is not None
    assert json.loads((tmp_path / "recognition" / "manifest.json").read_text())["exit_code"] == 0


def auc_by_hand(checkpoint, listed):
    backbone = load_backbone(checkpoint)
    pairs = read_pairs(listed)
    vectors = {
        image: backbone.model(torch.from_numpy(cv2.imread(image)).permute(2, 0, 1)[None] / 255).detach().numpy()[0]
        for image in pairs.images()
    }
    sides = [np.stack([vectors[getattr(pair, side)] for pair in pairs.pairs]) for side in ("image1", "image2")]
    return roc_auc_score(pairs.labels(), cosines(*sides))


@pytest.mark.slow(3)
def test_flip_and_mean_change_the_figure_and_are_named(run_script, tmp_path, drawn_bin, tiny_checkpoint):
    flags = ["--checkpoint", tiny_checkpoint, "--set", "drawn.bin", "--force_cpu", "--output_dir"]
    run_script("evaluate_recognition.py", *flags, "plain")
    run_script("evaluate_recognition.py", *flags, "flip", "--flip", "sum")
    done = run_script("evaluate_recognition.py", *flags, "mean", "--subtract_mean")
    assert "protocol cosine, mean of the other folds subtracted, flip none" in done.stdout
    assert "flip sum" in (tmp_path / "flip" / "results.md").read_text()
    plain, flip, mean = (figures_of(tmp_path, folder)["tiny.pth", "drawn"] for folder in ("plain", "flip", "mean"))
    assert flip["auc"] != plain["auc"]
    assert mean["threshold"] != plain["threshold"]
    assert mean["auc"] == plain["auc"]  # of the plain cosine


def test_a_feature_store_stands_in_for_the_network_if_it_was_made_the_same_way(
    run_script, tmp_path, drawn_bin, faces, features, tiny_checkpoint
):
    run_script("evaluate_recognition.py", "--features_list", features, "--set", "drawn.json")
    stored = figures_of(tmp_path)["features.npy", "drawn"]
    run_script("evaluate_recognition.py", "--checkpoint", tiny_checkpoint, "--set", "drawn.json", "--force_cpu")
    assert stored["auc"] == pytest.approx(figures_of(tmp_path)["tiny.pth", "drawn"]["auc"])
    done = run_script(
        "evaluate_recognition.py", "--features_list", features, "--set", "drawn.json", "--flip", "sum", code=2
    )
    assert "made with --flip none, expected sum as in this run" in done.stderr
    run_script("gen_features.py", "--inf_list", faces / "images.list", "--feat_list", "flipped.npy", "--resume", tiny_checkpoint, "--flip", "sum", "--force_cpu")  # fmt: skip
    run_script("evaluate_recognition.py", "--features_list", "flipped.npy", "--set", "drawn.json", "--flip", "sum")


def test_unreadable_images_are_counted_and_end_with_1(run_script, tmp_path, drawn_bin, tiny_checkpoint):
    images, same = pickle.loads(drawn_bin.read_bytes())
    images[5] = b"no image"
    drawn_bin.write_bytes(pickle.dumps((images, same)))
    flags = ["evaluate_recognition.py", "--checkpoint", tiny_checkpoint, "--set", "drawn.bin", "--force_cpu"]
    done = run_script(*flags, code=1)
    assert "drawn.bin#5: not an image that OpenCV can decode; its pairs are left out" in done.stderr
    assert "1 pair was left out because images could not be read" in done.stderr
    assert "39 of 40" in (tmp_path / "recognition" / "results.md").read_text()
    run_script(*flags, "--allow_failures")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--set", "drawn.bin"], "give --checkpoint to embed the images, or --features_list"),
        (["--set", "drawn.bin", "--checkpoint", "a", "b", "--features_list", "c"], "2 checkpoints and 1 feature stores"),
        (["--set", "drawn.bin", "--checkpoint", "a.pth", "a.pth"], "a.pth: given twice, expected a different file"),
        (["--set", "A=drawn.bin", "A=x.bin", "--checkpoint", "a"], "two sets are called 'A'"),
        (["--set", "drawn.bin", "--checkpoint", "a", "--protocol", "magface", "--subtract_mean"], "magface always subtracts it"),
        (["--set", "drawn.bin", "--checkpoint", "a", "--protocol", "facexzoo", "--subtract_mean"], "facexzoo has no such step"),
        (["--set", "drawn.bin", "--checkpoint", "a", "--folds", "1"], "expected at least 2"),
        (["--set", "drawn.bin", "--checkpoint", "a", "--folds", "41"], "at least --folds 41 of them"),
        (["--set", "absent.bin", "--checkpoint", "a"], "absent.bin: No such file"),
        (["--set", "A=", "--checkpoint", "a"], "expected NAME=PATH"),
        (["--set", "drawn.bin", "--checkpoint", "absent.pth"], "absent.pth: No such file"),
    ],
)  # fmt: skip
def test_what_cannot_be_evaluated_is_refused_in_words(run_script, drawn_bin, flags, message):
    assert message in run_script("evaluate_recognition.py", *flags, code=2).stderr
