"""Files that a run reads: regular files only, one policy for text, JSON without surprises, fingerprints."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import math
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from magface_al.command.errors import UserError


def open_regular(path: str | Path) -> io.BufferedReader:
    """Open a file for reading bytes. Raises OSError, with the path and a reason, also for what never ends or never begins.

    What was opened is looked at, not the name before: a device, a pipe or a socket is refused whenever it is put there, and
    O_NONBLOCK keeps the opening of a pipe that nobody writes to from waiting for ever.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except ValueError:  # see is_path
        raise OSError(errno.EINVAL, "No file has such a name, expected a path", ascii(str(path))) from None
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode):
        return os.fdopen(descriptor, "rb")
    os.close(descriptor)
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    raise OSError(errno.EINVAL, "Is a device, pipe or socket", str(path))


def open_input(path: Path, expected: str) -> io.BufferedReader:
    """The same for a file that the user named. Raises UserError with what was `expected`."""
    try:
        return open_regular(path)
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}, expected {expected}") from None


LONGEST_PATH, LONGEST_NAME = 4095, 255  # bytes: Linux's own limits


def is_path(text: str) -> bool:
    """Whether a file could be called that: bytes that are not UTF-8 may be in it as surrogates, but no others, and no NUL;
    and it is no longer than the system's limits."""
    if text.isascii() and len(text) <= LONGEST_NAME:  # nearly all of the millions
        return "\0" not in text
    try:
        name = os.fsencode(text)
    except UnicodeEncodeError:
        return False
    return (
        b"\0" not in name and len(name) <= LONGEST_PATH and all(len(part) <= LONGEST_NAME for part in name.split(b"/"))
    )


def status_of(path: Path) -> os.stat_result | None:
    """What the path leads to, None for nothing."""
    try:
        return path.stat()
    except (OSError, ValueError):  # absent, or no path at all: whoever opens it says so
        return None


def exists(path: Path) -> bool:
    """Whether there is something of that name; one that the system does not even take is none (Path.exists raises then)."""
    return status_of(path) is not None


def resolved(path: Path) -> Path:
    """The path without links. Raises UserError for a link that leads back to itself."""
    try:
        return Path(path).resolve()
    except RuntimeError:  # until Python 3.13, where opening it fails
        raise UserError(f"{path}: a link that leads back to itself, expected a file") from None


def read_lines(path: Path, expected: str) -> Iterator[tuple[int, str]]:
    """(line number from 1, line without its end) of every line that is not blank, one at a time: lists can be long.

    Bytes that are not UTF-8 come through as surrogates (PEP 383), so that any file name survives; a line ends at \\n, \\r\\n
    or \\r and at nothing else, whatever Unicode calls a line separator. Raises UserError, with what was `expected`, for a
    path that is no regular file, and for NUL, which no text and no path has.
    """
    with open_input(path, expected) as file:
        text = io.TextIOWrapper(file, encoding="utf-8-sig", errors="surrogateescape")
        for number, line in enumerate(text, 1):
            if "\0" in line:
                raise UserError(f"{path}: line {number}: a NUL character, expected {expected}")
            if line.strip():
                yield number, line.rstrip("\r\n")


def read_json(path: Path) -> Any:
    """Read JSON, naming the file and the line where it stops being JSON. Raises UserError.

    NaN, numbers beyond float64 and a key given twice are refused: Python would read all three, and lose or spread them.
    """
    try:
        with open_input(path, "a JSON file") as file:
            text = file.read().decode("utf-8-sig")  # and the bytes are gone: a million pairs have 150 MB
        return json.loads(text, object_pairs_hook=_unique, parse_float=_finite, parse_constant=_no_number)
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 text ({error.reason} at byte {error.start}), expected JSON") from None
    except json.JSONDecodeError as error:
        raise UserError(f"{path}: line {error.lineno}: not JSON ({error.msg})") from None
    except RecursionError:
        raise UserError(f"{path}: lists inside lists without end, expected JSON of a few levels") from None
    except ValueError as error:  # of the three below, and Python's own for an integer of thousands of digits
        raise UserError(f"{path}: {error}") from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"key {twice!r} is given twice in one object, expected once")
    return found


def _finite(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise ValueError(f"number {text[:40]} is beyond 1.8e308, expected a finite one")
    return value


def _no_number(text: str) -> float:
    raise ValueError(f"{text} is no number in JSON, expected a finite one or null")


def sha256(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal."""
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
