"""Pairs by their images' rows against the two sides written out."""

from __future__ import annotations

import numpy as np

from magface_al.metrics import sides
from magface_al.metrics.cosine import cosines
from magface_al.metrics.sides import Sides, sides_of


def drawn(pairs=50, images=9):
    rng = np.random.default_rng(4)
    embeddings = rng.normal(size=(images, 7)).astype(np.float32)
    return Sides(embeddings, *rng.integers(images, size=(2, pairs)))


def test_blocks_measure_what_the_whole_measures(monkeypatch):
    drawn_pairs = drawn()
    whole = [drawn_pairs.embeddings[side].astype(float) - 0.3 for side in (drawn_pairs.side1, drawn_pairs.side2)]
    for block in (7, 25, 1000):  # with a rest, without one, all at once
        monkeypatch.setattr(sides, "_BLOCK", block)
        assert np.array_equal(drawn_pairs.measured(cosines, minus=0.3), cosines(*whole))


def test_the_mean_counts_an_image_as_often_as_it_stands_there():
    drawn_pairs = drawn()
    chosen = np.arange(50) % 3 == 0
    both = [drawn_pairs.embeddings[side[chosen]].astype(float) for side in (drawn_pairs.side1, drawn_pairs.side2)]
    assert np.allclose(drawn_pairs.mean(chosen), np.concatenate(both).mean(axis=0))


def test_an_image_is_held_once_however_many_pairs_name_it():
    embeddings = {name: np.full(3, float(number)) for number, name in enumerate("abc")}
    found = sides_of(embeddings, [("c", "a"), ("a", "c"), ("c", "c")])
    assert found.embeddings.shape == (2, 3)
    assert found.embeddings[found.side1][:, 0].tolist() == [2, 0, 2]
    assert found.embeddings[found.side2][:, 0].tolist() == [0, 2, 2]
