"""Exact mining against sorting all pairs; random pairs and caps by counting."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch

from magface_al.choosing import mining
from magface_al.metrics.cosine import unit


@pytest.fixture(scope="module", params=[300, 2500])
def gallery(request):
    rng = np.random.default_rng(0)
    identity = rng.integers(0, request.param // 6, request.param)
    centres = rng.normal(size=(request.param // 6, 32))
    return unit(centres[identity] + rng.normal(size=(request.param, 32))), identity


def all_pairs(gallery):
    embeddings, identity = gallery
    i, j = np.triu_indices(len(embeddings), 1)
    return i, j, np.einsum("nd,nd->n", embeddings[i], embeddings[j]), identity[i] == identity[j]


@pytest.mark.parametrize("count", [1, 57, 1000])
def test_the_hardest_pairs_are_those_of_a_full_sort(gallery, count):
    i, j, cosine, same = all_pairs(gallery)
    faces = torch.from_numpy(gallery[0])
    pairs, similarity = mining.hardest_impostors(faces, gallery[1], count)
    assert similarity == pytest.approx(np.sort(cosine[~same])[::-1][:count], abs=1e-6)
    assert (gallery[1][pairs[:, 0]] != gallery[1][pairs[:, 1]]).all()
    pairs, similarity = mining.hardest_genuines(faces, gallery[1], count)
    assert similarity == pytest.approx(np.sort(cosine[same])[:count], abs=1e-6)
    assert (gallery[1][pairs[:, 0]] == gallery[1][pairs[:, 1]]).all()
    assert (pairs[:, 0] < pairs[:, 1]).all()
    assert len({tuple(pair) for pair in pairs.tolist()}) == len(pairs)


def test_equal_similarities_are_ordered_by_index():
    faces = torch.ones(6, 4) / 2
    pairs, _ = mining.hardest_impostors(faces, np.arange(6), 3)
    assert pairs.tolist() == [[0, 1], [0, 2], [0, 3]]


def test_caps_take_the_hardest_pairs_that_they_allow(gallery):
    faces = torch.from_numpy(gallery[0])
    pairs, similarity = mining.capped(lambda n: mining.hardest_impostors(faces, gallery[1], n), gallery[1], 60, 2, 5)
    assert max(Counter(pairs.ravel().tolist()).values()) <= 2
    assert max(Counter(gallery[1][pairs].ravel().tolist()).values()) <= 5
    assert len(pairs) == 60
    assert (np.diff(similarity) <= 1e-6).all()


def test_random_pairs_are_distinct_and_all_there_are_if_more_are_wanted():
    identity = np.array([0, 0, 0, 1, 1, 2])
    rng = np.random.default_rng(0)
    assert sorted(map(tuple, mining.random_genuines(identity, 99, rng).tolist())) == [(0, 1), (0, 2), (1, 2), (3, 4)]
    assert len(mining.random_impostors(identity, 99, rng)) == 11


def test_the_sampled_recipe_keeps_the_hardest_of_its_candidates(gallery):
    genuine, impostor = mining.sampled(*gallery, 50, 50, 6, np.random.default_rng(1))
    _, _, cosine, same = all_pairs(gallery)
    assert genuine[1].mean() < cosine[same].mean() - 0.1
    assert impostor[1].min() > np.quantile(cosine[~same], 0.7)
