"""Whether a model's errors chose pairs."""

from __future__ import annotations

from pathlib import Path

import pytest

from magface_al.choosing import hard_pairs, strategies
from magface_al.command.errors import UserError
from magface_al.pairs.chosen import (
    DOUBTED,
    FLIPPED,
    drawn_at_random,
    enough,
    is_mined,
    mined_in_words,
    pairs_it_stands_for,
    picked_for_errors,
    random_pairs_file,
)
from magface_al.pairs.pair_file import Pair


def pair(strategy=None, label=1, **extra):
    return Pair("a", "b", label, ({"strategy": strategy} if strategy else {}) | extra)


def slice_pair(share=1):
    return pair("random_slice", holdout=True, inclusion_probability=share)


def test_every_strategy_but_random_ones_mines():
    """One that somebody adds mines too, until it is named as one that does not."""
    names = {*strategies.STRATEGIES, *hard_pairs.STRATEGIES, DOUBTED, FLIPPED, "one that somebody adds"}
    assert {name for name in names if not is_mined(pair(name))} == {"random", "balanced"}
    assert not is_mined(pair())  # of a public benchmark
    assert not is_mined(pair("random_slice"))
    assert not is_mined(pair(holdout=True))


def test_pairs_are_named_as_what_they_are():
    pairs = [pair("exact"), pair("sampled"), pair("random"), pair()]
    assert mined_in_words(pairs) == "2 of 4 pairs were chosen by a model's errors (strategy exact, sampled)"
    assert mined_in_words(pairs[1:]) == "1 of 3 pairs was chosen by a model's errors (strategy sampled)"
    assert mined_in_words(pairs[2:]) is None


def test_a_slice_is_a_weighed_sample_of_its_own():
    pairs = [pair("exact"), slice_pair(0.25), slice_pair(1), pair("random")]
    assert pairs_it_stands_for(pairs).tolist() == [1, 4, 1, 1]
    assert drawn_at_random(pairs).tolist() == [False, True, True, False]
    assert drawn_at_random([*pairs, pair(), pair()]).tolist() == [False, False, False, True, True, True]


@pytest.mark.parametrize("share", [0, -1, 1.5, float("nan"), "half", None, True])
def test_a_probability_that_is_none_is_refused(share):
    with pytest.raises(UserError, match='a and b: key "inclusion_probability" is .*expected a number above 0'):
        pairs_it_stands_for([slice_pair(share)])


def test_what_errors_pick_out_of_a_random_sample_is_no_random_sample():
    picked = picked_for_errors(pair("random", other=1), DOUBTED)
    assert picked.extra == {"strategy": DOUBTED, "other": 1}
    assert picked_for_errors(pair("exact"), DOUBTED) == pair("exact")
    assert drawn_at_random([picked_for_errors(slice_pair(0.5), FLIPPED)]).tolist() == [False]


def test_enough_is_ten_of_each_kind():
    assert enough([pair(label=k % 2) for k in range(20)])
    assert not enough([pair(label=int(k > 8)) for k in range(40)])


def test_random_pairs_stand_beside_the_chosen_ones():
    assert random_pairs_file(Path("out/val_pairs.json")) == Path("out/val_random_pairs.json")
    assert random_pairs_file(Path("answers.json")) == Path("answers_random_pairs.json")
