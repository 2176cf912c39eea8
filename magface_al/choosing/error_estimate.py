"""How often the model errs over all pairs of a store, estimated without bias from the answers to random slices.

Each answer stands for (pairs in its stratum) / (answers in its stratum) pairs (Horvitz and Thompson 1952); pairs whose
label was known before the slice was drawn count once each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from magface_al.choosing.asked import OPEN, Asked, Known
from magface_al.choosing.mining import pair_cosines
from magface_al.metrics.roc import confusion
from magface_al.pairs.pair_file import SAME

POSTERIOR_DRAWS = 4000
LEAST_GENUINE = 10  # answers "same" in the slices, below which their FNMR is no figure
NAMES = {"fmr": "FMR", "fnmr": "FNMR", "error": "wrong calls"}


@dataclass(frozen=True)
class Estimate:
    """Shares over all pairs of the store, and their central 95 % intervals: FMR, FNMR, and error (wrong calls of all pairs).

    answered: the random-slice answers behind it; open: the pairs of the same slices without one; rounds_left_out: those
    not used, because a stratum had no answer yet.
    """

    value: dict[str, float | None]
    interval: dict[str, tuple[float, float]]
    answered: int
    open: int
    rounds_left_out: int


def estimate(
    unit: np.ndarray, asked: Asked, threshold: float, rng: np.random.Generator, resamples: int = POSTERIOR_DRAWS
) -> Estimate | None:
    """The error rates of the model that made unit float32 [N, D], over all pairs of its images; None without answers.

    Each round's slice estimates the number of pairs of each kind (called same or not, same or not) on its own; rounds
    are averaged by their numbers of answers. The answers stay valid when the model changes: the pairs were drawn by the
    old similarities, but are judged by the new. FNMR is None below LEAST_GENUINE answers "same" in the slices.

    The interval draws each stratum's unseen pairs from their posterior, twice: its lower end as if what a stratum has not
    shown were not there, its upper end under Jeffreys' prior, so that no error in few answers is not taken for certainty
    (as an exact binomial interval uses Beta(x, n - x + 1) below and Beta(x + 1, n - x) above).
    """
    in_slice = asked.in_random_slice()
    parts, left_out = [], 0
    for number in np.unique(asked.round[in_slice]):
        part = _Round.of(unit, asked, in_slice, int(number), threshold)
        if part is None:
            left_out += 1
        else:
            parts.append(part)
    if not parts:
        return None
    answered = sum(part.answered for part in parts)
    weights = [part.answered / answered for part in parts]
    totals = sum(weight * part.totals() for weight, part in zip(weights, parts, strict=True))
    value = {name: _finite(rate) for name, rate in _rates(np.asarray(totals)[None]).items()}
    if sum(part.cells[:, [0, 3]].sum() for part in parts) < LEAST_GENUINE:
        value["fnmr"] = None
    ends = []
    for prior, quantile in ((1e-6, 0.025), (0.5 / len(parts), 0.975)):
        drawn = sum(weight * part.posterior(resamples, prior, rng) for weight, part in zip(weights, parts, strict=True))
        ends.append({name: _quantile(rate, quantile) for name, rate in _rates(np.asarray(drawn)).items()})
    interval = {name: (ends[0][name], ends[1][name]) for name in NAMES}
    return Estimate(value, interval, answered, sum(part.open for part in parts), left_out)


def _quantile(rate: np.ndarray, at: float) -> float:
    """Over the draws; where the rate does not exist it could be anything."""
    finite = rate[np.isfinite(rate)]
    return float(np.quantile(finite, at)) if len(finite) else float(at > 0.5)


def _finite(rate: np.ndarray) -> float | None:
    return float(rate[0]) if np.isfinite(rate[0]) else None


def _rates(cells: np.ndarray) -> dict[str, np.ndarray]:
    """cells float [R, 4] (true positives, true negatives, false positives, false negatives) -> the rates of NAMES, each [R]."""
    tp, tn, fp, fn = cells.T
    with np.errstate(invalid="ignore"):
        return {"fmr": fp / (fp + tn), "fnmr": fn / (fn + tp), "error": (fp + fn) / (tp + tn + fp + fn)}


@dataclass(frozen=True)
class _Round:
    """One round's slice: cells [S, 4] counts of its answers in each stratum, size [S] pairs in the stratum, and the cells
    [4] of the pairs that were known before it was drawn."""

    cells: np.ndarray
    size: np.ndarray
    known: np.ndarray
    answered: int
    open: int

    @staticmethod
    def of(unit: np.ndarray, asked: Asked, in_slice: np.ndarray, number: int, threshold: float) -> _Round | None:
        """None if a stratum has no answer."""
        mine = asked.where(in_slice & (asked.round == number))
        names = np.array([str(entry.extra.get("stratum")) for entry in mine.entries])
        size = np.array([int(entry.extra.get("stratum_pairs") or 0) for entry in mine.entries])
        labelled = mine.label != OPEN
        strata, index = np.unique(names, return_inverse=True)
        if len(np.unique(index[labelled])) < len(strata):
            return None
        answered = [labelled & (index == s) for s in range(len(strata))]
        cells = [_cells(pair_cosines(unit, mine.pairs[rows]), mine.label[rows] == SAME, threshold) for rows in answered]
        sizes = np.array([size[index == s].max() for s in range(len(strata))], float)
        before = asked.where(asked.round < number)
        implied = Known(len(unit), before.pairs, before.label).implied()
        known = sum((_cells(pair_cosines(unit, pairs), same, threshold) for pairs, same in implied), np.zeros(4, int))
        return _Round(np.stack(cells), sizes, known, int(labelled.sum()), int((~labelled).sum()))

    def totals(self) -> np.ndarray:
        """float [4]: the pairs of each cell, each answer weighted by how many pairs it stands for."""
        weight = self.size / self.cells.sum(axis=1)
        return np.asarray(self.known + (self.cells * weight[:, None]).sum(axis=0))

    def posterior(self, draws: int, prior: float, rng: np.random.Generator) -> np.ndarray:
        """float [draws, 4]: what the totals may be, given the answers."""
        total = np.tile(self.known.astype(float), (draws, 1))
        for cells, size in zip(self.cells, self.size, strict=True):
            # the prior for same and for different, on the side(s) of the threshold on which the stratum was seen to lie
            sides = np.array([cells[0] + cells[2], cells[1] + cells[3]]) > 0  # called same, called different
            alpha = np.where(sides[[0, 1, 0, 1]], prior, 1e-9)
            total += cells + (size - cells.sum()) * rng.dirichlet(cells + alpha, draws)
        return total


def _cells(similarity: np.ndarray, same: np.ndarray, threshold: float) -> np.ndarray:
    found = confusion(similarity, same.astype(bool), threshold)
    return np.array([found.true_positives, found.true_negatives, found.false_positives, found.false_negatives])


def describe(found: Estimate) -> Sequence[str]:
    """Lines for the screen: each rate with its interval."""
    return [
        f"{NAMES[name]:>12}: {_percent(found.value[name])}, 95 % interval [{_percent(low)}, {_percent(high)}]"
        for name, (low, high) in found.interval.items()
    ]


def _percent(value: float | None) -> str:
    return "insufficient data" if value is None else f"{100 * value:.3g} %"
