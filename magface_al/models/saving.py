"""Weights on their way to a file: whole, or the old file stays as it was and the error names the file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import torch

from magface_al.command.outputs import replacing


def save_torch(path: Path, content: Any) -> None:
    """torch.save into a file that is whole or absent. Raises OSError with the file's name, of a full disk for example."""
    with _named(path), replacing(path, "wb") as file:
        target: Any = _Remembering(file)  # has what torch.save asks for
        try:
            torch.save(content, target)
            file.flush()
        except RuntimeError:
            if target.error is None:
                raise
            raise target.error from None


def save_bytes(path: Path, data: bytes) -> None:
    """Write a file that is whole or absent. Raises OSError with the file's name."""
    with _named(path), replacing(path, "wb") as file:
        file.write(data)


class _Remembering:
    """A file that keeps the error of a write, because PyTorch makes a RuntimeError of it that says nothing."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.error: OSError | None = None

    def write(self, data: bytes) -> int:
        try:
            return self._file.write(data)
        except OSError as error:
            self.error = error
            raise

    def flush(self) -> None:
        self._file.flush()


@contextmanager
def _named(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        error.filename = error.filename or str(path)
        raise
