"""The strategies' orders, on arrays."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from magface_al.choosing import candidates
from magface_al.choosing.candidates import Candidates, scan
from magface_al.choosing.strategies import MIX, STRATEGIES, Picker, interleaved, pick, unrecognisable_below
from magface_al.command.errors import UserError


@pytest.fixture(scope="module")
def pool(people):
    directions, identity = people
    magnitude = np.random.default_rng(1).uniform(5, 30, 400).astype(np.float32)
    return candidates.candidates(directions, magnitude, scan(torch.from_numpy(directions), 0.4, 2000), identity)


def test_uncertainty_is_nearest_the_threshold_and_random_follows_the_seed(pool):
    order = STRATEGIES["uncertainty"].order(pool, 0.3, 10, np.random.default_rng(0))
    assert (np.diff(np.abs(pool.similarity[order] - np.float32(0.3))) >= 0).all()
    one, two, three = (STRATEGIES["random"].order(pool, 0.3, 10, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert np.array_equal(one, two)
    assert not np.array_equal(one, three)


def test_hardest_are_unlike_pairs_of_good_neighbours_and_alike_pairs_of_bad_ones(pool):
    order = STRATEGIES["hardest"].order(pool, 0.4, 40, np.random.default_rng(0))[:40]
    assert len(set(order.tolist())) == 40
    likely = np.sort(pool.relative)[::-1][8 * 40 - 1]
    fourth = order[3::4]
    assert (pool.similarity[fourth] > 0.4).all()
    others = np.delete(order, np.arange(3, 40, 4))
    assert (pool.relative[others] >= likely).all()
    assert pool.similarity[others] == pytest.approx(np.sort(pool.similarity[pool.relative >= likely])[: len(others)])
    alike = pool.relative[pool.similarity > 0.4]
    assert pool.relative[fourth] == pytest.approx(np.sort(alike)[: len(fourth)])
    assert 3 <= np.count_nonzero(pool.given[order]) <= 37  # some of both, or nothing can be trained


def test_diverse_pairs_are_spread_further_than_the_most_uncertain(pool):
    def spread(rows):
        middle = pool.where(rows).middles()
        return (1 - middle @ middle.T + 2 * np.eye(len(rows))).min(axis=1).mean()

    rng = np.random.default_rng(0)
    diverse = STRATEGIES["diverse"].order(pool, 0.4, 40, rng)
    assert len(set(diverse.tolist())) == len(diverse)
    assert spread(diverse[:40]) > 1.5 * spread(STRATEGIES["uncertainty"].order(pool, 0.4, 40, rng)[:40])


def test_quality_leaves_out_what_cannot_be_recognised(pool):
    order = STRATEGIES["quality"].order(pool, 0.4, 40, np.random.default_rng(0))
    assert pool.magnitude[order].min() >= np.quantile(pool.magnitude, 0.19)
    hardest = STRATEGIES["hardest"].order(pool, 0.4, 40, np.random.default_rng(0))
    assert pool.magnitude[order[:40]].mean() > pool.magnitude[hardest[:40]].mean() + 1
    flat = Candidates(pool.pairs, pool.similarity, pool.relative, np.ones(len(pool)), pool.unit, None)
    with pytest.raises(UserError, match="all embeddings have one length"):
        STRATEGIES["quality"].order(flat, 0.4, 40, np.random.default_rng(0))
    mixed = pick(flat, "mix", 40, 0.4, Picker(4), np.random.default_rng(0))
    assert {name for _, name in mixed} == {"hardest", "uncertainty", "diverse"}  # a mix does without
    assert len(mixed) == 40


def test_mislabeled_are_the_given_labels_farthest_on_the_wrong_side(pool):
    order = STRATEGIES["mislabeled"].order(pool, 0.4, 40, np.random.default_rng(0))
    assert ((pool.similarity[order] > 0.4) != pool.given[order]).all()
    doubt = np.abs(pool.similarity[order] - 0.4)
    for kind in (True, False):
        assert (np.diff(doubt[pool.given[order] == kind]) <= 0).all()
    nameless = Candidates(pool.pairs, pool.similarity, pool.relative, pool.magnitude, pool.unit, None)
    with pytest.raises(UserError, match="expected --identity_from"):
        STRATEGIES["mislabeled"].order(nameless, 0.4, 40, np.random.default_rng(0))


def test_a_mix_has_its_shares_and_keeps_the_cap(pool):
    picker = Picker(max_per_image=2)
    chosen = pick(pool, "mix", 100, 0.4, picker, np.random.default_rng(0))
    counts = {name: sum(strategy == name for _, strategy in chosen) for name in [*MIX, "mislabeled"]}
    assert counts == {"hardest": 34, "quality": 30, "uncertainty": 12, "diverse": 9, "mislabeled": 15}
    assert max(picker.images.values()) <= 2
    assert len({row for row, _ in chosen}) == 100


def test_interleaving_takes_turns():
    assert interleaved(np.arange(6), np.array([10, 11, 0]), every=3).tolist() == [0, 1, 10, 2, 3, 11, 4, 5]
    assert interleaved(np.array([], int), np.array([4, 5]), every=2).tolist() == [4, 5]


def test_the_magnitude_below_which_people_give_up():
    magnitude = np.arange(40.0)
    unsure = magnitude < 14
    assert unrecognisable_below(magnitude, unsure) == 26  # of the 27 below it and it, 14 were unsure
    assert unrecognisable_below(magnitude, magnitude > 30) == 0
    assert unrecognisable_below(np.empty(0), np.empty(0, bool)) == 0
