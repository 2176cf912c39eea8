"""What build_hard_pairs.py chooses and says, on arrays; and its table of strategies."""

from __future__ import annotations

import re

import numpy as np
import pytest

import build_hard_pairs
from magface_al.choosing import hard_pairs
from magface_al.choosing.hard_pairs import HardStrategy, HardWishes, NamedImages, choose_hard
from magface_al.metrics.cosine import unit
from magface_al.pairs.pair_file import DIFFERENT, SAME


@pytest.fixture(scope="module")
def images():
    """Four people with three images each, on the plane."""
    angles = np.concatenate([start + np.array([0, 0.1, 0.3]) for start in (0, 0.5, 2, 4)])
    people = [f"p{k // 3}" for k in range(12)]
    directions = unit(np.stack([np.cos(angles), np.sin(angles)], axis=1))
    return NamedImages([f"{k}.png" for k in range(12)], people, directions, "cpu")


def test_the_hardest_pairs_and_their_hardness(images):
    wishes = HardWishes(pos_target=4, neg_target=1)
    found = choose_hard(images, wishes, np.random.default_rng(0))
    same = {(pair.image1, pair.image2) for pair in found.pairs if pair.label == SAME}
    assert same == {("0.png", "2.png"), ("3.png", "5.png"), ("6.png", "8.png"), ("9.png", "11.png")}
    different = next(pair for pair in found.pairs if pair.label == DIFFERENT)
    assert different.key() == ("2.png", "3.png")  # 0.3 and 0.5
    assert different.extra == {
        "similarity": round(float(np.cos(0.2)), 6), "strategy": "exact", "identity1": "p0", "identity2": "p1"}  # fmt: skip
    assert found.hardness["same"] == pytest.approx(
        dict.fromkeys(["min", "q25", "median", "q75", "max"], np.cos(0.3)), abs=1e-4
    )
    assert found.shortfalls == []


def test_what_there_is_too_little_of_is_said_with_the_flags_that_limit_it(images):
    found = choose_hard(images, HardWishes(pos_target=20, neg_target=0), np.random.default_rng(0))
    assert found.shortfalls == [
        "only 12 of the 20 same pairs wanted exist within --max_per_image and --max_per_identity"
    ]
    assert found.hardness.keys() == {"same"}
    found = choose_hard(images, HardWishes("balanced", 20, 99), np.random.default_rng(0))
    assert found.shortfalls == [
        "only 12 of the 20 same pairs wanted exist", "only 54 of the 99 different pairs wanted exist"]  # fmt: skip


def test_a_strategy_of_the_table_is_a_choice_of_the_script(images, monkeypatch):
    def first(images, wishes, rng):
        return (np.array([[0, 1]]), np.array([0.9])), (np.array([[0, 3]]), np.array([0.8]))

    monkeypatch.setitem(hard_pairs.STRATEGIES, "first", HardStrategy(first, "the first ones of the store"))
    parser = build_hard_pairs.build_parser()
    assert "first = the first ones of the store" in re.sub(r"\s+", " ", parser.format_help())
    args = parser.parse_args(["--features_list", "f", "--output_file", "o", "--strategy", "first"])
    found = choose_hard(images, HardWishes(args.strategy), np.random.default_rng(0))
    assert {pair.extra["strategy"] for pair in found.pairs} == {"first"}


def test_the_defaults_are_those_of_the_wishes():
    args = build_hard_pairs.build_parser().parse_args(["--features_list", "f", "--output_file", "o"])
    assert HardWishes(**{name: getattr(args, name) for name in vars(HardWishes())}) == HardWishes()
