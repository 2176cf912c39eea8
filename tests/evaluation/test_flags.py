"""Choices have one owner each: what is added to a table shows up in --help, in the refusal, and works."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import numpy as np
import pytest

import evaluate_quality
import evaluate_recognition
import evaluate_templates
from magface_al.command.run import Run
from magface_al.evaluation.far_rules import FAR_RULES, FarRule
from magface_al.evaluation.quality import THRESHOLD_RULES, ThresholdRule
from magface_al.evaluation.templates import POOLINGS, Pooling
from magface_al.metrics.cosine import cosines
from magface_al.metrics.discard import DiscardCurve
from magface_al.metrics.kfold import PROTOCOLS, Protocol

ROOT = Path(__file__).resolve().parents[2]
SOURCES = [*ROOT.glob("*.py"), *(ROOT / "magface_al").rglob("*.py")]
OWNERS = [
    (POOLINGS, "evaluation/templates.py"),
    (FAR_RULES, "evaluation/far_rules.py"),
    (THRESHOLD_RULES, "evaluation/quality.py"),
    (PROTOCOLS, "metrics/kfold.py"),
]


@pytest.mark.parametrize(("table", "owner"), OWNERS, ids=[owner for _, owner in OWNERS])
def test_no_other_file_lists_the_names_of_a_table(table, owner):
    listing = []
    for path in SOURCES:
        nodes = ast.walk(ast.parse(path.read_text()))
        texts = {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}
        if len(texts & set(table)) > len(table) / 2:
            listing.append(path)
    assert listing == [ROOT / "magface_al" / owner]


def run_with(script, *flags):
    """Call the script's main in this process, on a parser made now."""
    script.main(script.build_parser().parse_args([*map(str, flags)]), Run(script.__name__, {}))


def check_the_flag(script, flag, name, meaning, required, capsys):
    """--help says what the name means, and a wrong name is answered with it."""
    assert meaning in " ".join(script.build_parser().format_help().split())
    with pytest.raises(SystemExit):
        script.build_parser().parse_args([*required, flag, "absent"])
    assert name in capsys.readouterr().err


@pytest.fixture
def scored(tmp_path, monkeypatch):
    """A store of 60 people with 4 images each, and all pairs of the images in a pairs file; working there."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    people = np.repeat(np.arange(60), 4)
    embeddings = (rng.normal(size=(60, 16))[people] + 0.7 * rng.normal(size=(240, 16))).astype(np.float32)
    write_store("store", [f"{person}/{k}.jpg" for k, person in enumerate(people)], embeddings)
    first, second = np.triu_indices(240, 1)
    taken = rng.permutation(len(first))[:4000]
    pairs = [
        {"image1": f"{people[i]}/{i}.jpg", "image2": f"{people[j]}/{j}.jpg", "label": int(people[i] == people[j])}
        for i, j in zip(first[taken], second[taken], strict=True)
    ]
    Path("pairs.json").write_text(json.dumps(pairs))
    return embeddings, first[taken], second[taken], people[first[taken]] == people[second[taken]]


def write_store(name, images, embeddings):
    np.save(f"{name}.npy", embeddings)
    Path(f"{name}.paths.txt").write_text("".join(f"{image}\n" for image in images))
    Path(f"{name}.json").write_text(json.dumps({"flip": "none", "arguments": {"root": "."}}))


def write_meta():
    """Four templates of two people, six faces; template 1 has a face that is told from the others by its length."""
    faces = [(1, 0), (1, 1), (2, 0), (2, 0), (3, 0), (4, 0)]
    Path("x_face_tid_mid.txt").write_text("".join(f"{k}.jpg {t} {m}\n" for k, (t, m) in enumerate(faces)))
    Path("x_template_pair_label.txt").write_text("1 3 1\n1 2 0\n2 4 1\n3 4 0\n")
    embeddings = np.array([[9, 0.1], [0.1, 1], [0, 1], [0.1, 1], [1, 0], [0.2, 1]], np.float32)
    write_store("ijb", [f"{k}.jpg" for k in range(len(faces))], embeddings)


def test_a_pooling_is_added_in_one_place(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_meta()
    monkeypatch.setitem(POOLINGS, "cubed", Pooling("its magnitude, cubed", 3))
    required = ["--features_list", "ijb.npy", "--meta", "x"]
    check_the_flag(evaluate_templates, "--pooling", "cubed", "cubed: its magnitude, cubed", required, capsys)
    run_with(evaluate_templates, *required, "--pooling", "cubed")
    assert "pooling cubed" in capsys.readouterr().out
    assert json.loads(Path("templates/results.json").read_text())["pooling"] == "cubed"


def test_a_far_rule_is_added_in_one_place(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_meta()
    monkeypatch.setitem(FAR_RULES, "lowest", FarRule("none at all", lambda fmr, tar, far, impostors: (tar[0], fmr[0])))
    required = ["--features_list", "ijb.npy", "--meta", "x"]
    check_the_flag(evaluate_templates, "--far_rule", "lowest", "lowest: none at all", required, capsys)
    run_with(evaluate_templates, *required, "--far_rule", "lowest")
    (row,) = json.loads(Path("templates/results.json").read_text())["results"]
    assert row["tar_at_far_0.1"] == 0
    assert "FAR lowest the target" in capsys.readouterr().out


def test_a_protocol_is_added_in_one_place(scored, monkeypatch, capsys):
    embeddings, first, second, same = scored
    at_half = Protocol("at 0.5", cosines, lambda cosine, same: 0.5, lambda cosine, same, at: (cosine > at) == same)
    monkeypatch.setitem(PROTOCOLS, "half", at_half)
    required = ["--features_list", "store.npy", "--set", "pairs.json", "--resamples", "2"]
    check_the_flag(evaluate_recognition, "--protocol", "half", "half: at 0.5", required, capsys)
    run_with(evaluate_recognition, *required, "--protocol", "half")
    (row,) = json.loads(Path("recognition/results.json").read_text())["results"]
    called_same = cosines(embeddings[first], embeddings[second]) > 0.5
    assert row["accuracy"] == pytest.approx(np.mean(called_same == same))


def test_a_threshold_rule_is_added_in_one_place(scored, monkeypatch, capsys):
    flat = DiscardCurve(np.zeros(1), np.array([0.25]))
    rule = ThresholdRule("a flat one", lambda *pairs: flat, varies="never right", fmr=0.5, impostors=2)
    monkeypatch.setitem(THRESHOLD_RULES, "flat", rule)
    required = ["--features_list", "store.npy", "--feedback_file", "pairs.json"]
    check_the_flag(evaluate_quality, "--threshold_rule", "flat", "flat: a flat one", required, capsys)
    run_with(evaluate_quality, *required, "--threshold_rule", "flat")
    assert "threshold rule flat: never right; flip none" in capsys.readouterr().out
    found = json.loads(Path("quality/quality.json").read_text())
    assert (found["threshold"], found["fmr_wanted"]) == (None, 0.5)
    assert found["scores"]["magnitude"]["area"] == pytest.approx(0.25 * found["max_discard"])


def test_the_next_command_can_be_pasted_whatever_the_names(tmp_path, monkeypatch, scored):
    Path("my pairs.json").write_bytes(Path("pairs.json").read_bytes())
    run = Run("evaluate_recognition.py", {})
    flags = ["--features_list", "store.npy", "--set", "my pairs.json", "--resamples", "2"]
    evaluate_recognition.main(evaluate_recognition.build_parser().parse_args(flags), run)
    assert run._next == ["python evaluate_quality.py --feedback_file 'my pairs.json' --features_list store.npy"]
