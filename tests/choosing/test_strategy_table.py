"""One table of strategies: what choose_pairs.py offers, explains, refuses and does comes from it."""

from __future__ import annotations

import re

import numpy as np
import pytest

import choose_pairs
from magface_al.choosing import strategies
from magface_al.choosing.asked import Asked
from magface_al.choosing.questions import Pool, choose
from magface_al.choosing.strategies import Strategy
from magface_al.choosing.wishes import Wishes
from magface_al.command.errors import UserError
from magface_al.metrics.cosine import unit

NEEDED = ["--features_list", "f.npy", "--output_file", "ask.json"]
NOTHING = Asked(np.empty((0, 2), np.int64), np.empty(0, np.int64), np.empty(0, np.int64), [])


@pytest.fixture(scope="module")
def pool():
    rng = np.random.default_rng(0)
    return Pool([f"{k}.png" for k in range(40)], unit(rng.normal(size=(40, 8))), rng.uniform(5, 30, 40))


def test_a_strategy_of_the_table_is_offered_explained_and_used(pool, monkeypatch):
    def alike(c, threshold, count, rng):
        return np.argsort(-c.similarity, kind="stable")

    monkeypatch.setitem(strategies.STRATEGIES, "alike", Strategy(alike, "the most similar pairs"))
    parser = choose_pairs.build_parser()
    assert "alike = the most similar pairs" in re.sub(r"\s+", " ", parser.format_help())
    strategy = parser.parse_args([*NEEDED, "--strategy", "alike"]).strategy
    pairs = choose(pool, NOTHING, Wishes(10, strategy, random_share=0.0, max_per_image=0), np.random.default_rng(0))
    matrix = pool.unit @ pool.unit.T
    expected = np.sort(matrix[np.triu_indices(40, 1)])[::-1][:10]
    assert sorted((pair.extra["similarity"] for pair in pairs), reverse=True) == pytest.approx(expected, abs=1e-5)
    assert {pair.extra["strategy"] for pair in pairs} == {"alike"}


def test_an_unknown_strategy_is_refused_with_the_table(pool, capsys):
    with pytest.raises(UserError, match="strategy best: expected one of mix, uncertainty, hardest, diverse"):
        choose(pool, NOTHING, Wishes(strategy="best"), np.random.default_rng(0))
    with pytest.raises(SystemExit):
        choose_pairs.build_parser().parse_args([*NEEDED, "--strategy", "best"])
    message = capsys.readouterr().err
    assert all(name in message for name in ["mix", *strategies.STRATEGIES])


def test_a_mix_is_made_of_strategies_of_the_table():
    assert set(strategies.MIX) <= set(strategies.STRATEGIES)
    assert sum(strategies.MIX.values()) == pytest.approx(1)


def test_the_defaults_are_those_of_the_wishes():
    args = choose_pairs.build_parser().parse_args(NEEDED)
    assert Wishes(**{name: getattr(args, name) for name in vars(Wishes())}) == Wishes()
