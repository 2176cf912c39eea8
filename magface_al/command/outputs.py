"""Files that a run writes: whole or absent, their owner's alone, none that the run reads, none that two runs write at once."""

from __future__ import annotations

import errno
import fcntl
import io
import json
import os
import secrets
import shutil
import stat
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path, PosixPath
from typing import IO, Any

from magface_al.command.errors import UserError

_PREFIX, _SUFFIX = ".magface_al-", ".part"  # of private temporary names; the dot keeps them out of everybody's globs
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
LOCK_IN_FOLDER = ".lock"  # what a folder has in it while a run fills it
_inputs: dict[tuple[int, int], str] = {}  # (device, inode) -> the flag that names it, of the run in progress
_read_from: set[Path] = set()  # the inputs' places, folders too
_of_this_run: set[Path] = set()  # the locks of the outputs that its flags name
_swept: set[Path] = set()


class OutputPath(PosixPath):
    """An argparse type: a file that the script writes. What other flags name are inputs, which no output may be."""


class OutputFolder(PosixPath):
    """An argparse type: a folder that the script fills."""


@contextmanager
def guarded(arguments: Mapping[str, Any], *, claiming: bool = True) -> Iterator[None]:
    """While a script runs: new files and folders are their owner's alone, no input is written over, outputs are claimed.

    arguments: flag -> value. The check goes by device and inode, so a link to an input is that input. claiming=False is for
    the second and further processes of a run, whose first has claimed the outputs. Raises UserError for an output that is
    an input, no regular file, another output too, or another run's; what shows itself later is refused by `writable`.
    """
    umask = os.umask(0o077)  # for what libraries create, too
    try:
        with ExitStack() as claims:
            for flag, path in _paths(arguments):
                if not isinstance(path, OutputPath | OutputFolder):
                    _inputs.update({identity: f"--{flag}"} if (identity := _regular(path)) else {})
                    _read_from.add(_resolved(path))
            claimed: dict[Path, str] = {}
            for flag, path in _paths(arguments):
                if isinstance(path, OutputPath | OutputFolder):
                    if isinstance(path, OutputPath):
                        writable(path)
                    if (other := claimed.setdefault(_resolved(path), flag)) != flag:
                        raise UserError(f"{path}: --{flag} and --{other} name one file, expected two")
                    if claiming:
                        claim = claims.enter_context(Claim(path, folder=isinstance(path, OutputFolder)))
                        _of_this_run.add(claim.lock)
            yield
    finally:
        os.umask(umask)
        _of_this_run.clear()
        _inputs.clear()
        _read_from.clear()


def _paths(arguments: Mapping[str, Any]) -> Iterator[tuple[str, Path]]:
    """(flag, path) of every path among the arguments, also in lists and NAME=PATH."""
    for flag, value in arguments.items():
        for item in value if isinstance(value, list | tuple) else [value]:
            for path in item if isinstance(item, tuple) else [item]:
                if isinstance(path, Path):
                    yield flag, path


def _resolved(path: Path) -> Path:
    """The path without links. Raises UserError for a link that leads back to itself."""
    try:
        return Path(path).resolve()
    except RuntimeError:  # until Python 3.13, where opening it fails
        raise UserError(f"{path}: a link that leads back to itself, expected a file") from None


