"""Files and folders that are written under a private name and take their place whole, or not at all."""

from __future__ import annotations

import fcntl
import io
import json
import os
import secrets
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from magface_al.command.claims import FULL, LOCK_IN_FOLDER, held
from magface_al.command.files import resolved
from magface_al.command.outputs import replaceable, writable

_PREFIX, _SUFFIX = ".magface_al-", ".part"  # of private temporary names; the dot keeps them out of everybody's globs
_swept: set[Path] = set()


class _Raw(io.FileIO):
    """A file that says its name where it cannot be written, and remembers that: torch.save raises something of its own."""

    failure: OSError | None = None

    def __init__(self, descriptor: int, path: Path) -> None:
        self._path = path
        super().__init__(descriptor, "wb")

    def write(self, data: Any, /) -> int:
        try:
            return super().write(data)
        except OSError as error:
            self.failure = OSError(error.errno, error.strerror, str(self._path))
            raise self.failure from None


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """An OSError of the block is about `path`, whatever private name it came with."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None


@contextmanager
def replacing(path: Path, mode: str = "w", *, durable: bool = False) -> Iterator[IO[Any]]:
    """Open `path` for writing ("w" or "wb") so that it changes only when everything has been written.

    The text or bytes go to a private temporary file in the same folder, which replaces `path` at the end of the block. If the
    block raises (a full disk, Ctrl-C, SIGTERM), the old file stays as it was and the temporary one is removed. A path that is
    a link is written through: its target is replaced. The file is readable by its owner alone (0600). durable=True also
    waits for the disk, without which a power cut soon afterwards could leave an empty file. Raises UserError as `writable`,
    and OSError that names `path`.

    Text is UTF-8; what is not (names read as surrogates, see files.read_lines) is written as \\udc80, which JSON reads back.
    """
    final = resolved(writable(path))
    final.parent.mkdir(parents=True, exist_ok=True)
    _sweep(final.parent)
    part, lock = _private(final.parent), -1
    raw: _Raw | None = None
    try:  # the name is known before there is a file, so that a signal at any moment leaves none
        with _named(path):
            while (lock := _new_file(part)) < 0:
                part = _private(final.parent)
            raw = _Raw(os.dup(lock), path)
        buffered = io.BufferedWriter(raw)
        with buffered if "b" in mode else io.TextIOWrapper(buffered, "utf-8", "backslashreplace") as file:
            yield file
            with _named(path):
                file.flush()
                if durable:
                    os.fsync(lock)
                file.close()  # a full disk that is far away says so now; the other descriptor keeps the lock
                part.replace(final)
    except BaseException as error:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        if raw is not None and raw.failure is not None and not isinstance(error, OSError):
            raise raw.failure from None
        raise
    finally:
        if lock >= 0:
            os.close(lock)


@contextmanager
def replacing_folder(folder: Path, reads: Iterable[Path] = ()) -> Iterator[Path]:
    """A new folder under a private name beside `folder`, which takes its place, whole, at the end of the block.

    reads: files, or their folders, that the block reads. Raises UserError where one of them, or an input, lies in the folder
    that would be removed, and OSError that names `folder` for a full disk.
    """
    final = resolved(replaceable(folder, reads))
    final.parent.mkdir(parents=True, exist_ok=True)
    _sweep(final.parent)
    building, old, descriptor = _private(final.parent), _private(final.parent), -1
    try:
        with _named(folder):
            while (descriptor := _new_folder(building)) < 0:
                building = _private(final.parent)
        yield building
        with _named(folder):
            if final.exists():
                final.replace(old)
            building.replace(final)
    except OSError as error:
        if error.errno in FULL:
            raise OSError(error.errno, error.strerror, str(folder)) from None
        raise
    finally:
        if old.exists() and not final.exists():  # a signal between the two
            old.replace(final)
        for part in (building, old):
            shutil.rmtree(part, ignore_errors=True)
        if descriptor >= 0:
            os.close(descriptor)


def growing(part: Path, path: Path) -> io.BufferedWriter:
    """Open for appending the part of `path` that a later run may take up. Whoever does so has claimed `path`, which an
    OSError names."""
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    descriptor = os.open(writable(part), flags, 0o600)
    with suppress(OSError):  # somebody else's, who lets this user write
        os.fchmod(descriptor, 0o600)
    raw = _Raw(descriptor, path)
    raw.seek(0, os.SEEK_END)
    return io.BufferedWriter(raw)


def settle(file: IO[bytes], path: Path) -> None:
    """Close a growing file of `path`, which an OSError names, when all of it is on the disk: then it may take its place."""
    with _named(path):
        file.flush()
        os.fsync(file.fileno())
        file.close()


def _private(folder: Path) -> Path:
    """A name in the folder that nobody can foresee."""
    return folder / f"{_PREFIX}{secrets.token_hex(8)}{_SUFFIX}"


def _new_file(path: Path) -> int:
    """A new file under a private name, locked, as a descriptor.

    -1 where a sweeper was quicker than the lock, and no file: it may still be about to remove what has that name, which is
    not to be used again.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    if held(descriptor, path):
        return descriptor
    path.unlink(missing_ok=True)
    return -1


def _new_folder(path: Path) -> int:
    """The same for a folder."""
    path.mkdir(0o700)
    with suppress(FileNotFoundError):
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        if held(descriptor, path):
            return descriptor
    shutil.rmtree(path, ignore_errors=True)
    return -1


def _sweep(folder: Path) -> None:
    """Remove, once a process, temporary files and folders that killed runs have left: a living one holds a lock on its own."""
    if folder in _swept:
        return
    _swept.add(folder)
    for part in folder.glob(f"{_PREFIX}*{_SUFFIX}"):
        with suppress(OSError):
            descriptor = os.open(part, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(part) if part.is_dir() else part.unlink()
            finally:
                os.close(descriptor)


def is_temporary(name: str) -> bool:
    """Whether a file of that name is a lock or a private temporary file, which no folder is full of."""
    return name == LOCK_IN_FOLDER or (name.startswith(_PREFIX) and name.endswith(_SUFFIX))


def write_json(path: Path, content: Any) -> None:
    """Write JSON with two spaces of indent; NaN and infinity are refused, because JSON has neither."""
    with replacing(path, durable=True) as file:
        json.dump(content, file, indent=2, allow_nan=False, ensure_ascii=False)
        file.write("\n")
