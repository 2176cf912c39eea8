"""Files that a run writes: whole or absent, their owner's alone, none that the run reads, none that two runs write at once."""

from __future__ import annotations

import fcntl
import json
import os
import stat
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path, PosixPath
from typing import IO, Any

from magface_al.command.errors import UserError

_PREFIX, _SUFFIX = ".magface_al-", ".part"  # of private temporary names; the dot keeps them out of everybody's globs
_LOCK = ".lock"  # in a folder; NAME.lock beside a file
_FORGOTTEN = 60.0  # seconds after which a temporary file that nobody holds was left behind by a killed run
_inputs: dict[tuple[int, int], str] = {}  # (device, inode) -> the flag that names it, of the run in progress
_swept: set[Path] = set()


class OutputPath(PosixPath):
    """An argparse type: a file that the script writes. Files that other flags name are inputs, which no output may be."""


@contextmanager
def guarded(arguments: Mapping[str, Any]) -> Iterator[None]:
    """While a script runs: new files and folders are their owner's alone, and no input is written over.

    arguments: flag -> value. The check goes by device and inode, so a link to an input is that input. Raises UserError for
    an output that is an input already; one that shows itself later is refused by `writable`.
    """
    umask = os.umask(0o077)  # for what libraries create, too
    try:
        _inputs.update(
            {identity: f"--{flag}" for flag, path in _paths(arguments, output=False) if (identity := _identity(path))}
        )
        for _, path in _paths(arguments, output=True):
            writable(path)
        yield
    finally:
        os.umask(umask)
        _inputs.clear()


def _paths(arguments: Mapping[str, Any], output: bool) -> Iterator[tuple[str, Path]]:
    """(flag, path) of every path among the arguments, also in lists and NAME=PATH."""
    for flag, value in arguments.items():
        for item in value if isinstance(value, list | tuple) else [value]:
            for path in item if isinstance(item, tuple) else [item]:
                if isinstance(path, Path) and isinstance(path, OutputPath) == output:
                    yield flag, path


def _identity(path: Path) -> tuple[int, int] | None:
    """What makes a regular file that file, whatever it is called; None for what is none (yet)."""
    try:
        status = path.stat()
    except (OSError, ValueError):  # absent, or no path at all: whoever opens it says so
        return None
    return (status.st_dev, status.st_ino) if stat.S_ISREG(status.st_mode) else None


def writable(path: Path) -> Path:
    """The path itself, unless it is one of the run's inputs. Raises UserError."""
    identity = _identity(path)
    if identity in _inputs:
        raise UserError(f"{path}: would be written over, and is an input ({_inputs[identity]}); choose another name")
    return path


def is_private(name: str) -> bool:
    """Whether a file's name is that of a temporary file or of a folder's lock, which say nothing about what a folder holds."""
    return name == _LOCK or (name.startswith(_PREFIX) and name.endswith(_SUFFIX))


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """The system tells which file could not be opened, but not which could not be written (a full disk): this one then."""
    try:
        yield
    except OSError as error:
        if error.filename is None:
            error.filename = str(path)
        raise


@contextmanager
def replacing(path: Path, mode: str = "w", *, durable: bool = False) -> Iterator[IO[Any]]:
    """Open `path` for writing so that it changes only when everything has been written.

    The text or bytes go to a private temporary file in the same folder, which replaces `path` at the end of the block. If the
    block raises (a full disk, Ctrl-C, SIGTERM), the old file stays as it was and the temporary one is removed. A path that is
    a link is written through: its target is replaced. The file is readable by its owner alone (0600). durable=True also
    waits for the disk, without which a power cut soon afterwards could leave an empty file.

    Text is UTF-8; what is not (names read as surrogates, see files.read_lines) is written as \\udc80, which JSON reads back.
    """
    final = _behind_links(writable(path))
    final.parent.mkdir(parents=True, exist_ok=True)
    _sweep(final.parent)
    descriptor, name = tempfile.mkstemp(_SUFFIX, _PREFIX, final.parent)  # O_EXCL | O_NOFOLLOW, 0600
    part = Path(name)
    try:
        with suppress(OSError):  # a file system without locks: the file is only not swept safely
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        encoding, errors = (None, None) if "b" in mode else ("utf-8", "backslashreplace")
        with naming(final), os.fdopen(descriptor, mode, encoding=encoding, errors=errors) as file:
            yield file
            file.flush()
            if durable:
                os.fsync(file.fileno())
        part.replace(final)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def _behind_links(path: Path) -> Path:
    try:
        return path.resolve()
    except (OSError, RuntimeError):  # RuntimeError until Python 3.13
        raise UserError(f"{path}: a link that leads back to itself, expected a file to write") from None


def _sweep(folder: Path) -> None:
    """Remove, once a process, temporary files that killed runs have left: a living one holds a lock on its own."""
    if folder in _swept:
        return
    _swept.add(folder)
    for part in folder.glob(f"{_PREFIX}*{_SUFFIX}"):
        with suppress(OSError):
            if time.time() - part.lstat().st_mtime > _FORGOTTEN:
                descriptor = os.open(part, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    part.unlink()
                finally:
                    os.close(descriptor)


def write_json(path: Path, content: Any) -> None:
    """Write JSON with two spaces of indent; NaN and infinity are refused, because JSON has neither."""
    with replacing(path, durable=True) as file:
        json.dump(content, file, indent=2, allow_nan=False, ensure_ascii=False)
        file.write("\n")


class Claim:
    """An output that is written bit by bit, for this run alone: a file or a folder, until `close` or the process's end.

    The lock is the operating system's, on `NAME.lock` beside a file and on `.lock` inside a folder, so that a killed run
    leaves none. Raises UserError where another run holds it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path / _LOCK if path.is_dir() else path.with_name(path.name + _LOCK)
        while True:
            flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
            self._descriptor = os.open(self._path, flags, 0o600)
            try:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(self._descriptor)
                raise UserError(
                    f"{path}: another run is writing it; wait for its end, or choose another name"
                ) from None
            except OSError:
                return  # a file system without locks
            status = os.fstat(self._descriptor)
            if _identity(self._path) == (status.st_dev, status.st_ino):
                return
            os.close(self._descriptor)  # the run before removed the file while this one waited for it

    def close(self) -> None:
        """Let go of it; again changes nothing."""
        if self._descriptor >= 0:
            self._path.unlink(missing_ok=True)
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> Claim:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
