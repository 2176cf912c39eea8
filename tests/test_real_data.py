"""The scripts on real photos and a real model: known accuracy, known label errors."""

from __future__ import annotations

import json

import numpy as np
import pytest

from magface_al.metrics.cosine import unit
from magface_al.pairs.pair_file import read_pairs

pytestmark = pytest.mark.slow(20)


def lfw_pairs(path):
    """(names1, names2, same) of the official list: ten folds of 300 same and 300 different pairs."""
    first, second, same = [], [], []
    for line in path.read_text().splitlines()[1:]:
        words = line.split("\t")
        other = words[0] if len(words) == 3 else words[2]
        first.append(f"{words[0]}/{words[0]}_{int(words[1]):04d}.jpg")
        second.append(f"{other}/{other}_{int(words[-1]):04d}.jpg")
        same.append(len(words) == 3)
    return first, second, np.array(same)


def ten_fold_accuracy(similarity, same):
    """Each tenth judged at the threshold that is best on the other nine."""
    fold = np.arange(len(same)) // 600
    thresholds = np.linspace(-1, 1, 2001)
    right = (similarity[None] >= thresholds[:, None]) == same
    return np.mean([right[right[:, fold != k].mean(1).argmax()][fold == k].mean() for k in range(10)])


def test_lfw_has_its_known_accuracy(lfw, shared_data):
    store, _ = lfw
    assert store.embeddings.shape == (9776, 128)
    row = {name: k for k, name in enumerate(store.names)}
    first, second, same = lfw_pairs(shared_data / "pairs" / "lfw_pairs.txt")
    directions = unit(store.embeddings)
    similarity = np.sum(directions[[row[name] for name in first]] * directions[[row[name] for name in second]], axis=1)
    assert len(same) == 6000
    assert ten_fold_accuracy(similarity, same) == pytest.approx(0.9945, abs=0.001)
    assert np.count_nonzero(similarity[same] < 0.4) == pytest.approx(84, abs=6)
    assert np.count_nonzero(similarity[~same] >= 0.4) == 0


def test_the_script_reports_lfw_and_xqlfw(lfw, shared_data, run_script, tmp_path):
    store, _ = lfw
    lists = shared_data / "pairs"
    sets = [f"LFW={lists / 'lfw_pairs.txt'}", f"XQLFW={lists / 'qmagface_xqlfw_pairs.txt'}"]
    roots = ["--root", shared_data / "lfw" / "images"]
    weights = shared_data / "weights" / "mobilefacenet_y1_converted.pth"
    done = run_script(
        "evaluate_recognition.py", "--checkpoint", weights, "--features_list", store.path, "--set", *sets, *roots
    )
    found = {row["set"]: row for row in json.loads((tmp_path / "recognition" / "results.json").read_text())["results"]}
    assert found["LFW"]["accuracy"] == pytest.approx(0.9945, abs=0.001)
    assert found["XQLFW"]["accuracy"] == pytest.approx(0.9937, abs=0.001)  # its pairs, on LFW's own photos
    assert found["LFW"]["auc"] == pytest.approx(0.99905, abs=1e-4)
    low, high = found["LFW"]["intervals_95"]["accuracy"]
    assert low < 0.9945 < high
    assert "XQLFW" in done.stdout
    run_script("evaluate_quality.py", "--features_list", store.path, "--feedback_file", lists / "lfw_pairs.txt", *roots)
    magnitude = json.loads((tmp_path / "quality" / "quality.json").read_text())["scores"]["magnitude"]
    assert magnitude["area_over_no_discard"] < 0.7


def test_a_bin_and_the_files_it_was_made_of_agree(shared_data, run_script, tmp_path):
    made_of = shared_data / "insightface_format" / "lfw_small_bin"
    rows = [line.split("\t") for line in (made_of / "lfw_small_pairs.tsv").read_text().splitlines()]
    (tmp_path / "pair.list").write_text("".join(f"{a} {b} {label}\n" for a, b, label in rows))
    run_script(
        "evaluate_recognition.py", "--checkpoint", shared_data / "weights" / "mobilefacenet_y1_converted.pth",
        "--set", f"bin={made_of / 'lfw_small.bin'}", "list=pair.list", "--root", shared_data / "lfw_small" / "images",
    )  # fmt: skip
    of_bin, of_list = json.loads((tmp_path / "recognition" / "results.json").read_text())["results"]
    assert (of_bin["pairs"], of_bin["genuine_pairs"]) == (300, 153)
    for name in ("accuracy", "auc", "eer"):
        assert of_bin[name] == pytest.approx(of_list[name], abs=1e-6)
    assert of_bin["auc"] > 0.99


def test_known_label_errors_are_among_the_first_mined_pairs(lfw, run_script, tmp_path):
    store, _ = lfw
    run_script(
        "build_hard_pairs.py",
        "--features_list",
        store.path,
        "--output_file",
        "hard.json",
        "--pos_target",
        40,
        "--neg_target",
        40,
    )
    found = read_pairs(tmp_path / "hard.json").pairs
    pairs = {frozenset(name.split("/")[-1].removesuffix(".jpg") for name in pair.key()) for pair in found}
    # One person under two names: two different-person pairs of the same face.
    assert {"Carlos_Beltran_0001", "Raul_Ibanez_0001"} in pairs
    assert {"Bart_Hendricks_0001", "Ricky_Ray_0001"} in pairs
    # A photo of somebody else: the least similar same-person pairs of its folder.
    assert sum("Michael_Schumacher_0008" in pair for pair in pairs) >= 3
