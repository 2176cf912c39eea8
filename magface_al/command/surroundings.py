"""What a run finds around it before it begins: open streams, a home for caches, a folder to stand in, a locale, one process."""

from __future__ import annotations

import atexit
import io
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TextIO

from magface_al.command.errors import UserError
from magface_al.command.numbers import is_whole


def prepare() -> None:
    """Mend what can be mended, before anything heavy is imported."""
    _open_closed_streams()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a name that the terminal's encoding lacks ends no run
    _find_a_home()


def _open_closed_streams() -> None:
    """A standard stream that was closed (`2>&-`) leads to nowhere.

    Otherwise the next file that is opened would get its number, and what C libraries print would be written into it.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)
    sys.stdout = sys.stdout or os.fdopen(1, "w", encoding="utf-8", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", encoding="utf-8", closefd=False)


def _find_a_home() -> None:
    """Libraries keep caches in HOME and ask for the user's name, which a container's --user need not have."""
    if not _has_home():
        try:
            lent = tempfile.mkdtemp(prefix="magface_al-home-")
        except OSError:
            return  # no writable place at all: the libraries say what they need
        os.environ["HOME"] = lent
        atexit.register(shutil.rmtree, lent, ignore_errors=True)
    try:
        import pwd

        pwd.getpwuid(os.getuid())
    except KeyError:
        os.environ.setdefault("USER", f"user{os.getuid()}")


def _has_home() -> bool:
    try:
        home = Path.home()
    except RuntimeError:  # neither in the environment nor in passwd
        return False
    return home.is_dir() and os.access(home, os.W_OK | os.X_OK)


def launched(name: str, otherwise: int, least: int = 0) -> int:
    """A number that whoever starts several processes puts into the environment; empty is unset. Raises UserError."""
    text = os.environ.get(name, "").strip()
    if not text:
        return otherwise
    if not is_whole(text) or int(text) < least:
        raise UserError(
            f"{name} is {text[:40]!r} in the environment, expected a whole number from {least}, or unset it"
        )
    return int(text)


def check(distributed: bool) -> None:
    """Raises UserError where the run could not be right. distributed: the script may be one of several processes."""
    processes = launched("WORLD_SIZE", 1, least=1)
    if not distributed and processes > 1:
        raise UserError(
            f"started as one of {processes} processes (WORLD_SIZE), and only train.py shares its work: start it once"
        )
    encoding = sys.getfilesystemencoding()
    if encoding.lower() != "utf-8":
        raise UserError(f"the locale's file names are {encoding}, expected UTF-8: set PYTHONUTF8=1, or a UTF-8 locale")
    try:
        Path.cwd()
    except FileNotFoundError:
        raise UserError("the working folder has been deleted, expected one that exists: cd into it again") from None


def let_go(stream: TextIO) -> bool:
    """Flush a stream; where nobody takes what is left (`| head -1`, a full disk), drop it. Returns whether it got there.

    Python would otherwise try again at its very end, fail, say so, and end with 120.
    """
    try:
        stream.flush()
    except OSError:
        lead_nowhere(stream.fileno())
        return False
    return True


def lead_nowhere(descriptor: int) -> None:
    """What is written to it from now on is dropped, and fails no more."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, descriptor)
    os.close(nowhere)
