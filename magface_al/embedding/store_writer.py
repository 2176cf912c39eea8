"""Writing a feature store so that a killed run can be taken up where it stopped."""

from __future__ import annotations

import io
import os
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from magface_al.command.errors import UserError, WorkError
from magface_al.command.files import read_json, status_of
from magface_al.command.outputs import writable_itself
from magface_al.command.replacing import growing, settle, write_json
from magface_al.embedding.fixed_text import format_fixed
from magface_al.embedding.origin import is_manifest
from magface_al.embedding.store import ROWS_AT_ONCE, check_embeddings, is_binary, manifest_path, paths_path
from magface_al.faces.formats import no_picture
from magface_al.metrics.cosine import magnitudes

SAVE_EVERY = 1.0  # seconds between two records of the progress: what a kill may cost


class FeatureWriter:
    """Append rows to a store that appears, whole, only at `finish`. Use it as a context manager.

    Rows go to `.part` files; about once a second a small state file records how far the image list has been consumed and
    how long each part is; on resuming the parts are cut to those lengths, so that no row is missing or doubled.
    `made_from` identifies the work (list, weights, input convention): parts of other work are thrown away.

    Whoever uses it has claimed `path`, as every run claims its outputs. Raises UserError where a file of the store is one
    of the run's inputs, a link, a picture, or JSON that is no manifest; and for a state that does not fit its parts.
    """

    def __init__(self, path: Path, made_from: dict[str, Any], *, resume: bool = True) -> None:
        self.path = path
        self.made_from = made_from
        self.failures_path = path.with_name(path.name + ".failed.txt")
        self._magnitudes_path = path.with_name(path.name + ".magnitudes")
        self._finals = [path, self.failures_path, *([paths_path(path)] if is_binary(path) else [])]
        self._state_path = path.with_name(path.name + ".part.json")
        for final in (*self._finals, manifest_path(path)):
            no_picture(writable_itself(final))
        self._check_manifest()
        path.parent.mkdir(parents=True, exist_ok=True)
        self._files: list[BinaryIO] = []
        try:
            state = self._resumable_state() if resume else self._fresh_state()
            self.consumed, self.rows, self.failed = state["consumed"], state["rows"], state["failed"]
            self.dimensions: int | None = state["dimensions"]
            self._save_at = 0.0  # on time.monotonic(): the first batch is recorded at once
            self._files = [growing(_part(final), path) for final in self._kept()]
            self._rows_file, self._failures_file, *self._paths_file, self._magnitudes_file = self._files
            self._lengths: list[int] = state["lengths"]  # in bytes, with what this run has written
            for file, length in zip(self._files, self._lengths, strict=True):
                file.truncate(length)
                file.seek(length)
        except BaseException:
            self.close()
            raise

    def _check_manifest(self) -> None:
        """Raises UserError where the manifest's name is taken by a file of another kind, which no flag names."""
        path = manifest_path(self.path)
        if path.exists() and not is_manifest(path):
            raise UserError(
                f"{path}: is no manifest, and would be written over by that of {self.path.name}; choose another name"
            )

    def _kept(self) -> list[Path]:
        """The files that grow while the images are read, in the order of the state's lengths."""
        return [*self._finals, self._magnitudes_path]

    def _fresh_state(self) -> dict[str, Any]:
        return {"consumed": 0, "rows": 0, "failed": 0, "dimensions": None, "lengths": [0] * len(self._kept())}

    def _resumable_state(self) -> dict[str, Any]:
        if not self._state_path.exists():
            return self._fresh_state()
        state = read_json(self._state_path)
        if isinstance(state, dict) and state.get("made_from") != self.made_from:
            return self._fresh_state()
        if not self._is_state(state):
            raise UserError(
                f"{self._state_path}: no state of an interrupted run of this version; --overwrite begins anew"
            )
        parts = zip(map(_part, self._kept()), state["lengths"], strict=True)
        whole = all(part.exists() and part.stat().st_size >= length for part, length in parts)
        return dict(state) if whole else self._fresh_state()  # a power cut, or a kill inside `finish`

    def _is_state(self, state: Any) -> bool:
        """Whether a state has every number, and they agree with each other."""
        names = ("consumed", "rows", "failed")
        if not isinstance(state, dict) or not all(_is_count(state.get(name)) for name in names):
            return False
        lengths, rows = state.get("lengths"), state["rows"]
        if not isinstance(lengths, list) or len(lengths) != len(self._kept()) or not all(map(_is_count, lengths)):
            return False
        dimensions = state.get("dimensions")
        if not (_is_count(dimensions) if rows else dimensions is None):
            return False
        header = len(_npy_header(0, dimensions or 0)) if rows and is_binary(self.path) else 0
        return (
            state["consumed"] == rows + state["failed"]
            and lengths[-1] == 4 * rows  # the magnitudes
            and (not is_binary(self.path) or lengths[0] == header + 4 * rows * (dimensions or 0))
        )

    def __enter__(self) -> FeatureWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the store; what is not finished can be taken up by the next writer."""
        for file in self._files:
            with suppress(OSError):  # a full disk, which has been told already
                file.close()

    def _write(self, file: BinaryIO, data: bytes | memoryview) -> None:
        file.write(data)
        self._lengths[self._files.index(file)] += memoryview(data).nbytes

    def _check_alone(self) -> None:
        """Raises WorkError unless every part is this run's alone: where there are no locks, another may write it too."""
        for file, final, length in zip(self._files, self._kept(), self._lengths, strict=True):
            ours, named = os.fstat(file.fileno()), status_of(_part(final))
            if named is None or not os.path.samestat(ours, named) or ours.st_size != length:
                raise WorkError(
                    f"{_part(final)}: was written or moved by another run too; when no other writes {self.path.name}, give "
                    "the same command again"
                )

    def append(self, names: Sequence[str], embeddings: np.ndarray, failures: Sequence[tuple[str, str]]) -> None:
        """Add the rows of one batch (float [B, D]) and its failures (path, reason), and record the progress.

        Raises WorkError for embeddings that are no ordinary numbers and where another run writes the store, OSError with the store's name for a full disk.
        """
        check_embeddings(names, np.asarray(embeddings))
        self._check_alone()  # before it writes into what another has put in place
        if len(names):
            self._write_rows(names, np.ascontiguousarray(embeddings, dtype="<f4"))
        self._write(self._failures_file, _encode(f"{name}\t{reason}\n" for name, reason in failures))
        self.consumed += len(names) + len(failures)
        self.rows += len(names)
        self.failed += len(failures)
        for file in self._files:
            file.flush()
        if time.monotonic() >= self._save_at:
            self._save_state()

    def _save_state(self) -> None:
        self._check_alone()
        counts = {"consumed": self.consumed, "rows": self.rows, "failed": self.failed, "dimensions": self.dimensions}
        write_json(self._state_path, {"made_from": self.made_from, **counts, "lengths": self._lengths})
        self._save_at = time.monotonic() + SAVE_EVERY

    def _write_rows(self, names: Sequence[str], embeddings: np.ndarray) -> None:
        self._write(self._magnitudes_file, magnitudes(embeddings).astype("<f4").data)
        if is_binary(self.path):
            if self.dimensions is None:
                self._write(self._rows_file, _npy_header(0, embeddings.shape[1]))
            self._write(self._rows_file, embeddings.data)
            self._write(self._paths_file[0], _encode(f"{name}\n" for name in names))
        else:
            for start in range(0, len(names), ROWS_AT_ONCE):
                text = format_fixed(embeddings[start : start + ROWS_AT_ONCE])
                lines = zip(names[start : start + ROWS_AT_ONCE], text, strict=True)
                text_lines = b"".join(_encode([name, " "]) + row.tobytes() + b"\n" for name, row in lines)
                self._write(self._rows_file, text_lines)
        self.dimensions = embeddings.shape[1]

    def magnitude_summary(self) -> dict[str, float]:
        """min, median and max of the magnitudes of all rows, those of an earlier, interrupted run included."""
        self._magnitudes_file.flush()
        values = np.fromfile(_part(self._magnitudes_path), "<f4")
        if not np.isfinite(values).all():
            raise UserError(
                f"{_part(self._magnitudes_path)}: was changed since the run that wrote it; --overwrite begins anew"
            )
        return {
            name: round(float(of(values)), 4) for name, of in (("min", np.min), ("median", np.median), ("max", np.max))
        }

    def keep_failures(self) -> Path:
        """Put the list of unreadable images in place although there is no store to write. Returns its path."""
        self._failures_file.flush()
        return _part(self.failures_path).replace(self.failures_path)

    def finish(self, manifest: dict[str, Any]) -> None:
        """Put the whole store in place of an older one. Raises WorkError where another run has written into it.

        The old manifest goes first: a binary store without one is refused, so no mixture of two is ever read.
        """
        self._check_alone()
        for file in self._files:
            settle(file, self.path)
        if is_binary(self.path):
            with _part(self.path).open("r+b") as rows:
                rows.write(_npy_header(self.rows, self.dimensions or 0))
                settle(rows, self.path)
        manifest_path(self.path).unlink(missing_ok=True)
        for final in self._finals:
            _part(final).replace(final)
        write_json(manifest_path(self.path), manifest)
        if self.failed == 0:
            self.failures_path.unlink()
        _part(self._magnitudes_path).unlink()
        self._state_path.unlink()
        self.close()


def _encode(lines: Iterable[str]) -> bytes:
    return "".join(lines).encode("utf-8", "surrogateescape")


def _is_count(value: Any) -> bool:
    return type(value) is int and value >= 0


def _part(path: Path) -> Path:
    return path.with_name(path.name + ".part")


def _npy_header(rows: int, dimensions: int) -> bytes:
    """The header of a .npy file. NumPy leaves room in it for the row count to grow, so its length stays the same."""
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": "<f4", "fortran_order": False, "shape": (rows, dimensions)})
    return buffer.getvalue()
