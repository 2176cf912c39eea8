"""The strategies' orders on arrays, and their one table: what choose_pairs.py offers, explains, refuses and does."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch

import choose_pairs
from magface_al.choosing import candidates
from magface_al.choosing.asked import Asked
from magface_al.choosing.candidates import Candidates, scan
from magface_al.choosing.questions import Pool, choose
from magface_al.choosing.strategies import (
    MIX,
    STRATEGIES,
    Picker,
    Strategy,
    interleaved,
    pick,
    unrecognisable_below,
)
from magface_al.choosing.wishes import Wishes
from magface_al.command.errors import UserError
from magface_al.metrics.cosine import unit

NEEDED = ["--features_list", "f.npy", "--output_file", "ask.json"]
NOTHING = Asked(np.empty((0, 2), np.int64), np.empty(0, np.int64), np.empty(0, np.int64), [])


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


@pytest.fixture(scope="module")
def forty():
    rng = np.random.default_rng(0)
    return Pool([f"{k}.png" for k in range(40)], unit(rng.normal(size=(40, 8))), rng.uniform(5, 30, 40))


def test_a_strategy_of_the_table_is_offered_explained_and_used(forty, monkeypatch):
    def alike(c, threshold, count, rng):
        return np.argsort(-c.similarity, kind="stable")

    monkeypatch.setitem(STRATEGIES, "alike", Strategy(alike, "the most similar pairs"))
    parser = choose_pairs.build_parser()
    assert "alike = the most similar pairs" in re.sub(r"\s+", " ", parser.format_help())
    strategy = parser.parse_args([*NEEDED, "--strategy", "alike"]).strategy
    pairs = choose(forty, NOTHING, Wishes(10, strategy, random_share=0.0, max_per_image=0), np.random.default_rng(0))
    matrix = forty.unit @ forty.unit.T
    expected = np.sort(matrix[np.triu_indices(40, 1)])[::-1][:10]
    assert sorted((pair.extra["similarity"] for pair in pairs), reverse=True) == pytest.approx(expected, abs=1e-5)
    assert {pair.extra["strategy"] for pair in pairs} == {"alike"}


def test_an_unknown_strategy_is_refused_with_the_table(forty, capsys):
    with pytest.raises(UserError, match="strategy best: expected one of mix, uncertainty, hardest, diverse"):
        choose(forty, NOTHING, Wishes(strategy="best"), np.random.default_rng(0))
    with pytest.raises(SystemExit):
        choose_pairs.build_parser().parse_args([*NEEDED, "--strategy", "best"])
    message = capsys.readouterr().err
    assert all(name in message for name in ["mix", *STRATEGIES])


def test_a_mix_is_made_of_strategies_of_the_table():
    assert set(MIX) <= set(STRATEGIES)
    assert sum(MIX.values()) == pytest.approx(1)


def test_the_defaults_are_those_of_the_wishes():
    args = choose_pairs.build_parser().parse_args(NEEDED)
    assert Wishes(**{name: getattr(args, name) for name in vars(Wishes())}) == Wishes()
