"""The random slice against counting all pairs: right probabilities, unbiased totals, intervals that cover."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from magface_al.choosing import error_estimate, mining
from magface_al.choosing.asked import Asked, Known
from magface_al.choosing.candidates import scan
from magface_al.choosing.random_slice import allocate, draw_slice, plan_strata
from magface_al.metrics.cosine import unit
from magface_al.pairs.pair_file import Pair

THRESHOLD = 0.4


@pytest.fixture(scope="module")
def people():
    """300 images of 60 people, told apart badly."""
    rng = np.random.default_rng(1)
    identity = np.repeat(np.arange(60), 5)
    centres = rng.normal(size=(60, 16))
    return unit(centres[identity] + 0.9 * rng.normal(size=(300, 16))), identity


def empty():
    return Asked(np.empty((0, 2), np.int64), np.empty(0, np.int64), np.empty(0, np.int64), [])


def ask(directions, identity, before, count, rng):
    """One more batch: a random slice, answered rightly."""
    known = Known(len(directions), before.pairs, before.label)
    strata = plan_strata(directions, THRESHOLD, count, rng)
    scanned = scan(torch.from_numpy(directions), THRESHOLD, 10, strata.edges, strata.listed)
    audit = draw_slice(directions, scanned, strata, known, count, rng)
    batch = before.round.max(initial=0) + 1
    entries = [Pair(str(i), str(j), int(identity[i] == identity[j]), {"holdout": True, "stratum": strata.name(s), "stratum_pairs": n})
               for (i, j), s, n in zip(audit.pairs.tolist(), audit.stratum.tolist(), audit.size.tolist(), strict=True)]  # fmt: skip
    asked = Asked(np.concatenate([before.pairs, audit.pairs]), np.concatenate([before.label, [e.label for e in entries]]),
                  np.concatenate([before.round, np.full(len(entries), batch)]), before.entries + entries)  # fmt: skip
    return asked, audit


def truth(directions, identity):
    i, j = np.triu_indices(len(identity), 1)
    called, same = mining.pair_cosines(directions, np.stack([i, j], 1)) > THRESHOLD, identity[i] == identity[j]
    return {"fmr": (called & ~same).sum() / (~same).sum(), "fnmr": (~called & same).sum() / same.sum(),
            "error": (called != same).mean()}  # fmt: skip


def test_strata_count_every_pair_once(people):
    rng = np.random.default_rng(0)
    _, audit = ask(*people, empty(), 60, rng)
    sizes = {int(s): int(n) for s, n in zip(audit.stratum, audit.size, strict=True)}
    assert sum(sizes.values()) == 300 * 299 // 2
    assert set(np.unique(audit.stratum, return_counts=True)[1].tolist()) == {60 // len(sizes)}
    assert len(sizes) >= 5
    assert audit.probability == pytest.approx(60 / len(sizes) / audit.size)
    assert len({tuple(pair) for pair in audit.pairs.tolist()}) == 60


def test_every_pair_of_a_stratum_is_as_likely_as_its_probability_says(people):
    directions, identity = people[0][:24], people[1][:24]
    drawn = np.zeros((24, 24))
    for seed in range(600):
        _, audit = ask(directions, identity, empty(), 24, np.random.default_rng(seed))
        drawn[tuple(audit.pairs.T)] += 1 / 600
    # strata whose edges do not depend on the seed: all 276 pairs are the pilot, so the probabilities are one run's
    expected = np.zeros((24, 24))
    strata = plan_strata(directions, THRESHOLD, 24, np.random.default_rng(0))
    i, j = np.triu_indices(24, 1)
    assert drawn[i, j].sum() == pytest.approx(24)
    assert drawn[i, j].min() > 0
    scanned = scan(torch.from_numpy(directions), THRESHOLD, 10, strata.edges, strata.listed)
    pairs = np.stack([i, j], 1)
    everything = draw_slice(
        directions, scanned, strata, Known(24, pairs[:0], np.empty(0)), 276, np.random.default_rng(0)
    )
    _, one = ask(directions, identity, empty(), 24, np.random.default_rng(0))
    probability = dict(zip(one.stratum.tolist(), one.probability.tolist(), strict=True))
    expected[tuple(everything.pairs.T)] = [probability[s] for s in everything.stratum.tolist()]
    error = np.sqrt(expected[i, j] * (1 - expected[i, j]) / 600)
    assert (np.abs(drawn[i, j] - expected[i, j]) <= 4.5 * error + 1e-9).all()


@pytest.mark.slow(4)
def test_the_estimate_is_unbiased_and_its_interval_covers(people):
    """Two batches of 60 answers, 150 times. The spread is compared with the closed form of stratified sampling."""
    directions, identity = people
    right = truth(directions, identity)
    found, covered = [], []
    for seed in range(150):
        rng = np.random.default_rng(seed)
        asked, _ = ask(directions, identity, empty(), 60, rng)
        asked, _ = ask(directions, identity, asked, 60, rng)
        result = error_estimate.estimate(directions, asked, THRESHOLD, rng, resamples=1000)
        assert result.answered == 120
        found.append([result.value[name] for name in ("fmr", "error")])
        covered.append([low <= right[name] <= high for name, (low, high) in result.interval.items()])
    mean, spread = np.mean(found, axis=0), np.std(found, axis=0) / np.sqrt(150)
    assert np.abs(mean - [right["fmr"], right["error"]]) == pytest.approx(0, abs=3.5 * spread.max())
    assert (np.mean(covered, axis=0) >= 0.92).all(), np.mean(covered, axis=0)


@pytest.mark.slow(2)
def test_the_spread_is_that_of_stratified_sampling(people):
    """Cochran, Sampling Techniques (1977), eq. 5.6: sum of N_h^2 (1 - n_h / N_h) S_h^2 / n_h."""
    directions, identity = people
    errors, variance = [], 0.0
    for seed in range(200):
        asked, audit = ask(directions, identity, empty(), 60, np.random.default_rng(seed))
        errors.append(
            error_estimate.estimate(directions, asked, THRESHOLD, np.random.default_rng(0), 10).value["error"]
        )
    strata = plan_strata(directions, THRESHOLD, 60, np.random.default_rng(0))
    scanned = scan(torch.from_numpy(directions), THRESHOLD, 10, strata.edges, strata.listed)
    none = Known(300, np.empty((0, 2), np.int64), np.empty(0))
    total = 300 * 299 // 2
    everything = draw_slice(directions, scanned, strata, none, total, np.random.default_rng(0))
    wrong = (everything.similarity > THRESHOLD) != (
        identity[everything.pairs[:, 0]] == identity[everything.pairs[:, 1]]
    )
    for s in np.unique(everything.stratum):
        size = np.count_nonzero(everything.stratum == s)
        taken = np.count_nonzero(audit.stratum == s)
        variance += size**2 * (1 - taken / size) * wrong[everything.stratum == s].var(ddof=1) / taken
    assert np.std(errors) == pytest.approx(np.sqrt(variance) / total, rel=0.15)


def test_known_pairs_are_no_longer_drawn_but_counted(people):
    directions, identity = people
    rng = np.random.default_rng(3)
    pairs = mining.random_genuines(identity, 80, rng)
    label = np.ones(80, np.int64)
    entries = [Pair(str(i), str(j), 1) for i, j in pairs.tolist()]
    before = Asked(pairs, label, np.zeros(80, np.int64), entries)
    known = Known(300, pairs, label)
    assert known.count_implied() > 80
    errors = []
    for _ in range(60):
        asked, audit = ask(directions, identity, before, 60, rng)
        assert not known.covers(audit.pairs).any()
        sizes = {int(s): int(n) for s, n in zip(audit.stratum, audit.size, strict=True)}
        assert sum(sizes.values()) + known.count_implied() == 300 * 299 // 2
        errors.append(error_estimate.estimate(directions, asked, THRESHOLD, rng, 10).value["error"])
    assert np.mean(errors) == pytest.approx(truth(directions, identity)["error"], abs=4 * np.std(errors) / np.sqrt(60))


def test_questions_are_shared_out_evenly():
    assert allocate(np.array([2, 100, 0, 50]), 12).tolist() == [2, 5, 0, 5]
    assert allocate(np.array([1, 1]), 5).tolist() == [1, 1]
