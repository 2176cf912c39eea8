"""Argparse types for numbers: what they take, and the words in which they refuse."""

from __future__ import annotations

import argparse

import numpy as np
import pytest
import torch

from magface_al.command import numbers


@pytest.mark.parametrize(
    ("bounds", "inside", "outside"),
    [
        ("[0, 1)", ["0", "0.5", "0.999"], ["1", "-0.001", "nan", "inf"]),
        ("(0, 1]", ["1e-9", "1"], ["0", "1.001", "nan"]),
        ("(0, 1)", ["0.5"], ["0", "1"]),
        ("[-1, 1]", ["-1", "1", "0"], ["-1.01", "1.01", "-inf"]),
    ],
)
def test_an_interval_includes_an_end_where_its_bracket_is_square(bounds, inside, outside):
    number = numbers.interval(bounds)
    assert [number(text) for text in inside] == [float(text) for text in inside]
    for text in outside:
        with pytest.raises(argparse.ArgumentTypeError) as refusal:
            number(text)
        assert str(refusal.value) == f"{text} is outside {bounds}"


def test_a_text_that_is_no_number_is_refused_by_the_name_of_the_interval(capsys):
    parser = argparse.ArgumentParser()
    parser.add_argument("--share", type=numbers.interval("[0, 1)"))
    with pytest.raises(SystemExit):
        parser.parse_args(["--share", "half"])
    assert "invalid number in [0, 1) value: 'half'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (numbers.positive_int, "0"),
        (numbers.positive_int, "2147483648"),
        (numbers.positive_int, "9" * 20),
        (numbers.non_negative_int, "-1"),
        (numbers.non_negative_int, "2147483648"),
        (numbers.seed, "-1"),
        (numbers.seed, "4294967296"),
        (numbers.seed, "1" + "0" * 23),
        (numbers.positive_float, "0"),
        (numbers.positive_float, "inf"),
        (numbers.positive_float, "nan"),
        (numbers.non_negative_float, "-0.1"),
        (numbers.non_negative_float, "nan"),
    ],
)
def test_the_other_types_refuse_in_words(kind, text):
    with pytest.raises(argparse.ArgumentTypeError, match=f"^{text} is "):
        kind(text)


def test_the_largest_seed_is_one_for_both_libraries():
    largest = numbers.seed("4294967295")
    np.random.default_rng(largest)
    torch.Generator().manual_seed(largest)
    assert numbers.seed("0") == 0
    assert numbers.positive_int("2147483647") == numbers.non_negative_int("2147483647") == 2**31 - 1
