"""Files that are whole or absent, and fingerprints of their contents."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from magface_al.command.errors import UserError


@contextmanager
def replacing(path: Path, mode: str = "w", *, durable: bool = False) -> Iterator[IO[Any]]:
    """Open `path` for writing so that it changes only when everything has been written.

    The text or bytes go to `<name>.part` beside it, which replaces `path` at the end of the block. If the block
    raises (a full disk, Ctrl-C), the old file stays as it was and the part is removed. durable=True also waits for the
    disk, without which a power cut soon afterwards could leave an empty file.
    """
    part = path.with_name(path.name + ".part")
    path.parent.mkdir(parents=True, exist_ok=True)
    encoding = None if "b" in mode else "utf-8"
    try:
        with part.open(mode, encoding=encoding) as file:
            yield file
            if durable:
                file.flush()
                os.fsync(file.fileno())
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    part.replace(path)


def read_lines(path: Path, expected: str) -> Iterator[tuple[int, str]]:
    """(line number from 1, line without its end) of every line that is not blank, one at a time: lists can be long.

    Bytes that are not UTF-8 come through as surrogates, so that any file name survives. Raises UserError, with what was
    `expected`, for a path that is no file.
    """
    try:
        with path.open(encoding="utf-8", errors="surrogateescape") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield number, line.rstrip("\r\n")
    except (FileNotFoundError, IsADirectoryError) as error:
        raise UserError(f"{path}: {error.strerror}, expected {expected}") from None


def write_json(path: Path, content: Any) -> None:
    """Write JSON with two spaces of indent; NaN and infinity are refused, because JSON has neither."""
    with replacing(path, durable=True) as file:
        json.dump(content, file, indent=2, allow_nan=False, ensure_ascii=False)
        file.write("\n")


def read_json(path: Path) -> Any:
    """Read JSON, naming the file and the line where it stops being JSON. Raises UserError."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise UserError(f"{path}: is a folder, expected a JSON file") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 text ({error.reason} at byte {error.start}), expected JSON") from None
    except json.JSONDecodeError as error:
        raise UserError(f"{path}: line {error.lineno}: not JSON ({error.msg})") from None


def sha256(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
