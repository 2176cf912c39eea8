"""Damage to text files that are made of lines and columns: what people, editors and other programs do."""

from __future__ import annotations

import random

from tests.fuzz.mutations.plain import Mutation

TOKENS: tuple[bytes, ...] = (
    b"\0", b"\xff\xfe", b"\xed\xa0\x80", b"\xc3", b"\x1b[2J", b"\x0b", b"\x0c", b"\x1c", b"\t", b" ", b"\r", b"\n",
    "\u2028".encode(), "\u2029".encode(), "\x85".encode(), "\u00a0".encode(), "\ufeff".encode(), "\u202e".encode(),
    "²".encode(), "٣".encode(), "½".encode(), "Ⅷ".encode(), "é".encode(), "e\u0301".encode(), "😀".encode(),
    b"9" * 5000, b"1" + b"0" * 400, b"1e400", b"-1e400", b"1e37", b"1e-400", b"NaN", b"nan", b"inf", b"Infinity", b"-0",
    b"-1", b"0", b"1", b"00000000", b"1_000", b"0x10", b"1.5", b"+1", b"16777216", b"2147483648", b"4294967296",
    b"9223372036854775807", b"9223372036854775808", b"18446744073709551616", b"1e308", b"-9223372036854775809",
    b"..", b"../..", b"/", b".", b"/dev/zero", b"/dev/null", b"/proc/self/mem", b"C:\\x.jpg", b"\\\\host\\x", b"x" * 300, b"x/" * 3000,
    b"=1+1", b'"', b"'", b",", b";", b"%s", b"{}", b"${HOME}", b"#", b"//", b"None", b"null", b"true", b"-", b"\\u0000",
)  # fmt: skip
COLUMNS = b" \t,"


def _lines(data: bytes) -> list[bytes]:
    return data.split(b"\n")


def insert_token(data: bytes, rng: random.Random) -> bytes:
    """A hostile token anywhere."""
    at = rng.randrange(len(data) + 1)
    return data[:at] + rng.choice(TOKENS) + data[at:]


def replace_column(data: bytes, rng: random.Random) -> bytes:
    """A hostile token in place of what stands between two separators."""
    lines = _lines(data)
    number = rng.randrange(len(lines))
    line = lines[number]
    starts = [0, *(at + 1 for at, byte in enumerate(line) if byte in COLUMNS)]
    start = rng.choice(starts)
    end = next((at for at in range(start, len(line)) if line[at] in COLUMNS), len(line))
    lines[number] = line[:start] + rng.choice(TOKENS) + line[end:]
    return b"\n".join(lines)


def swap_lines(data: bytes, rng: random.Random) -> bytes:
    """Two lines change places."""
    lines = _lines(data)
    a, b = rng.randrange(len(lines)), rng.randrange(len(lines))
    lines[a], lines[b] = lines[b], lines[a]
    return b"\n".join(lines)


def repeat_line(data: bytes, rng: random.Random) -> bytes:
    """A line stands there twice, here or elsewhere, or a hundred times."""
    lines = _lines(data)
    lines[rng.randrange(len(lines)) : 0] = [rng.choice(lines)] * rng.choice((1, 1, 100))
    return b"\n".join(lines)


def drop_line(data: bytes, rng: random.Random) -> bytes:
    """A line is gone."""
    lines = _lines(data)
    del lines[rng.randrange(len(lines))]
    return b"\n".join(lines)


def some_lines(data: bytes, rng: random.Random) -> bytes:
    """Only the first lines: a header alone, for those that have one."""
    return b"\n".join(_lines(data)[: rng.choice((1, 1, 2, 3))]) + rng.choice((b"\n", b""))


def blank(data: bytes, rng: random.Random) -> bytes:
    """White space and nothing else."""
    return rng.choice((b"\n", b"\n\n\n", b"\r\n", b" ", b"\t\n", "\u2028".encode(), "\ufeff".encode()))


def line_ends(data: bytes, rng: random.Random) -> bytes:
    """Another system's line ends, throughout."""
    return data.replace(b"\n", rng.choice((b"\r\n", b"\r", b"\n\r", b"\n\n", "\u2028".encode(), "\x85".encode())))


def encoding(data: bytes, rng: random.Random) -> bytes:
    """Another encoding: with a mark at its beginning, UTF-16, Latin-1 with an accent."""
    text = data.decode("utf-8", "replace")
    return rng.choice(
        (
            b"\xef\xbb\xbf" + data,
            text.encode("utf-16"),
            text.encode("utf-16-le"),
            text.replace("a", "ä").encode("latin-1", "replace"),
            text.replace("a", "ä").encode("utf-8"),
        )
    )


def separators(data: bytes, rng: random.Random) -> bytes:
    """Other separators between columns, in one line or in all."""
    old, new = rng.choice((b" ", b"\t", b",")), rng.choice((b" ", b"\t", b",", b"", b"  ", b"\t\t", "\u00a0".encode()))
    lines = _lines(data)
    chosen = range(len(lines)) if rng.random() < 0.5 else [rng.randrange(len(lines))]
    for number in chosen:
        lines[number] = lines[number].replace(old, new)
    return b"\n".join(lines)


def long_line(data: bytes, rng: random.Random) -> bytes:
    """A line of a megabyte."""
    return data + rng.choice((b"a" * (1 << 20), b"1 " * (1 << 19), b"\0" * (1 << 20)))


ALL: list[Mutation] = [
    insert_token, replace_column, swap_lines, replace_column, repeat_line, drop_line, some_lines, blank, line_ends, encoding,
    separators, insert_token, long_line, replace_column,
]  # fmt: skip
HONEST: list[Mutation] = ALL
