"""Damage to bytes of which nothing is known: what disks, cables and half copies do."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import NamedTuple

Mutation = Callable[[bytes, random.Random], bytes]


class Damage(NamedTuple):
    """Damaged bytes, what was done to them in words, and whether they are a well-formed file of other contents."""

    data: bytes
    what: str
    honest: bool


def stretch(data: bytes, rng: random.Random, longest: int = 64) -> slice:
    """A piece of the file, of 1 to `longest` bytes; every tenth time of any length. Empty only in an empty file."""
    if not data:
        return slice(0, 0)
    start = rng.randrange(len(data))
    most = len(data) if rng.random() < 0.1 else longest
    return slice(start, min(len(data), start + rng.randint(1, most)))


def flip_bit(data: bytes, rng: random.Random) -> bytes:
    """One to four bits."""
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4)) if data else 0):
        changed[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def overwrite(data: bytes, rng: random.Random) -> bytes:
    """A few bytes by random ones, or by a value that is often a limit."""
    where = stretch(data, rng, 8)
    length = where.stop - where.start
    fill = rng.choice([rng.randbytes(length), b"\0" * length, b"\xff" * length, b"\x7f" * length, b"\x80" * length])
    return data[: where.start] + fill + data[where.stop :]


def zero_block(data: bytes, rng: random.Random) -> bytes:
    """A whole block of the disk lost."""
    start = rng.randrange(len(data) // 512 + 1) * 512
    lost = data[start : start + 512]
    return data[:start] + b"\0" * len(lost) + data[start + 512 :]


def cut_short(data: bytes, rng: random.Random) -> bytes:
    """A copy that was interrupted: anywhere, or a little before the end."""
    keep = rng.choice((rng.randrange(len(data) + 1), max(0, len(data) - rng.randint(1, 16))))
    return data[:keep]


def cut_start(data: bytes, rng: random.Random) -> bytes:
    """The beginning is gone."""
    return data[rng.randint(1, 16) :]


def delete(data: bytes, rng: random.Random) -> bytes:
    """A piece of it is gone."""
    where = stretch(data, rng)
    return data[: where.start] + data[where.stop :]


def double(data: bytes, rng: random.Random) -> bytes:
    """A piece of it stands there twice, or a hundred times."""
    where = stretch(data, rng)
    return data[: where.stop] + data[where] * rng.choice((1, 1, 100)) + data[where.stop :]


def swap_pieces(data: bytes, rng: random.Random) -> bytes:
    """Two pieces change places."""
    a, b = sorted((stretch(data, rng), stretch(data, rng)), key=lambda piece: piece.start)
    if a.stop > b.start:
        return data
    return data[: a.start] + data[b] + data[a.stop : b.start] + data[a] + data[b.stop :]


def append(data: bytes, rng: random.Random) -> bytes:
    """Something behind the end."""
    return data + rng.choice((b"\0", b"\n", b"\0" * 512, rng.randbytes(64), data))


def nothing(data: bytes, rng: random.Random) -> bytes:
    """An empty file, as a full disk leaves it."""
    return b""


def tiny(data: bytes, rng: random.Random) -> bytes:
    """The first few bytes alone."""
    return data[: rng.randint(1, 12)]


def foreign(data: bytes, rng: random.Random) -> bytes:
    """A file of another kind under this name."""
    return rng.choice(
        (
            b"<!DOCTYPE html><html><body>404 Not Found</body></html>\n",  # a download that failed
            b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
            b"PK\x05\x06" + b"\0" * 18,  # an empty zip
            b"\x1f\x8b\x08\0\0\0\0\0\0\x03\x03\0\0\0\0\0\0\0\0\0",  # an empty gzip
            b"\x89PNG\r\n\x1a\n",
            b"\x80\x04N.",  # a pickled None
            b"null\n",
            rng.randbytes(300),
        )
    )


ALL: list[Mutation] = [
    flip_bit, cut_short, overwrite, delete, double, nothing, swap_pieces, append, tiny, zero_block, cut_start, foreign,
    flip_bit, cut_short,
]  # fmt: skip
