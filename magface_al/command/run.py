"""What a run read, wrote and skipped: told on the screen, kept as a manifest beside the output."""

from __future__ import annotations

import shlex
import sys
import time
from contextlib import suppress
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from magface_al import __version__
from magface_al.command.files import sha256
from magface_al.command.outputs import to_be_written
from magface_al.command.replacing import write_json

_PACKAGES = ("torch", "torchvision", "opencv-python", "numpy", "matplotlib")


def command_line(*words: object) -> str:
    """The words of a command as one line that a shell takes apart again, whatever spaces and signs they have."""
    return shlex.join(map(str, words))


class Run:
    """The account of one run of a script."""

    def __init__(self, script: str, arguments: dict[str, Any]) -> None:
        self.script = script
        self.arguments = {key: _plain(value) for key, value in arguments.items()}
        self._path: Path | None = None
        self.facts: dict[str, Any] = {}  # device, counts, ...: whatever the script wants kept
        self.inputs: dict[str, str] = {}
        self.started = time.time()
        self.silent = False  # of several processes with one task, all but one keep quiet and write nothing
        self._next: list[str] = []

    @property
    def path(self) -> Path | None:
        """Where the manifest goes, set by the script before it writes; None: nowhere. Raises UserError for an input."""
        return self._path

    @path.setter
    def path(self, path: Path) -> None:
        self._path = to_be_written(path)

    def say(self, message: str) -> None:
        """Say how the work goes."""
        if not self.silent:
            print(message, flush=True)

    def input(self, path: Path, what: str, digest: str | None = None) -> None:
        """Say what was read from a file, and remember the file's SHA-256: the digest, or computed where nobody has yet."""
        self.say(f"read {what} from {path}")
        if path.is_file():
            self.inputs[str(path)] = digest or sha256(path)

    def output(self, path: Path, what: str) -> None:
        """Say what was written where."""
        self.say(f"wrote {what} to {path}")

    def note(self, message: str) -> None:
        """Say something that changes how the results should be read, on standard error; where nobody reads it, go on."""
        if not self.silent:
            with suppress(OSError):
                print(f"note: {message}", file=sys.stderr)

    def suggest(self, *words: object) -> None:
        """Give the words of the command that comes next; it is printed ready to be copied."""
        self._next.append(command_line(*words))

    def as_dict(self) -> dict[str, Any]:
        """The manifest: arguments, versions, input hashes, seconds so far and the facts of this run."""
        return {
            "script": self.script,
            "magface_al": __version__,
            "command": command_line(self.script, *sys.argv[1:]),
            "arguments": self.arguments,
            "started": datetime.fromtimestamp(self.started, UTC).isoformat(timespec="seconds"),
            "seconds": round(time.time() - self.started, 2),
            "python": sys.version.split()[0],
            "packages": {name: _version(name) for name in _PACKAGES},
            "inputs_sha256": self.inputs,
            **self.facts,
        }

    def finish(self, exit_code: int) -> None:
        """Write the manifest and print the time and the next command."""
        if self.silent:
            return
        if self.path is not None:
            write_json(self.path, {**self.as_dict(), "exit_code": exit_code})
        print(f"done in {time.time() - self.started:.1f} s")
        for command in self._next:
            print(f"next:\n  {command}")


def _plain(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def _version(package: str) -> str | None:
    for name in (package, package + "-headless"):
        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return None
