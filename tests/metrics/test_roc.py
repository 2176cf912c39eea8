"""Metrics against scikit-learn, scipy and counting by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import brentq
from sklearn.metrics import accuracy_score, precision_score, recall_score, roc_auc_score, roc_curve

from magface_al.metrics.roc import (
    FAR_TARGETS,
    Figures,
    Ranking,
    best_threshold,
    confusion,
    eer,
    nearest_operating_point,
    operating_point,
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


@pytest.mark.parametrize(
    ("impostors", "fmr", "threshold", "attained"),
    [
        (np.linspace(0, 0.999, 1000), 1e-3, 0.998, 0.001),  # exactly one of a thousand
        (np.linspace(0, 0.998, 1500), 1e-3, None, 1 / 1500),  # 1.5 of 1,500 are allowed: one
        (np.append(np.linspace(0, 0.4, 997), [0.9, 0.9, 0.9]), 1e-3, 0.9, 0.0),  # three tie where one is allowed
    ],
    ids=["on a score", "between scores", "tie"],
)
def test_the_threshold_at_an_fmr_that_falls_between_scores_or_on_a_tie(impostors, fmr, threshold, attained):
    found = threshold_at_fmr(impostors, np.zeros(len(impostors), bool), fmr)
    assert threshold is None or found == pytest.approx(threshold)
    assert np.mean(impostors > found) == pytest.approx(attained)
    assert np.mean(impostors > np.nextafter(found, -1)) > fmr  # no lower threshold would do


@pytest.mark.parametrize("digits", [9, 2, 1], ids=["continuous", "tied", "much tied"])
def test_curve_figures_agree_with_scikit_learn(digits):
    rng = np.random.default_rng(6)
    same = rng.random(20000) < 0.3
    similarity = np.round(np.clip(rng.normal(np.where(same, 0.45, 0.05), 0.15), -1, 1), digits).astype(np.float32)
    figures = Figures(similarity, same, 0.3).of_curve()
    fmr, tar, _ = roc_curve(same, similarity, drop_intermediate=False)
    assert figures["auc"] == pytest.approx(roc_auc_score(same, similarity))
    after = int(np.argmax(fmr >= 1 - tar))
    assert min(fmr[after - 1], 1 - tar[after]) - 1e-9 <= figures["eer"] <= max(fmr[after], 1 - tar[after - 1]) + 1e-9
    flipped = [values[::-1] for values in roc_curve(same, similarity)[:2]]
    for far in FAR_TARGETS:
        if far * np.count_nonzero(~same) >= 1:
            assert figures[f"tar_at_far_{far:g}"] == pytest.approx(tar[fmr <= far].max())
            assert operating_point(*Ranking(similarity, same).roc(), far, 10**9)[1] == pytest.approx(
                fmr[fmr <= far].max()
            )
        else:
            assert figures[f"tar_at_far_{far:g}"] is None
        nearest = int(np.argmin(np.abs(flipped[0] - far)))
        assert nearest_operating_point(*Ranking(similarity, same).roc(), far) == pytest.approx(
            (flipped[1][nearest], flipped[0][nearest])
        )
