"""Pooling and 1:1 against plain float64 loops."""

from __future__ import annotations

import numpy as np
import pytest

from magface_al.evaluation import templates
from magface_al.evaluation.templates import POOLINGS, pool_templates, score_template_pairs
from magface_al.metrics.cosine import unit
from tests.support.templates import FACES, TEMPLATES, draw_templates, pooled_by_hand


@pytest.fixture
def people():
    return draw_templates()


@pytest.mark.parametrize("name", POOLINGS)
@pytest.mark.parametrize("rows_at_once", [1, 37, 16384], ids=["a template a block", "small blocks", "one block"])
def test_pooling_agrees_with_a_loop_whatever_the_block_size(people, name, rows_at_once, monkeypatch):
    monkeypatch.setattr(templates, "ROWS", rows_at_once)
    embeddings, template, media, detection, _ = people
    place = np.random.default_rng(0).permutation(FACES)  # the store has the faces in another order
    stored = np.empty_like(embeddings)
    stored[place] = embeddings
    done = []
    pooled = pool_templates(stored, place, template + 7, media, detection, POOLINGS[name], done.append)
    assert np.array_equal(pooled.ids, np.arange(TEMPLATES) + 7)
    assert pooled.directions == pytest.approx(
        pooled_by_hand(embeddings, template, media, detection, POOLINGS[name]), abs=1e-5
    )
    assert sum(done) == FACES


def test_poolings_weigh_as_they_say():
    two = np.array([[4, 0], [0, 1]], np.float32)  # a face of magnitude 4 to the east, one of 1 to the north
    detection = np.array([0.5, 1.0], np.float32)

    def east_over_north(name, media):
        x, y = pool_templates(
            two, np.arange(2), np.zeros(2, int), np.array(media), detection, POOLINGS[name]
        ).directions[0]
        return x / y

    found = {name: east_over_north(name, [0, 1]) for name in POOLINGS}
    expected = {"magnitude": 4, "uniform": 1, "detection": 0.5, "insightface": 2, "magface": 1, "adaface": 16}
    assert found == pytest.approx(expected)
    assert east_over_north("magface", [0, 0]) == pytest.approx(4)  # in one media the magnitudes count


def test_pairs_are_scored_in_blocks(people, monkeypatch):
    monkeypatch.setattr(templates, "PAIRS", 7)
    directions = unit(people[0])
    rows = np.random.default_rng(1).integers(FACES, size=(2, 100))
    expected = [float(directions[a].astype(float) @ directions[b]) for a, b in rows.T]
    assert score_template_pairs(directions, *rows) == pytest.approx(expected, abs=1e-6)
