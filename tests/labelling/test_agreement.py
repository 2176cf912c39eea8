"""Agreement, pace and gold accuracy."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from magface_al.labelling.agreement import agreement_table, annotator_table, cohen_kappa
from magface_al.labelling.answers import Answers
from magface_al.labelling.events import Event

numbers = itertools.count()


P, Q = "0" * 16, "1" * 16


def event(answer, who="ann", pair=P, kind="answer", **more):
    return Event(f"event {next(numbers)}", kind, pair, who, "2026-01-02T03:04:05+00:00", answer, **more)


@pytest.mark.parametrize("seed", range(5))
def test_kappa_is_scikit_learns(seed):
    rng = np.random.default_rng(seed)
    one = rng.choice(["same", "different", "unsure"], 60)
    two = np.where(rng.random(60) < 0.7, one, rng.choice(["same", "different", "bad_image"], 60))
    assert cohen_kappa(one, two) == pytest.approx(cohen_kappa_score(one, two), abs=1e-12)


def test_kappa_is_undefined_where_chance_agrees_fully():
    assert cohen_kappa(["same", "same"], ["same", "same"]) is None
    assert cohen_kappa([], []) is None
    assert cohen_kappa(["same", "different"], ["different", "same"]) == pytest.approx(-1)


def test_agreement_pace_and_gold_accuracy_of_each_annotator():
    said = [event("same", "a", P, seconds=1.0), event("different", "a", Q, seconds=3.0), event("same", "b", P, seconds=2.0),
            event("same", "b", Q), event("skip", "c", P)]  # fmt: skip
    answers = Answers(said)
    assert agreement_table(answers, [P, Q]) == [{"annotators": ["a", "b"], "pairs": 2, "agreed": 1, "kappa": 0.0}]
    a, b, c = annotator_table(answers, gold={P: 1, Q: 0})
    assert (a["answers"], a["median_seconds"], a["gold"]["accuracy"]) == (2, 2.0, 1.0)
    assert b["gold"] == {"asked": 2, "right": 1, "wrong": 1, "undecided": 0, "accuracy": 0.5}
    assert c["gold"] == {"asked": 1, "right": 0, "wrong": 0, "undecided": 1, "accuracy": None}
