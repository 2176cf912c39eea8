"""Numbers as text: of files, and argparse types that refuse a value out of its range in words that name the range."""

from __future__ import annotations

import argparse
from collections.abc import Callable

MOST = 2**31 - 1  # that a flag takes of anything: what C libraries hold in an int
LARGEST_SEED = 2**32 - 1


def is_whole(text: str) -> bool:
    """Whether files mean a whole number of at least 0 by it: ASCII digits alone, fewer than 19, so that int64 holds it.

    int() takes more ("1_000", blanks, other scripts' digits), and str.isdigit some that int() does not ("²").
    """
    return text.isascii() and text.isdigit() and len(text) < 19


def whole(text: str) -> int:
    """The number of a text that is_whole. Raises ValueError."""
    if not is_whole(text):
        raise ValueError(f"{text[:40]!r} is no whole number")
    return int(text)


def positive_int(text: str) -> int:
    """A whole number above zero."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a positive whole number")
    return _at_most(MOST, value, text)


def non_negative_int(text: str) -> int:
    """A whole number, zero allowed."""
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"{text} is negative")
    return _at_most(MOST, value, text)


def seed(text: str) -> int:
    """A seed of random numbers that NumPy and PyTorch both take."""
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"{text} is negative")
    return _at_most(LARGEST_SEED, value, text)


def _at_most(most: int, value: int, text: str) -> int:
    if value > most:
        raise argparse.ArgumentTypeError(f"{text} is above {most}")
    return value


def positive_float(text: str) -> float:
    """A finite number above zero."""
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not a positive number")
    return value


def non_negative_float(text: str) -> float:
    """A finite number, zero allowed."""
    value = float(text)
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not a number of at least 0")
    return value


def interval(bounds: str) -> Callable[[str], float]:
    """A number in an interval as mathematics writes it: "[0, 1)" includes 0 and excludes 1."""
    low, high = (float(end) for end in bounds[1:-1].split(","))

    def number(text: str) -> float:
        value = float(text)
        above = value >= low if bounds[0] == "[" else value > low
        below = value <= high if bounds[-1] == "]" else value < high
        if not (above and below):
            raise argparse.ArgumentTypeError(f"{text} is outside {bounds}")
        return value

    number.__name__ = f"number in {bounds}"  # argparse and --config say it where the text is no number
    return number


cosine = interval("[-1, 1]")
