"""1:N against sorting."""

from __future__ import annotations

import numpy as np
import pytest

from magface_al.metrics.cosine import unit
from magface_al.metrics.identification import search
from tests.support.templates import draw_templates


@pytest.fixture
def people():
    return draw_templates()


def test_ranks_agree_with_sorting(people):
    embeddings, template, _, _, subject = people
    faces, person = unit(embeddings), subject[template]
    known = person[200:] < 15  # the gallery lacks five of the twenty people
    found = search(faces[:200], person[:200], faces[200:][known], person[200:][known])
    for probe in range(200):
        order = np.argsort(-(faces[200:][known] @ faces[probe]))
        hits = np.flatnonzero(person[200:][known][order] == person[probe])
        assert found.rank[probe] == (hits[0] + 1 if len(hits) else 0)
    cmc = found.cmc(20)
    assert cmc[4] == pytest.approx(np.mean(found.rank[found.rank > 0] <= 5))
    assert (np.diff(cmc) >= 0).all()
    strangers = np.sort(found.best[found.rank == 0])
    threshold = next(t for t in strangers if np.mean(strangers > t) <= 0.1)
    expected = np.mean(
        [rank == 1 and mate > threshold for rank, mate in zip(found.rank, found.mate, strict=True) if rank]
    )
    assert found.tpir(0.1) == pytest.approx(expected)
    assert found.tpir(0.001) is None  # some fifty strangers cannot show it


def test_a_network_that_sees_everybody_alike_identifies_nobody():
    same = np.tile(np.array([1, 0], np.float32), (6, 1))
    found = search(same, np.arange(6), same, np.arange(6))
    assert found.rank.tolist() == [6] * 6
    assert found.cmc(3).tolist() == [0, 0, 0]
    assert search(same, np.arange(6), same, np.arange(6) + 10).cmc(3) is None
