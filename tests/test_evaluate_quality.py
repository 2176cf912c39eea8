"""Error versus discard against plain loops, at ties and where the FMR falls between two scores; and the script."""

from __future__ import annotations

import json
import math

import cv2
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


@pytest.fixture
def listed(tmp_path, faces, features):
    """every.json: all pairs of the drawn faces' first 36 images, with who they show; score.txt: a quality for each image."""
    files = sorted(str(path) for path in faces.glob("*/*.png"))[:36]
    people = [path.split("/")[-2] for path in files]
    pairs = [
        {
            "image1": files[i],
            "image2": files[j],
            "label": int(people[i] == people[j]),
            "identity1": people[i],
            "identity2": people[j],
        }
        for i in range(36)
        for j in range(i)
    ]
    (tmp_path / "every.json").write_text(json.dumps(pairs))
    (tmp_path / "score.txt").write_text("".join(f"{path} {k % 7}\n" for k, path in enumerate(files)))
    return ["evaluate_quality.py", "--feedback_file", "every.json", "--features_list", features]


def test_curves_areas_and_pictures(run_script, tmp_path, listed, features):
    done = run_script(*listed, "--fmr", "0.05", "--quality", "age=score.txt", "--resamples", "30")
    found = json.loads((tmp_path / "quality" / "quality.json").read_text())
    stored = dict(
        zip(features.with_suffix(".paths.txt").read_text().splitlines(), np.load(features).astype(float), strict=True)
    )
    pairs = json.loads((tmp_path / "every.json").read_text())
    cosine = {True: [], False: []}
    quality = []
    for pair in pairs:
        a, b = stored[pair["image1"]], stored[pair["image2"]]
        cosine[pair["label"] == 1].append(a @ b / np.linalg.norm(a) / np.linalg.norm(b))
        quality.append(min(np.linalg.norm(a), np.linalg.norm(b)))
    threshold = sorted(cosine[False], reverse=True)[int(0.05 * len(cosine[False]))]
    assert found["threshold"] == pytest.approx(threshold)
    assert found["fmr"] <= 0.05
    assert found["scores"]["magnitude"]["fnmr"]["0"] == pytest.approx(np.mean(np.array(cosine[True]) <= threshold))
    genuine = np.sort(np.array(quality)[[pair["label"] == 1 for pair in pairs]])
    assert found["scores"]["magnitude"]["curve"]["share"][:3] == pytest.approx(
        [np.mean(genuine < q) for q in np.unique(genuine)[:3]]
    )
    low, high = found["scores"]["age"]["area_interval_95"]
    assert low <= found["scores"]["age"]["area"] <= high
    assert (tmp_path / "quality" / "quality.md").read_text() in done.stdout
    for name in ("error_vs_discard", "magnitude_histogram", "age_histogram"):
        assert cv2.imread(str(tmp_path / "quality" / f"{name}.png")) is not None


def test_magface_s_rule_under_its_own_name(run_script, tmp_path, listed):
    assert "threshold rule magface" in run_script(*listed, "--threshold_rule", "magface").stdout
    assert json.loads((tmp_path / "quality" / "quality.json").read_text())["threshold"] is None


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--fmr", "0.001"], "at least 1000 impostors to show an FMR of 0.001; bring more pairs, or a higher --fmr"),
        (
            ["--fmr", "0.05", "--quality", "age=absent.txt"],
            "absent.txt: No such file or directory, expected lines of `path score`",
        ),
        (
            ["--fmr", "0.05", "--quality", "age=bad.txt"],
            "bad.txt: line 1: 'a.jpg high', expected `path score` with a finite score",
        ),
        (["--fmr", "0.05", "--quality", "age=few.txt"], "few.txt: 36 of 36 images have no score"),
        (["--fmr", "0.05", "--quality", "magnitude=score.txt"], "expected a name of its own without a slash"),
        (["--fmr", "1"], "1 is outside (0, 1)"),
    ],
)
def test_what_cannot_be_measured_is_refused_in_words(run_script, tmp_path, listed, flags, message):
    (tmp_path / "bad.txt").write_text("a.jpg high\n")
    (tmp_path / "few.txt").write_text("a.jpg 1\n")
    assert message in run_script(*listed, *flags, code=2).stderr
