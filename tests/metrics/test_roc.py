"""Metrics against scikit-learn, scipy and counting by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import brentq
from sklearn.metrics import accuracy_score, precision_score, recall_score, roc_auc_score, roc_curve

from magface_al.metrics import bootstrap
from magface_al.metrics.roc import (
    Figures,
    Ranking,
    best_threshold,
    confusion,
    eer,
    percent,
    threshold_at_fmr,
)


@pytest.fixture(params=["continuous", "tied"])
def scores(request):
    rng = np.random.default_rng(0)
    same = rng.random(2000) < 0.4
    similarity = np.clip(rng.normal(np.where(same, 0.5, 0.1), 0.2), -1, 1)
    return (np.round(similarity, 1) if request.param == "tied" else similarity), same


def test_figures_agree_with_scikit_learn(scores):
    similarity, same = scores
    figures = Figures(similarity, same, 0.3)()
    called = similarity > 0.3
    assert figures["accuracy"] == pytest.approx(accuracy_score(same, called))
    assert figures["precision"] == pytest.approx(precision_score(same, called))
    assert figures["recall"] == pytest.approx(recall_score(same, called))
    assert figures["auc"] == pytest.approx(roc_auc_score(same, similarity))
    fmr, tar, _ = roc_curve(same, similarity, drop_intermediate=False)
    assert figures["eer"] == pytest.approx(brentq(lambda x: 1 - x - np.interp(x, fmr, tar), 0, 1), abs=2e-3)
    assert figures["tar_at_far_0.01"] == pytest.approx(tar[fmr <= 0.01].max())


def test_weights_count_pairs_as_if_they_were_repeated(scores):
    similarity, same = scores
    weight = np.random.default_rng(1).integers(0, 4, len(same)).astype(float)
    repeated = np.repeat(np.arange(len(same)), weight.astype(int))
    weighted, plain = Figures(similarity, same, 0.3)(weight), Figures(similarity[repeated], same[repeated], 0.3)()
    assert weighted == pytest.approx(plain)


def test_a_pair_at_the_threshold_is_called_different():
    counts = confusion(np.array([0.4, 0.41]), np.array([True, True]), 0.4)
    assert (counts.true_positives, counts.false_negatives) == (1, 1)


def test_what_the_pairs_cannot_show_is_none_and_said_in_words():
    similarity = np.array([0.9, 0.8, 0.1])
    one_kind = Figures(similarity, np.array([True, True, True]), 0.95)()
    assert one_kind["precision"] is None
    assert one_kind["fmr"] is None
    assert one_kind["eer"] is None
    assert one_kind["auc"] is None
    few = Figures(similarity, np.array([True, True, False]), 0.5)()
    assert few["tar_at_far_0.001"] is None
    assert percent("tar_at_far_0.001", None) == "insufficient data"
    assert threshold_at_fmr(similarity, np.array([True, True, False]), 0.001) is None


def test_best_threshold_is_between_the_two_kinds():
    threshold, accuracy = best_threshold(np.array([0.1, 0.2, 0.6, 0.8]), np.array([False, False, True, True]))
    assert threshold == pytest.approx(0.4)
    assert accuracy == 1


def test_threshold_at_fmr_never_exceeds_the_target(scores):
    similarity, same = scores
    threshold = threshold_at_fmr(similarity, same, 0.01)
    assert (similarity[~same] > threshold).mean() <= 0.01


def test_eer_of_chance_is_one_half():
    rng = np.random.default_rng(2)
    assert eer(*Ranking(rng.random(20000), rng.random(20000) < 0.5).roc()) == pytest.approx(0.5, abs=0.02)


def test_a_resample_weights_pairs_by_how_often_their_people_were_drawn():
    weight = next(bootstrap.identity_resamples(["a", "b", "a", "c"], ["a", "b", "b", "a"], seed=0, resamples=1))
    counts = {"a": weight[0], "b": weight[1]}
    assert weight[2] == counts["a"] * counts["b"]
    assert weight[3] == counts["a"] * (3 - counts["a"] - counts["b"])


def test_intervals_cover_the_truth_about_as_often_as_they_say():
    rng = np.random.default_rng(3)
    hits = 0
    for trial in range(40):
        people = [str(k) for k in range(60)]
        rate = rng.random(60)  # every person has a difficulty of their own
        owner = np.repeat(people, 5)
        similarity = (rng.random(300) < np.repeat(rate, 5)).astype(float)
        figures = Figures(similarity, np.ones(300, bool), 0.5)
        low, high = bootstrap.intervals(figures, bootstrap.identity_resamples(owner, owner, trial, 200))["recall"]
        hits += low <= 0.5 <= high
    assert hits >= 34
