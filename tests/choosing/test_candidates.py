"""The one pass over all pairs against a full matrix."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from magface_al.choosing import candidates
from magface_al.choosing.candidates import scan
from magface_al.metrics.cosine import unit


@pytest.mark.parametrize("elements", [2**24, 5000])
def test_the_pass_finds_what_a_full_matrix_shows(people, monkeypatch, elements):
    monkeypatch.setattr(candidates, "ELEMENTS", elements)  # one block, or blocks of twelve rows
    directions = people[0]
    matrix = directions @ directions.T
    i, j = np.triu_indices(400, 1)
    cosine = matrix[i, j]
    found = scan(torch.from_numpy(directions), 0.4, 500, [0.6, 0.4, 0.1], [0, 1])
    assert found.strata.tolist() == [
        np.count_nonzero((cosine > low) & (cosine <= high))
        for low, high in [(0.6, 2), (0.4, 0.6), (0.1, 0.4), (-2, 0.1)]
    ]
    assert np.sort(np.abs(found.near[1] - 0.4)) == pytest.approx(np.sort(np.abs(cosine - 0.4))[:500], abs=1e-6)
    assert len(np.unique(found.near[0], axis=0)) == 500
    assert (found.near[0][:, 0] < found.near[0][:, 1]).all()
    assert {tuple(p) for p in found.listed[0][0].tolist()} == set(
        zip(i[cosine > 0.6].tolist(), j[cosine > 0.6].tolist(), strict=True)
    )
    np.fill_diagonal(matrix, -2)
    assert found.neighbour_similarity == pytest.approx(-np.sort(-matrix)[:, :10], abs=1e-6)


def test_relative_similarity_finds_pairs_of_one_person_better_than_similarity():
    """Half of the images are bad ones, which show little of the person and resemble each other."""
    rng = np.random.default_rng(0)
    identity = np.repeat(np.arange(50), 8)
    bad = (rng.random(400) < 0.5)[:, None]
    person, blur = rng.normal(size=(50, 24))[identity], 2 * rng.normal(size=24)
    directions = unit(np.where(bad, 0.3 * person + blur, person) + 0.7 * rng.normal(size=(400, 24)))
    c = candidates.candidates(directions, np.ones(400), scan(torch.from_numpy(directions), 0.4, 2000), identity)
    share = {name: c.given[np.argsort(-getattr(c, name))[:200]].mean() for name in ("similarity", "relative")}
    assert share["relative"] > share["similarity"] + 0.2
