"""Damage to RecordIO: lengths, flags and labels of records that say something else."""

from __future__ import annotations

import random
import struct

from tests.fuzz.mutations.plain import Mutation, flip_bit

MAGIC = struct.pack("<I", 0xCED7230A)


def _starts(data: bytes) -> list[int]:
    found, at = [], data.find(MAGIC)
    while at >= 0:
        found.append(at)
        at = data.find(MAGIC, at + 4)
    return [at for at in found if at + 32 <= len(data)]


def record_length(data: bytes, rng: random.Random) -> bytes:
    """A record of another length, or another part of one."""
    starts = _starts(data)
    if not starts:
        return flip_bit(data, rng)
    at = rng.choice(starts) + 4
    word = struct.unpack("<I", data[at : at + 4])[0]
    length = rng.choice((0, 1, 3, 23, 24, word & 0xFFFF, (1 << 29) - 1, 1 << 20))
    flag = rng.choice((word >> 29, 0, 1, 2, 3, 4, 7))
    return data[:at] + struct.pack("<I", flag << 29 | length) + data[at + 4 :]


def record_label(data: bytes, rng: random.Random) -> bytes:
    """A label that is no class."""
    starts = _starts(data)
    if not starts:
        return flip_bit(data, rng)
    at = rng.choice(starts) + 12
    label = rng.choice((float("nan"), float("inf"), -1.0, 0.5, 1e30, 3e38, 16777216.0, 2.0**31, 2.0**63, -0.0))
    return data[:at] + struct.pack("<f", label) + data[at + 4 :]


def record_count(data: bytes, rng: random.Random) -> bytes:
    """Another number of labels, or another id."""
    starts = _starts(data)
    if not starts:
        return flip_bit(data, rng)
    at = rng.choice(starts) + 8
    if rng.random() < 0.5:
        return data[:at] + struct.pack("<I", rng.choice((0, 1, 2, 3, 100, 0x3FFFFFFF, 0xFFFFFFFF))) + data[at + 4 :]
    return data[: at + 8] + struct.pack("<Q", rng.choice((0, 1, 7, 1 << 31, (1 << 64) - 1))) + data[at + 16 :]


def record_labels(data: bytes, rng: random.Random) -> bytes:
    """The labels behind the header, which hold the ranges of people in bookkeeping records, become others."""
    starts = [at for at in _starts(data) if at + 40 <= len(data)]
    if not starts:
        return flip_bit(data, rng)
    at = rng.choice(starts) + 32
    values = (float("nan"), float("inf"), -1.0, 0.0, 1.0, 1e9, 3e38, 0.5)
    return data[:at] + struct.pack("<ff", rng.choice(values), rng.choice(values)) + data[at + 8 :]


def drop_record(data: bytes, rng: random.Random) -> bytes:
    """A whole record is gone, or stands there twice."""
    starts = [*_starts(data), len(data)]
    if len(starts) < 2:
        return flip_bit(data, rng)
    number = rng.randrange(len(starts) - 1)
    a, b = starts[number : number + 2]
    return data[:a] + (data[a:b] * 2 if rng.random() < 0.5 else b"") + data[b:]


ALL: list[Mutation] = [record_length, record_label, record_count, record_labels, record_length, drop_record]
