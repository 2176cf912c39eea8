"""Damage to pickles that leaves them readable for a while: opcodes that ask for memory, depth, code, or what is not there."""

from __future__ import annotations

import random
import struct

from tests.fuzz.mutations.plain import Mutation

OPCODES: tuple[bytes, ...] = (
    b"B" + struct.pack("<I", 0xFFFFFFF0),  # 4 GiB of bytes
    b"B" + struct.pack("<I", 1 << 30),
    b"\x8e" + struct.pack("<Q", 1 << 40),
    b"X" + struct.pack("<I", 0xFFFFFFF0),  # of text
    b"\x8d" + struct.pack("<Q", 1 << 62),
    b"T" + struct.pack("<i", -1),
    b"T" + struct.pack("<i", 0x7FFFFFFF),
    b"\x96" + struct.pack("<Q", 1 << 33),  # a bytearray
    b"\x8b" + struct.pack("<i", 0x7FFFFFFF),  # a whole number of 2 GiB
    b"\x8b" + struct.pack("<i", -1),
    b"\x95" + struct.pack("<Q", 1 << 40),  # a frame
    b"j" + struct.pack("<I", 0xFFFFFFF0),  # a remembered object that is not there
    b"r" + struct.pack("<I", 1 << 27),  # a place for it far out: 2 GiB of table
    b"r" + struct.pack("<I", 0xFFFFFFF0),
    b"p99999999999999999999\n", b"g99999\n", b"gx\n", b"h\xff", b"q\xff",
    b"cos\nsystem\n(S'true'\ntR", b"cbuiltins\neval\n", b"c\n\n", b"cnumpy\ndtype\n", b"cnumpy\nndarray\n)R", b"\x93", b"cx\ny\n)\x81",
    b"L" + b"9" * 5000 + b"L\n", b"I" + b"9" * 5000 + b"\n", b"F1e400\n", b"Fx\n", b"S'\n", b"V\\ud800\n", b"I00\n", b"I01\n", b"N", b"K\x05",
    b"(" * 5000, b"]" * 5000, b"(l" * 20000, b"]" + b"]a" * 10, b"0" * 50, b"1", b"2" * 100, b"a", b"s", b"e", b"u", b"t", b"l", b"R", b"b", b"Q",
    b"P1\n", b"\x82\x01", b"\x84\xff\xff\xff\xff", b"\x80\xff", b"\x97", b"\x98", b".", b"\x8f", b"\x90", b"\x91", b"}", b"G" + b"\xff" * 8,
)  # fmt: skip


def pickle_opcode(data: bytes, rng: random.Random) -> bytes:
    """One more opcode, at the beginning, the end or anywhere; or in place of as many bytes."""
    opcode = rng.choice(OPCODES)
    at = rng.choice((2, max(0, len(data) - 1), rng.randrange(len(data) + 1)))
    return data[:at] + opcode + data[at + rng.choice((0, 0, 1, len(opcode))) :]


def pickle_alone(data: bytes, rng: random.Random) -> bytes:
    """One opcode and the end."""
    return b"\x80\x03" + rng.choice(OPCODES) + b"."


def pickle_pair(data: bytes, rng: random.Random) -> bytes:
    """A verification set of other things than images and bools."""
    images = rng.choice(
        (
            b"]",
            b"N",
            b"](NNe",
            b"](C\x01xC\x01xe",
            b"](C\x00C\x00e",
            b"](K\x01K\x02e",
            b"}",
            b"](]]e",
            b"](X\x01\0\0\0aX\x01\0\0\0be",
        )
    )
    same = rng.choice(
        (
            b"]",
            b"N",
            b"]Na",
            b"]\x88a",
            b"]K\x02a",
            b"]K\x01a",
            b"]G?\xf0\0\0\0\0\0\0a",
            b"]X\x01\0\0\0ya",
            b"]]a",
            b"]L1L\na",
        )
    )
    return b"\x80\x03" + images + same + b"\x86."


ALL: list[Mutation] = [
    pickle_opcode,
    pickle_alone,
    pickle_opcode,
    pickle_pair,
    pickle_opcode,
    pickle_alone,
    pickle_pair,
]
