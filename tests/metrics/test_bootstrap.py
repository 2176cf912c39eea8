"""Intervals from resampled people."""

from __future__ import annotations

import numpy as np

from magface_al.metrics import bootstrap
from magface_al.metrics.roc import (
    Figures,
)


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
