"""An output for one run alone: the operating system's locks, which end with whoever holds them."""

from __future__ import annotations

import errno
import fcntl
import os
import sys
from contextlib import suppress
from pathlib import Path

from magface_al.command.errors import UserError
from magface_al.command.files import resolved, status_of

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # what a full disk says
_told = False  # that there are no locks
LOCK_IN_FOLDER = ".lock"  # what a folder has in it while a run fills it


class Claim:
    """An output for this run alone, from now until `close` or the process's end.

    The lock is the operating system's, on `NAME.lock` beside a file and on `.lock` inside a folder, which is made where it is
    absent; a killed run leaves none. Raises UserError where another run holds it or nothing can be written, OSError for a full
    disk.
    """

    def __init__(self, path: Path, *, folder: bool = False) -> None:
        final = resolved(path)
        home = final if folder else final.parent
        self._made: list[Path] = []  # folders, the innermost first: removed again by a run that has not written
        self.lock = home / (LOCK_IN_FOLDER if folder else f"{final.name}.lock")
        self._descriptor = -1
        try:
            self._made = [folder for folder in (home, *home.parents) if not folder.exists()]
            home.mkdir(parents=True, exist_ok=True)
            self._descriptor = self._locked(path)
        except OSError as error:
            self._remove_folders()
            if error.errno in FULL:
                raise OSError(error.errno, error.strerror, str(path)) from None
            if str(error.filename) == str(self.lock) and os.path.lexists(self.lock):
                raise UserError(
                    f"{path}: its lock file {self.lock} cannot be opened ({error.strerror}), so it may be another user's; "
                    "remove it when no run is writing there, or choose another name"
                ) from None
            raise UserError(
                f"{path}: cannot be written ({error.strerror}); choose a name in a folder of your own"
            ) from None

    def _locked(self, path: Path) -> int:
        """The descriptor of the lock file, which is locked and still has its name."""
        for _ in range(3):  # the run before may remove the file while this one opens it
            descriptor = os.open(self.lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            if held(descriptor, self.lock):
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
        self._remove_folders()

    def _remove_folders(self) -> None:
        for folder in self._made:
            with suppress(OSError):  # not empty: the usual end
                folder.rmdir()

    def __enter__(self) -> Claim:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def held(descriptor: int, path: Path) -> bool:
    """Lock what was opened; False, and closed, where another process has the lock, or `path` is no longer its name.

    On a file system without locks it is held at once, which is told once a process, and nothing is ever swept.
    """
    global _told
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return False
    except OSError as error:
        if not _told:
            _told = True
            with suppress(OSError):  # nobody reads it
                reason = f"no file locks here ({error.strerror}): see that one run at a time writes"
                sys.stderr.write(f"note: {path.parent}: {reason}\n")
        return True
    ours, named = os.fstat(descriptor), status_of(path)
    if named is not None and (named.st_dev, named.st_ino) == (ours.st_dev, ours.st_ino):
        return True
    os.close(descriptor)
    return False
