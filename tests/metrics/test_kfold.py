"""Ten-fold accuracy against loops written out."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.model_selection import KFold

from magface_al.metrics.cosine import cosines
from magface_al.metrics.kfold import PROTOCOLS, cross_validate, fold_numbers
from magface_al.metrics.sides import Sides


@pytest.fixture(params=["continuous", "tied"])
def pairs(request):
    """(side1, side2, same) of 203 pairs, which ten does not divide; tied: few directions, so few different cosines."""
    rng = np.random.default_rng(4)
    same = rng.random(203) < 0.5
    side1 = rng.normal(size=(203, 6)) * 20 + 3
    side2 = np.where(same[:, None], side1, 0) + rng.normal(size=(203, 6)) * 15 + 3
    if request.param == "tied":
        side1, side2 = np.sign(side1), np.sign(side2)
    return side1, side2, same


def sides(side1, side2):
    return Sides(np.concatenate([side1, side2]), np.arange(len(side1)), np.arange(len(side1)) + len(side1))


def upstream(name, side1, side2, same):
    """Each upstream's ten folds as its description says, in plain loops."""
    accuracy = []
    for train, test in KFold(10, shuffle=False).split(np.arange(len(same))):
        mean = np.mean(np.concatenate([side1[train], side2[train]]), axis=0) if name == "magface" else 0
        score = np.array(
            [
                np.dot(a, b) / np.linalg.norm(a) / np.linalg.norm(b)
                for a, b in zip(side1 - mean, side2 - mean, strict=True)
            ]
        )
        if name == "facexzoo":
            score = score.astype(np.float32)
            step = (score[train].max() - score[train].min()) / 1000
            grid = [score[train].min() + step * k for k in range(1, 1001)]
            gain = [(score[train][same[train]] > t).mean() - (score[train][~same[train]] > t).mean() for t in grid]
            best = grid[int(np.argmax(gain))]
            accuracy.append(
                np.mean([s > best if y else s < best for s, y in zip(score[test], same[test], strict=True)])
            )
            continue
        distance = np.arccos(np.clip(score, -1, 1)) / np.pi if name == "magface" else 2 - 2 * score
        grid = np.arange(0, 4, 0.01)
        best = grid[int(np.argmax([((distance[train] < t) == same[train]).mean() for t in grid]))]
        accuracy.append(((distance[test] < best) == same[test]).mean())
    return accuracy


@pytest.mark.parametrize("name", ["magface", "insightface", "facexzoo"])
def test_upstream_protocols_agree_with_loops(pairs, name):
    side1, side2, same = pairs
    if (
        name == "insightface"
    ):  # 2 - 2 cos and the sum of squares differ in the last bit, which decides a tie with the grid
        side1, side2 = side1 + 1e-3, side2 - 1e-3
    protocol = PROTOCOLS[name]
    judged = cross_validate(sides(side1, side2), same, fold_numbers(203), protocol, protocol.subtract_mean)
    assert judged.accuracy == pytest.approx(upstream(name, side1, side2, same))
    assert judged.right.mean() == pytest.approx(np.average(judged.accuracy, weights=[21] * 3 + [20] * 7))


@pytest.mark.parametrize("subtract_mean", [False, True])
def test_the_cosine_protocol_takes_the_best_of_all_thresholds(pairs, subtract_mean):
    side1, side2, same = pairs
    judged = cross_validate(sides(side1, side2), same, fold_numbers(203), PROTOCOLS["cosine"], subtract_mean)
    for fold, (train, test) in enumerate(KFold(10, shuffle=False).split(np.arange(203))):
        mean = np.mean(np.concatenate([side1[train], side2[train]]), axis=0) if subtract_mean else 0
        cosine = cosines(side1 - mean, side2 - mean)
        every = [((cosine[train] > t) == same[train]).mean() for t in [-2, *np.unique(cosine[train])]]
        threshold = judged.threshold[fold]
        assert ((cosine[train] > threshold) == same[train]).mean() == pytest.approx(max(every))
        assert ((cosine[test] > threshold) == same[test]).mean() == pytest.approx(judged.accuracy[fold])


def test_folds_are_those_of_scikit_learn():
    for count in (10, 17, 203, 6000):
        expected = np.empty(count, int)
        for fold, (_, test) in enumerate(KFold(10, shuffle=False).split(np.arange(count))):
            expected[test] = fold
        assert np.array_equal(fold_numbers(count), expected)
