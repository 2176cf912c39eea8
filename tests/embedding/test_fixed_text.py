"""Numbers as text of a fixed width: exact round trips."""

from __future__ import annotations

import warnings

import numpy as np

from magface_al.embedding.fixed_text import format_fixed, parse_fixed


def any_float32(count, seed=0):
    bits = np.random.default_rng(seed).integers(0, 2**32, count, dtype=np.uint32)
    values = bits.view(np.float32)
    return values[np.isfinite(values)]


def test_fixed_text_holds_every_float32_exactly():
    values = np.concatenate([any_float32(200_000), np.float32([0, -0.0, 1, 9.9999999, 1e-45, 3.4028235e38, 0.1])])
    text = format_fixed(values[None])[0].tobytes()
    assert np.array_equal(parse_fixed(text).view(np.uint32), values.view(np.uint32))
    assert np.array_equal(np.array(text.split(), np.float32).view(np.uint32), values.view(np.uint32))


def test_parse_fixed_leaves_other_text_alone():
    text = format_fixed(np.float32([[1.5, -2.25]]))[0].tobytes()
    for broken in (b".", b"1", b"e"):
        assert parse_fixed(text.replace(broken, b"x", 1)) is None
    assert parse_fixed(text[:-1]) is None


def test_numbers_beyond_float32_are_infinite_without_a_word():
    """A damaged file may have them; whoever reads refuses what is infinite."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert parse_fixed(b"+9.99999999e+38 -1.00000000e+55 ").tolist() == [np.inf, -np.inf]
