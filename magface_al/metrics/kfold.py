"""Ten-fold accuracy: each tenth of a verification set is judged at the threshold that suits the nine others best.

"cosine" is the sound protocol: the cosine, and of all thresholds that decide differently the most accurate. The others
repeat, each under its own name, what upstream evaluations do, so that their published figures can be compared:
* magface: eval/eval_recognition/eval_1v1.py @99bae614. The mean of the nine folds' raw embeddings is subtracted first;
  the distance is the angle over pi, of which a grid of 0.01 is tried; the first of equally accurate thresholds is taken.
* insightface: arcface_torch/eval/verification.py. Squared distance of unit embeddings, grid of 0.01 from 0 to 4.
* facexzoo: test_protocol/lfw/lfw_evaluator.py @16b793a7. The cosine as float32, 1000 steps from its lowest to its highest
  value; the threshold maximises TAR - FMR, not accuracy; a score at the threshold is wrong whichever kind it is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from magface_al.command.errors import UserError
from magface_al.metrics.cosine import cosines
from magface_al.metrics.roc import best_threshold
from magface_al.metrics.sides import Sides

FOLDS = 10
GRID = np.arange(0, 4, 0.01)


@dataclass(frozen=True)
class TenFold:
    """accuracy and threshold float [K] of each fold, right bool [N]: whether each pair was called rightly."""

    accuracy: np.ndarray
    threshold: np.ndarray
    right: np.ndarray


@dataclass(frozen=True)
class Protocol:
    """measure: raw embeddings of both sides, float64 [N, D] -> [N]. choose: measures and labels -> threshold.

    judge: measures, labels and threshold -> bool [..., N], right or wrong; the threshold may be [T, 1]. subtract_mean:
    whether the mean of the other folds is taken away first, None where the caller may choose. meaning: for --help.
    """

    meaning: str
    measure: Callable[[np.ndarray, np.ndarray], np.ndarray]
    choose: Callable[[np.ndarray, np.ndarray], float]
    judge: Callable[[np.ndarray, np.ndarray, np.ndarray | float], np.ndarray]
    subtract_mean: bool | None = False


def fold_numbers(count: int, folds: int = FOLDS) -> np.ndarray:
    """int [count]: the fold of each pair in file order; the first count % folds folds are one longer (KFold of scikit-learn)."""
    sizes = np.full(folds, count // folds)
    sizes[: count % folds] += 1
    return np.repeat(np.arange(folds), sizes)


def cross_validate(
    sides: Sides, same: np.ndarray, fold: np.ndarray, protocol: Protocol, subtract_mean: bool
) -> TenFold:
    """Judge every fold at the threshold from the others.

    sides: raw embeddings of N pairs, same [N] bool, fold [N] int. subtract_mean: take away the mean of
    the other folds' raw embeddings first. Raises UserError where the other folds have pairs of one kind only.
    """
    measured = sides.measured(protocol.measure)
    numbers = np.unique(fold)
    accuracy, threshold, right = np.empty(len(numbers)), np.empty(len(numbers)), np.empty(len(same), bool)
    for row, number in enumerate(numbers):
        test, others = fold == number, fold != number
        if same[others].all() or not same[others].any():
            raise UserError(
                f"the pairs outside fold {number + 1} are all of one kind, expected same and different pairs; use fewer --folds"
            )
        if subtract_mean:
            measured = sides.measured(protocol.measure, minus=sides.mean(others))
        threshold[row] = protocol.choose(measured[others], same[others])
        right[test] = protocol.judge(measured[test], same[test], threshold[row])
        accuracy[row] = right[test].mean()
    return TenFold(accuracy, threshold, right)


def _angle(side1: np.ndarray, side2: np.ndarray) -> np.ndarray:
    angle: np.ndarray = np.arccos(np.clip(cosines(side1, side2), -1, 1))
    return angle / np.pi


def _squared_distance(side1: np.ndarray, side2: np.ndarray) -> np.ndarray:
    units = [side / np.maximum(np.linalg.norm(side, axis=1, keepdims=True), 1e-12) for side in (side1, side2)]
    squared: np.ndarray = ((units[0] - units[1]) ** 2).sum(1)
    return squared


def _best_cosine(cosine: np.ndarray, same: np.ndarray) -> float:
    threshold, _ = best_threshold(cosine, same)
    assert threshold is not None  # cross_validate has seen both kinds
    return threshold


def _above(cosine: np.ndarray, same: np.ndarray, threshold: np.ndarray | float) -> np.ndarray:
    right: np.ndarray = (cosine > threshold) == same
    return right


def _below(distance: np.ndarray, same: np.ndarray, threshold: np.ndarray | float) -> np.ndarray:
    right: np.ndarray = (distance < threshold) == same
    return right


def _first_of_grid(distance: np.ndarray, same: np.ndarray) -> float:
    return float(GRID[_below(distance, same, GRID[:, None]).mean(1).argmax()])


def _best_difference(cosine: np.ndarray, same: np.ndarray) -> float:
    step = (cosine.max() - cosine.min()) / 1000
    grid = cosine.min() + step * np.arange(1, 1001)
    above = cosine > grid[:, None]
    return float(grid[(above[:, same].mean(1) - above[:, ~same].mean(1)).argmax()])


def _strictly_apart(cosine: np.ndarray, same: np.ndarray, threshold: np.ndarray | float) -> np.ndarray:
    return np.where(same, cosine > threshold, cosine < threshold)


# The first is the default.
PROTOCOLS = {
    "cosine": Protocol("the sound way", cosines, _best_cosine, _above, subtract_mean=None),
    "magface": Protocol("MagFace's own", _angle, _first_of_grid, _below, subtract_mean=True),
    "insightface": Protocol("that of arcface_torch", _squared_distance, _first_of_grid, _below),
    "facexzoo": Protocol(
        "that of FaceX-Zoo", lambda a, b: cosines(a, b).astype(np.float32), _best_difference, _strictly_apart
    ),
}
