"""Intervals that respect identities: pairs of one person are not independent, so people are resampled, not pairs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

RESAMPLES, SEED = 500, 42
CONFIDENCE = 0.95


def identity_resamples(
    identity1: Sequence[str], identity2: Sequence[str], seed: int, resamples: int = RESAMPLES
) -> Iterator[np.ndarray]:
    """Weights [N] float of the pairs in each bootstrap resample of the identities.

    identity1 and identity2 [N] are the people on the two sides. A resample draws as many people as there are, with
    replacement; a pair of one person counts as often as that person was drawn, a pair of two people the product of
    their counts (vertex bootstrap: Fogliato, Patil, Perona, arXiv 2306.01198).
    """
    rng = np.random.default_rng(seed)
    people, index = np.unique([*identity1, *identity2], return_inverse=True)
    side1, side2 = index[: len(identity1)], index[len(identity1) :]
    one_person = side1 == side2
    for _ in range(resamples):
        drawn = rng.multinomial(len(people), np.full(len(people), 1 / len(people))).astype(float)
        yield np.where(one_person, drawn[side1], drawn[side1] * drawn[side2])


def interval(values: Sequence[float | None]) -> tuple[float, float] | None:
    """The central 95 % of the resampled values; None when the figure existed in fewer than half of the resamples."""
    finite = [value for value in values if value is not None]
    if len(finite) * 2 < len(values) or not finite:
        return None
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(finite, [tail, 1 - tail])
    return float(low), float(high)


def intervals(
    figures: Callable[[np.ndarray], dict[str, float | None]], weights: Iterator[np.ndarray]
) -> dict[str, tuple[float, float] | None]:
    """The interval of every figure that `figures(weight)` returns, over the resamples."""
    drawn = [figures(weight) for weight in weights]
    return {name: interval([row[name] for row in drawn]) for name in drawn[0]}


def mean_interval(values: np.ndarray, resamples: int = 2000) -> tuple[float, float, float]:
    """(mean, low, high): the mean of independent repetitions [R] and its 95 % bootstrap interval."""
    rng = np.random.default_rng(0)
    means = np.asarray(values)[rng.integers(len(values), size=(resamples, len(values)))].mean(axis=1)
    found = interval(means.tolist())
    assert found is not None
    return float(np.mean(values)), *found
