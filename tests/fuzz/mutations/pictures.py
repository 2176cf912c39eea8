"""Damage to pictures: headers that announce more pixels than any face has."""

from __future__ import annotations

import random
import struct
import zlib

from tests.fuzz.mutations.plain import Mutation, flip_bit

SIDES = (0, 1, 2, 65_500, 65_535, 30_000, 1 << 20, 0x7FFFFFFF, 0xFFFFFFFF)


def other_size(data: bytes, rng: random.Random) -> bytes:
    """Another width and height in the header, whose checksum fits, where the format has one."""
    width, height = rng.choice(SIDES), rng.choice(SIDES)
    if data.startswith(b"\x89PNG") and len(data) > 33:
        header = b"IHDR" + struct.pack(">II", width, height) + data[24:29]
        return data[:12] + header + struct.pack(">I", zlib.crc32(header)) + data[33:]
    if data.startswith(b"BM") and len(data) > 26:
        return data[:18] + struct.pack("<II", width, height) + data[26:]
    if data.startswith(b"\xff\xd8"):
        at = next((data.find(mark) for mark in (b"\xff\xc0", b"\xff\xc2") if mark in data), -1)
        if at > 0:
            return data[: at + 5] + struct.pack(">HH", height & 0xFFFF, width & 0xFFFF) + data[at + 9 :]
    if data[8:12] == b"WEBP" and len(data) > 30:
        return data[:26] + struct.pack("<HH", width & 0x3FFF, height & 0x3FFF) + data[30:]
    return flip_bit(data, rng)


def other_depth(data: bytes, rng: random.Random) -> bytes:
    """Another depth or kind of colour."""
    if data.startswith(b"\x89PNG") and len(data) > 33:
        header = data[12:24] + bytes((rng.choice((0, 1, 8, 16, 255)), rng.choice((0, 2, 3, 4, 6, 9)))) + data[26:29]
        return data[:12] + header + struct.pack(">I", zlib.crc32(header)) + data[33:]
    if data.startswith(b"BM") and len(data) > 30:
        return data[:28] + struct.pack("<H", rng.choice((0, 1, 4, 8, 16, 24, 32, 999))) + data[30:]
    return flip_bit(data, rng)


ALL: list[Mutation] = [other_size, other_size, other_depth, other_size]
