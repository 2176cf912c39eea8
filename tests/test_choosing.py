"""Candidates against all pairs, what answers imply, the strategies' orders, advice; on arrays."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from magface_al.choosing import candidates, stopping
from magface_al.choosing.asked import OPEN, Asked, Known
from magface_al.choosing.candidates import Candidates, scan
from magface_al.choosing.strategies import MIX, STRATEGIES, Picker, interleaved, pick, unrecognisable_below
from magface_al.command.errors import UserError
from magface_al.metrics.cosine import unit
from magface_al.pairs.pair_file import Pair


@pytest.fixture(scope="module")
def people():
    rng = np.random.default_rng(0)
    identity = np.repeat(np.arange(50), 8)
    return unit(rng.normal(size=(50, 24))[identity] + 0.8 * rng.normal(size=(400, 24))), identity


@pytest.fixture(scope="module")
def pool(people):
    directions, identity = people
    magnitude = np.random.default_rng(1).uniform(5, 30, 400).astype(np.float32)
    return candidates.candidates(directions, magnitude, scan(torch.from_numpy(directions), 0.4, 2000), identity)


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


def test_what_answers_imply_is_what_closing_them_step_by_step_gives():
    rng = np.random.default_rng(0)
    person = rng.integers(0, 5, 24)
    pairs = np.array([p for p in itertools.combinations(range(24), 2) if rng.random() < 0.12])
    label = (person[pairs[:, 0]] == person[pairs[:, 1]]).astype(int)
    label[rng.random(len(label)) < 0.1] = OPEN
    table = {frozenset(p): y for p, y in zip(pairs.tolist(), label, strict=True) if y != OPEN}
    for _ in range(6):
        for a, b, c in itertools.permutations(range(24), 3):
            if table.get(frozenset((a, b))) == 1 and frozenset((b, c)) in table:
                table.setdefault(frozenset((a, c)), table[frozenset((b, c))])
    known = Known(24, pairs, label)
    implied, same = known.implied()
    assert {frozenset(p): int(y) for p, y in zip(implied.tolist(), same, strict=True)} == table
    everything = np.array(list(itertools.permutations(range(24), 2)))
    asked = {frozenset(p) for p in pairs.tolist()}
    assert known.covers(everything).tolist() == [frozenset(p) in table.keys() | asked for p in everything.tolist()]


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


def answered(labels, then, **extra):
    entries = [Pair(f"a{k}", f"b{k}", None if y == OPEN else int(y), {"similarity": s, "batch": 1, **extra})
               for k, (y, s) in enumerate(zip(labels, then, strict=True))]  # fmt: skip
    pairs = np.arange(2 * len(labels)).reshape(-1, 2)
    return Asked(pairs, np.array(labels), np.ones(len(labels), np.int64), entries)


def test_advice():
    right, wrong = [1, 0] * 20, [0, 1] * 20
    then = [0.7, 0.1] * 20
    assert stopping.advice(answered([OPEN] * 40, then), np.array(then), 0.4) == []
    verdict, reason = stopping.advice(answered(right, then), np.array(then), 0.4)
    assert verdict == "you may stop"
    assert "wrong in 0% of the last 40" in reason
    assert stopping.advice(answered(wrong, then), np.array(then), 0.4)[0] == "go on"
    few = stopping.advice(answered(right[:6], then[:6]), np.array(then[:6]), 0.4)
    assert few[0] == "go on"
    assert "6 chosen questions" in few[1]
    unsure = answered(wrong[:30] + [OPEN] * 10, then)
    assert stopping.advice(unsure, np.array(then), 0.4)[0] == "go on"
    unsure = answered(wrong[:10] + [OPEN] * 30, then, answer="unsure")
    assert "could not be told" in stopping.advice(unsure, np.array(then), 0.4)[2]
    moved = stopping.advice(answered(wrong, then), np.array([0.3, 0.2] * 20), 0.4)
    assert any("changed its call on 50%" in line for line in moved)