def _status(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except (OSError, ValueError):  # absent, or no path at all: whoever opens it says so
        return None


def _regular(path: Path) -> tuple[int, int] | None:
    """What makes a regular file that file, whatever it is called; None for what is none (yet)."""
    status = _status(path)
    return (status.st_dev, status.st_ino) if status and stat.S_ISREG(status.st_mode) else None


def writable(path: Path) -> Path:
    """The path itself. Raises UserError if it is one of the run's inputs, or no place for a regular file."""
    identity = _regular(path)
    if identity in _inputs:
        raise UserError(f"{path}: would be written over, and is an input ({_inputs[identity]}); choose another name")
    if identity is None and (status := _status(path)):
        what = "a folder" if stat.S_ISDIR(status.st_mode) else "a device, pipe or socket"
        raise UserError(f"{path}: {what}, expected the name of a file to write")
    return path


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
    final = _resolved(writable(path))
    final.parent.mkdir(parents=True, exist_ok=True)
    _sweep(final.parent)
    part = _private(final.parent)
    raw: _Raw | None = None
    try:  # the name is known before there is a file, so that a signal at any moment leaves none
        with _named(path):
            raw = _Raw(_new_file(part), path)
        buffered = io.BufferedWriter(raw)
        with buffered if "b" in mode else io.TextIOWrapper(buffered, "utf-8", "backslashreplace") as file:
            yield file
            file.flush()
            with _named(path):
                if durable:
                    os.fsync(raw.fileno())
                part.replace(final)
    except BaseException as error:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        if raw is not None and raw.failure is not None and not isinstance(error, OSError):
            raise raw.failure from None
        raise


@contextmanager
def replacing_folder(folder: Path, reads: Iterable[Path] = ()) -> Iterator[Path]:
    """A new folder under a private name beside `folder`, which takes its place, whole, at the end of the block.

    reads: files, or their folders, that the block reads. Raises UserError where one of them, or an input, lies in the folder
    that would be removed, and OSError that names `folder` for a full disk.
    """
    final = _resolved(folder)
    for place in {*_read_from, *map(_resolved, reads)} if final.exists() else set[Path]():
        if place.is_relative_to(final):
            raise UserError(
                f"{folder}: would be replaced, and {place} in it is read by this run; choose another folder"
            )
    final.parent.mkdir(parents=True, exist_ok=True)
    _sweep(final.parent)
    building, old, descriptor = _private(final.parent), _private(final.parent), -1
    try:
        with _named(folder):
            descriptor = _new_folder(building)
        yield building
        with _named(folder):
            if final.exists():
                final.replace(old)
            building.replace(final)
    except OSError as error:
        if error.errno in _FULL:
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


def _private(folder: Path) -> Path:
    """A name in the folder that nobody can foresee."""
    return folder / f"{_PREFIX}{secrets.token_hex(8)}{_SUFFIX}"


def _new_file(path: Path) -> int:
    """A new file under a private name, locked, as a descriptor. Made again where a sweeper was quicker than the lock."""
    while True:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        if _held(descriptor, path):
            return descriptor
        path.unlink(missing_ok=True)


def _new_folder(path: Path) -> int:
    """The same for a folder."""
    while True:
        path.mkdir(0o700)
        with suppress(FileNotFoundError):
            descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
            if _held(descriptor, path):
                return descriptor
        shutil.rmtree(path, ignore_errors=True)


def _held(descriptor: int, path: Path) -> bool:
    """Lock what was opened; False, and closed, where another process has the lock, or `path` is no longer its name.

    On a file system without locks it is held at once, and nothing is ever swept.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return False
    except OSError:
        return True
    ours, named = os.fstat(descriptor), _status(path)
    if named is not None and (named.st_dev, named.st_ino) == (ours.st_dev, ours.st_ino):
        return True
    os.close(descriptor)
    return False


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


def is_passing(name: str) -> bool:
    """Whether a file of that name is a lock or a private temporary file, which no folder is full of."""
    return name == LOCK_IN_FOLDER or (name.startswith(_PREFIX) and name.endswith(_SUFFIX))


def write_json(path: Path, content: Any) -> None:
    """Write JSON with two spaces of indent; NaN and infinity are refused, because JSON has neither."""
    with replacing(path, durable=True) as file:
        json.dump(content, file, indent=2, allow_nan=False, ensure_ascii=False)
        file.write("\n")


class Claim:
    """An output for this run alone, from now until `close` or the process's end.

    The lock is the operating system's, on `NAME.lock` beside a file and on `.lock` inside a folder, which is made where it is
    absent; a killed run leaves none. Raises UserError where another run holds it or nothing can be written, OSError for a full
    disk.
    """

    def __init__(self, path: Path, *, folder: bool = False) -> None:
        final = _resolved(path)
        home = final if folder else final.parent
        self._made = None if home.exists() else home  # removed again by a run that has not written
        self.lock = home / (LOCK_IN_FOLDER if folder else f"{final.name}.lock")
        self._descriptor = -1
        if self.lock in _of_this_run:  # `guarded` has claimed it, for a writer that claims it itself
            return
        try:
            home.mkdir(parents=True, exist_ok=True)
            self._descriptor = self._locked(path)
        except OSError as error:
            if error.errno in _FULL:
                raise OSError(error.errno, error.strerror, str(path)) from None
            raise UserError(
                f"{path}: cannot be written ({error.strerror}); choose a name in a folder of your own"
            ) from None

    def _locked(self, path: Path) -> int:
        """The descriptor of the lock file, which is locked and still has its name."""
        for _ in range(3):  # the run before may remove the file while this one opens it
            descriptor = os.open(self.lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            if _held(descriptor, self.lock):
                return descriptor
        raise UserError(f"{path}: another run is writing it; wait for its end, or choose another name")

    def close(self) -> None:
        """Let go of it; again changes nothing."""
        if self._descriptor < 0:
            return
        with suppress(OSError):  # the folder may be gone
            self.lock.unlink(missing_ok=True)
        os.close(self._descriptor)
        self._descriptor = -1
        if self._made is not None:
            with suppress(OSError):  # not empty: the usual end
                self._made.rmdir()

    def __enter__(self) -> Claim:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
