"""What a run may write: no input of its own, whatever it is called, and nothing that another run is writing."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path, PosixPath
from typing import Any

from magface_al.command.claims import Claim
from magface_al.command.errors import UserError
from magface_al.command.files import resolved, status_of

_inputs: dict[
    tuple[int, int], str
] = {}  # (device, inode) -> the flag that names it, or what it is, of the run in progress
_read_from: set[Path] = set()  # the inputs' places, folders too
_to_write: list[Path] | None = None  # the files that flags name, and the manifest; None: no run is in progress


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
    global _to_write
    umask = os.umask(0o077)  # for what libraries create, too
    try:
        _to_write = [path for _, path in _paths(arguments) if isinstance(path, OutputPath)]
        with ExitStack() as claims:
            for flag, path in _paths(arguments):
                if not isinstance(path, OutputPath | OutputFolder):
                    _inputs.update({identity: f"--{flag}"} if (identity := _regular(path)) else {})
                    _read_from.add(resolved(path))
            claimed: dict[Path, str] = {}
            for flag, path in _paths(arguments):
                if isinstance(path, OutputPath | OutputFolder):
                    if isinstance(path, OutputPath):
                        writable(path)
                    if (other := claimed.setdefault(resolved(path), flag)) != flag:
                        raise UserError(f"{path}: --{flag} and --{other} name one file, expected two")
                    if claiming:
                        claims.enter_context(Claim(path, folder=isinstance(path, OutputFolder)))
            yield
    finally:
        os.umask(umask)
        _to_write = None
        _inputs.clear()
        _read_from.clear()


def _paths(arguments: Mapping[str, Any]) -> Iterator[tuple[str, Path]]:
    """(flag, path) of every path among the arguments, also in lists and NAME=PATH."""
    for flag, value in arguments.items():
        for item in value if isinstance(value, list | tuple) else [value]:
            for path in item if isinstance(item, tuple) else [item]:
                if isinstance(path, Path):
                    yield flag, path


def _regular(path: Path) -> tuple[int, int] | None:
    """What makes a regular file that file, whatever it is called; None for what is none (yet)."""
    status = status_of(path)
    return (status.st_dev, status.st_ino) if status and stat.S_ISREG(status.st_mode) else None


def also_read(path: Path, what: str) -> None:
    """A file that no flag names, beside one that does, is an input of the run in progress too; outside a run nothing happens.

    Readers call it before they read. Raises UserError, with `what` the file is, where a flag names it as an output.
    """
    if _to_write is None:
        return
    if identity := _regular(path):
        _inputs.setdefault(identity, what)
    _read_from.add(resolved(path))
    for output in _to_write:
        writable(output)


def to_be_written(path: Path) -> Path:
    """`writable`, now and for whatever input shows itself until the run ends: what no flag names and is written last."""
    if _to_write is not None:
        _to_write.append(path)
    return writable(path)


def writable(path: Path) -> Path:
    """The path itself. Raises UserError if it is one of the run's inputs, or no place for a regular file."""
    identity = _regular(path)
    if identity in _inputs:
        raise UserError(f"{path}: would be written over, and is an input ({_inputs[identity]}); choose another name")
    if identity is None and (status := status_of(path)):
        what = "a folder" if stat.S_ISDIR(status.st_mode) else "a device, pipe or socket"
        raise UserError(f"{path}: {what}, expected the name of a file to write")
    return path


def refuse_inputs(folder: Path, names: Iterable[str]) -> None:
    """`writable` for every name that the run will write, or remove, in the folder: before any work. Raises UserError."""
    for name in names:
        writable(folder / name)


def refuse_foreign(folder: Path, own: re.Pattern[str]) -> None:
    """A rerun, also of a killed run, replaces its own files in the folder, whose paths match; raises UserError for others."""
    found = (path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir())
    other = next((path for path in found if not own.search(path.as_posix())), None)
    if other or (folder.exists() and not folder.is_dir()):
        raise UserError(
            f"{other or folder}: was not written by this script, expected a new or empty place; choose another --output_dir"
        )


def writable_itself(path: Path) -> Path:
    """`writable` for a file that others stand beside, which are found by its name. Raises UserError for a link too."""
    if path.is_symlink():
        raise UserError(
            f"{path}: a link, expected a file: others belong beside it; give the name that the link leads to"
        )
    return writable(path)


def replaceable(folder: Path, reads: Iterable[Path] = ()) -> Path:
    """The same for a folder that is replaced as a whole: raises UserError where an input, or one of `reads`, lies in it."""
    final = resolved(folder)
    for place in {*_read_from, *map(resolved, reads)} if final.exists() else set[Path]():
        if place.is_relative_to(final):
            raise UserError(
                f"{folder}: would be replaced, and {place} in it is read by this run; choose another folder"
            )
    return folder
