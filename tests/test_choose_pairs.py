"""choose_pairs.py as a user runs it, round after round, with tools/oracle.py in the person's place."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from magface_al.embedding.store import read_features
from magface_al.metrics.cosine import unit
from magface_al.pairs.pair_file import read_pairs


@pytest.fixture
def choose(run_script, tmp_path, features):
    def run(name, *flags, **options):
        done = run_script(
            "choose_pairs.py", "--features_list", features, "--output_file", name, "--force_cpu", *flags, **options
        )
        return done, (read_pairs(tmp_path / name) if done.returncode == 0 else None)

    return run


def answer(run_script, ask, feedback, *flags):
    run_script("tools/oracle.py", "--pairs_file", ask, "--feedback_file", feedback, *flags)


def keys(file):
    return {pair.key() for pair in file.pairs}


def test_a_batch_says_what_it_is(choose, features):
    done, ask = choose("ask.json", "--budget", 40, "--strategy", "mix")
    assert len(ask.pairs) == len(keys(ask)) == 40
    assert all(pair.label is None and pair.extra["batch"] == 1 for pair in ask.pairs)
    held = [pair for pair in ask.pairs if pair.extra.get("holdout")]
    assert len(held) == 6
    for pair in held:
        assert pair.extra["strategy"] == "random_slice"
        assert 0 < pair.extra["inclusion_probability"] <= 1
    store = read_features(features)
    row, directions = {name: k for k, name in enumerate(store.names)}, unit(store.embeddings)
    for pair in ask.pairs:
        i, j = row[pair.image1], row[pair.image2]
        assert pair.extra["similarity"] == pytest.approx(directions[i] @ directions[j], abs=1e-5)
        assert pair.extra["magnitude1"] == pytest.approx(np.linalg.norm(store.embeddings[i]), rel=1e-5)
    assert "wrote 40 pairs to ask about (" in done.stdout
    assert "python label_pairs.py --pairs_file ask.json" in done.stdout


def test_the_seed_alone_decides(choose):
    a, b, c = (choose(f"{k}.json", "--budget", 40, "--seed", seed)[1].pairs for k, seed in enumerate((1, 1, 2)))
    assert a == b != c


@pytest.mark.parametrize("strategy", ["mix", "random"])
def test_rounds_ask_nothing_twice_and_nothing_implied(choose, run_script, tmp_path, strategy):
    """The answers come back with their images swapped."""
    flags = ["--budget", 250, "--strategy", strategy, "--max_per_image", 0]
    _, first = choose("ask_1.json", *flags)
    swapped = [{**pair.to_dict(), "image1": pair.image2, "image2": pair.image1} for pair in first.pairs]
    (tmp_path / "ask_1.json").write_text(json.dumps({"pairs": swapped}))
    answer(run_script, "ask_1.json", "feedback_1.json")
    done, second = choose("ask_2.json", *flags, "--answered", "feedback_1.json")
    assert not keys(first) & keys(second)
    assert {pair.extra["batch"] for pair in second.pairs} == {2}
    person = {frozenset(pair.key()): pair.label for pair in read_pairs(tmp_path / "feedback_1.json").pairs}
    for pair in second.pairs:
        for third in {image for names in person for image in names}:
            a, b = person.get(frozenset((pair.image1, third))), person.get(frozenset((third, pair.image2)))
            assert None in (a, b) or a + b == 0, f"{pair.key()} follows from {third}"
    assert "over all pairs of" in done.stdout
    assert "advice: go on" in done.stdout


def test_unsure_pairs_and_pairs_named_by_their_place_count_as_asked(choose, tmp_path, features):
    _, first = choose("ask.json", "--budget", 30, "--random_share", 0)
    unsure = [
        {**pair.to_dict(), "image1": "faces/" + "/".join(Path(pair.image1).parts[-2:]), "answer": "unsure"}
        for pair in first.pairs
    ]
    (tmp_path / "faces").symlink_to(Path(first.pairs[0].image1).parents[1])
    (tmp_path / "answers.json").write_text(json.dumps(unsure))
    done, second = choose("again.json", "--budget", 30, "--random_share", 0, "--answered", "answers.json")
    assert not keys(first) & keys(second)
    assert "not in" not in done.stderr


def test_the_end_and_bad_input(choose, run_script, tmp_path, features):
    done, _ = choose("all.json", "--budget", 2000, "--random_share", 0.99)
    answer(run_script, "all.json", "all_answers.json")
    done, _ = choose("no.json", "--answered", "all_answers.json", code=2)
    assert "nothing is left" in done.stderr
    done, _ = choose("no.json", "--strategy", "mislabeled", code=2)
    assert "expected --identity_from" in done.stderr
    done, _ = choose("no.json", "--identity_from", "list", code=2)
    assert "belong together" in done.stderr
    (tmp_path / "other.json").write_text('[{"image1": "x.png", "image2": "y.png", "label": 1}]')
    done, _ = choose("ask.json", "--answered", "other.json")
    assert "1 pair asked before has an image that is not in" in done.stderr
    (tmp_path / "one.list").write_text("a.png 1 2\n")
    done = run_script("choose_pairs.py", "--features_list", "one.list", "--output_file", "o.json", code=2)
    assert "1 image, expected at least two" in done.stderr


def test_a_wrong_name_is_found(choose, run_script, tmp_path):
    """Two images of one direction in two folders, and a stranger in one of them."""
    lines = ["ann/1.png 1 0 0.1", "ann/2.png 1 0.1 0", "bob/1.png 0 1 0", "bob/2.png 0.1 1 0", "bob/3.png 1 0 0"]
    (tmp_path / "f.list").write_text("\n".join(lines))
    run_script("choose_pairs.py", "--features_list", "f.list", "--output_file", "doubts.json", "--strategy", "mislabeled",
               "--identity_from", "parent_dir", "--random_share", 0)  # fmt: skip
    doubts = {pair.key(): pair.extra["given_label"] for pair in read_pairs(tmp_path / "doubts.json").pairs}
    assert doubts == {("bob/1.png", "bob/3.png"): 1, ("bob/2.png", "bob/3.png"): 1,
                      ("ann/1.png", "bob/3.png"): 0, ("ann/2.png", "bob/3.png"): 0}  # fmt: skip


def test_the_slice_is_never_trained_on(choose, run_script, tmp_path, tiny_checkpoint):
    choose("ask.json", "--budget", 200)
    answer(run_script, "ask.json", "feedback.json")
    flags = ["--checkpoint", tiny_checkpoint, "--feedback_file", "feedback.json", "--epochs", 1, "--trainable", "head"]
    done = run_script("finetune_on_feedback.py", *flags, "--test_split", 0.2, "--force_cpu")
    assert "30 pairs of random slices (holdout) are left out of training and validation" in done.stderr
    held = {pair.key() for pair in read_pairs(tmp_path / "feedback.json").pairs if pair.is_holdout()}
    for part in ("train", "val", "test"):
        path = tmp_path / "checkpoints_feedback" / f"{part}_pairs.json"
        assert not path.exists() or not held & keys(read_pairs(path))
    only = [pair.to_dict() for pair in read_pairs(tmp_path / "feedback.json").pairs if pair.is_holdout()]
    (tmp_path / "feedback.json").write_text(json.dumps(only))
    assert 'all 30 pairs are marked "holdout"' in run_script("finetune_on_feedback.py", *flags, code=2).stderr
