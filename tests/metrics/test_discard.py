"""Error versus discard against plain loops, at ties and where the FMR falls between two scores."""

from __future__ import annotations

import math

import numpy as np
import pytest

from magface_al.metrics import bootstrap
from magface_al.metrics.discard import area_intervals, discard_curve, ideal_curve, magface_curve, pair_quality
from magface_al.metrics.roc import threshold_at_fmr
from magface_al.pictures.quality import quantile_rows


@pytest.fixture(params=["continuous", "tied"])
def scored(request):
    """(similarity, same, quality) of 4,000 pairs; pairs of high quality have higher genuine scores."""
    rng = np.random.default_rng(7)
    same = rng.random(4000) < 0.4
    quality = rng.normal(10, 2, 4000)
    similarity = np.where(same, 0.35 + 0.05 * (quality - 10), 0) + rng.normal(size=4000) * 0.12
    if request.param == "tied":
        quality, similarity = np.round(quality), np.round(similarity, 1)
    return np.clip(similarity, -1, 1), same, quality


def test_the_curve_agrees_with_discarding_one_level_after_another(scored):
    similarity, same, quality = scored
    threshold = threshold_at_fmr(similarity, same, 1e-2)
    assert np.mean(similarity[~same] > threshold) <= 1e-2
    genuine, level = similarity[same].tolist(), quality[same].tolist()
    curve = discard_curve(similarity[same], quality[same], threshold)
    area, previous = 0.0, None
    for row, worst_kept in enumerate(sorted(set(level))):
        kept = [score for score, q in zip(genuine, level, strict=True) if q >= worst_kept]
        share, fnmr = 1 - len(kept) / len(genuine), sum(score <= threshold for score in kept) / len(kept)
        assert (curve.share[row], curve.fnmr[row]) == pytest.approx((share, fnmr))
        if previous is not None:
            area += (min(share, 0.3) - min(previous[0], 0.3)) * previous[1]
        previous = share, fnmr
    area += (0.3 - min(previous[0], 0.3)) * previous[1]
    assert curve.area(0.3) == pytest.approx(area)
    assert curve.area(0.3) < 0.3 * curve.fnmr[0]  # this quality is a good one
    assert len(curve.share) == len(set(level))


def test_equal_qualities_are_discarded_together_in_whatever_order_they_come():
    similarity, quality = np.array([0.9, 0.1, 0.2, 0.8]), np.array([1.0, 1.0, 2.0, 2.0])
    for order in ([0, 1, 2, 3], [1, 0, 3, 2], [3, 1, 2, 0]):
        curve = discard_curve(similarity[order], quality[order], 0.5)
        assert (curve.share.tolist(), curve.fnmr.tolist()) == ([0, 0.5], [0.5, 0.5])
    assert curve.at(0.49) == 0.5
    assert discard_curve(similarity, np.ones(4), 0.5).share.tolist() == [0]


def test_magface_s_own_curve_as_its_loop_goes(scored):
    similarity, same, quality = scored
    distance = [math.acos(s) / math.pi for s in similarity]
    order = np.argsort(quality, kind="stable")
    expected = []
    for step in range(20):
        kept = order[int(step * 0.05 * len(order)) :]
        impostor, genuine = sorted(distance[k] for k in kept if not same[k]), [distance[k] for k in kept if same[k]]
        place, fmr = len(impostor) - 1, 1.0
        while place > 0:
            place, fmr = int(place / 10), fmr / 10
            if abs(fmr - 1e-3) < 1e-9:
                expected.append(1 - sum(d < impostor[place] for d in genuine) / len(genuine))
    curve = magface_curve(similarity, same, quality)
    assert curve.fnmr == pytest.approx(expected)
    assert curve.share == pytest.approx(0.05 * np.arange(len(expected)))
    short = magface_curve(similarity[:400], same[:400], quality[:400])
    assert short.end < 0.8  # fewer than 101 impostors are left beyond
    assert short.area(0.9) is None


def test_weights_count_pairs_as_if_they_were_repeated(scored):
    similarity, same, quality = scored
    weight = np.random.default_rng(1).integers(0, 3, same.sum()).astype(float)
    repeated = np.repeat(np.arange(same.sum()), weight.astype(int))
    weighted = discard_curve(similarity[same], quality[same], 0.3, weight)
    plain = discard_curve(similarity[same][repeated], quality[same][repeated], 0.3)
    assert weighted.area(0.25) == pytest.approx(plain.area(0.25))
    assert weighted.at(0.1) == pytest.approx(plain.at(0.1))
    people = [f"{k % 200}" for k in range(same.sum())]
    resamples = bootstrap.identity_resamples(people, people, 0, 100)
    low, high = area_intervals(similarity[same], {"q": quality[same]}, 0.3, 0.25, resamples)["q"]
    assert low < discard_curve(similarity[same], quality[same], 0.3).area(0.25) < high


def test_no_quality_is_better_than_the_ideal_one(scored):
    similarity, same, _ = scored
    missed = similarity[same] <= 0.3
    ideal = ideal_curve(int(missed.sum()), int(same.sum()))
    missed_first = np.argsort(np.argsort(~missed, kind="stable")).astype(float)
    assert ideal.area(0.5) == pytest.approx(discard_curve(similarity[same], missed_first, 0.3).area(0.5))
    assert ideal.area(0.5) <= discard_curve(similarity[same], np.where(missed, 0.0, 1.0), 0.3).area(0.5)
    assert ideal_curve(4, 4).fnmr.tolist() == [1, 1, 1, 1]


def test_a_pair_is_as_good_as_its_worse_image_and_quantiles_are_rows():
    assert pair_quality(np.array([1.0, 5]), np.array([3.0, 2])).tolist() == [1, 2]
    scores = np.random.default_rng(0).permutation(101) / 100
    assert [(quantile, float(scores[row])) for quantile, row in quantile_rows(scores)] == [
        (quantile, quantile) for quantile in (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
    ]
