"""Feature stores: raw embeddings with the images they belong to, as text (MagFace's own format) or binary.

Text, `NAME.list`: one line an image, `path v1 ... vD`, not normalised; a trailing space is accepted.
Binary, `NAME.npy`: float32 [N, D], beside it `NAME.paths.txt` (one path a line).
Both keep the manifest of the run that made them: `NAME.list.json`, `NAME.json`.
The length of a row is its magnitude, MagFace's quality score.
"""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tokenize import TokenError

import numpy as np

from magface_al.command.errors import UserError, WorkError
from magface_al.command.files import open_input, read_lines
from magface_al.command.outputs import also_read
from magface_al.command.run import Run
from magface_al.command.words import counted
from magface_al.embedding.fixed_text import parse_fixed
from magface_al.embedding.origin import Origin
from magface_al.metrics.cosine import LARGEST, ODD, is_ordinary, unit

ROWS_AT_ONCE = 64  # of text: few enough that the arrays stay in the processor's cache


@dataclass(frozen=True)
class FeatureStore:
    """names [N] as the image list wrote them; embeddings float32 [N, D], raw; origin None if another tool wrote it."""

    path: Path
    names: list[str]
    embeddings: np.ndarray
    origin: Origin | None
    skipped_lines: int = 0

    def unit(self) -> np.ndarray:
        """The embeddings scaled to length 1, float32 [N, D]; a zero row stays zero."""
        return unit(self.embeddings)

    def root(self) -> str:
        """The folder that relative names start from, as --root of the run that made the store ("." if unknown)."""
        return self.origin.root() if self.origin else "."

    def flip(self) -> str:
        """What the run that made the store did with the mirrored face ("none" if unknown)."""
        return self.origin.flip() if self.origin else "none"


def is_binary(path: Path) -> bool:
    """Whether the suffix asks for the binary store."""
    return path.suffix == ".npy"


def manifest_path(path: Path) -> Path:
    """Where the store's manifest stands."""
    return path.with_suffix(".json") if is_binary(path) else path.with_name(path.name + ".json")


def paths_path(path: Path) -> Path:
    """Where a binary store keeps its image paths."""
    return path.with_suffix(".paths.txt")


def read_features(path: Path, *, skip_bad_lines: bool = False) -> FeatureStore:
    """Read a store of either kind; a binary one is memory-mapped. Raises UserError naming the file and the line.

    skip_bad_lines: leave out malformed lines of a text store and count them, instead of stopping at the first.
    """
    if not path.exists():
        raise UserError(f"{path}: no such file, expected a feature store; make it with gen_features.py")
    for companion in (manifest_path(path), *([paths_path(path)] if is_binary(path) else [])):
        also_read(companion, f"beside {path.name}")
    origin = Origin(manifest_path(path)) if manifest_path(path).exists() else None
    if is_binary(path):
        names, embeddings, skipped = *_read_binary(path, origin), 0
    else:
        names, embeddings, skipped = _read_text(path, skip_bad_lines, whole=origin is not None)
    if not names:
        raise UserError(f"{path}: no embeddings in it, expected lines of an image path and its values")
    if origin is not None and origin.rows() not in (None, len(names) + skipped):
        raise UserError(
            f"{path}: {counted(len(names) + skipped, 'embedding')}, expected {origin.rows()} as its manifest {origin.path.name} "
            "says; run gen_features.py again (or, if it was shortened on purpose, remove the manifest)"
        )
    _reject_odd_values(path, embeddings)
    return FeatureStore(path, names, embeddings, origin, skipped)


def open_store(path: Path, run: Run, *, skip_bad_lines: bool = False) -> FeatureStore:
    """read_features, told on the screen and kept in the run's account."""
    store = read_features(path, skip_bad_lines=skip_bad_lines)
    run.input(path, f"{len(store.names)} embeddings of {store.embeddings.shape[1]} values")
    if store.skipped_lines:
        left_out = counted(store.skipped_lines, "malformed line was", "malformed lines were")
        run.note(f"{path}: {left_out} left out")
    return store


def _read_binary(path: Path, origin: Origin | None) -> tuple[list[str], np.ndarray]:
    if origin is None or not paths_path(path).exists():
        absent = manifest_path(path) if origin is None else paths_path(path)
        raise UserError(
            f"{path}: {absent.name} is missing beside it, so the store is incomplete; run gen_features.py again"
        )
    embeddings = _map_npy(path)
    names = [name for _, name in read_lines(paths_path(path), "the paths of a feature store, one a line")]
    if len(names) != len(embeddings):
        raise UserError(
            f"{path}: shape {embeddings.shape} against {len(names)} paths in {paths_path(path).name}, expected one row a path"
        )
    return names, embeddings


def _map_npy(path: Path) -> np.ndarray:
    """float32 [N, D], memory-mapped. Raises UserError for anything else, and for a file of another length than it announces."""
    header = np.lib.format
    with open_input(path, "a .npy array") as file:
        size = os.fstat(file.fileno()).st_size
        try:
            if header.read_magic(file) != (1, 0):  # in others the header may announce gigabytes of itself
                raise ValueError
            shape, fortran_order, dtype = header.read_array_header_1_0(file)
        except (ValueError, TypeError, SyntaxError, TokenError, EOFError, RecursionError, MemoryError):
            raise UserError(f"{path}: no .npy file, expected float32 [N, D] as gen_features.py writes it") from None
        start = file.tell()
        if dtype != np.float32 or len(shape) != 2 or fortran_order or shape[0] < 0 or shape[1] < 1:
            kind = f"{dtype} {list(shape)}{' by columns' if fortran_order else ''}"
            raise UserError(
                f"{path}: an array of {kind}, expected float32 [N, D], row by row, as gen_features.py writes it"
            )
        needed = start + math.prod(shape) * dtype.itemsize
        if size != needed:
            raise UserError(
                f"{path}: {size} bytes, expected {needed} for an array of {list(shape)}, so it is cut off or changed; run "
                "gen_features.py again"
            )
        if not shape[0]:
            return np.empty(shape, np.float32)  # there is nothing to map
        return np.memmap(file, dtype, "r", start, shape)


def _read_text(path: Path, skip_bad_lines: bool, *, whole: bool) -> tuple[list[str], np.ndarray, int]:
    """whole: every line has its end, as our own writer leaves it; other tools may leave out the last."""
    names: list[str] = []
    blocks: list[np.ndarray] = []
    skipped = 0
    with open_input(path, "a feature store") as file:
        numbered = enumerate(file, 1)
        while lines := list(itertools.islice(numbered, ROWS_AT_ONCE)):
            found, block, bad = _read_lines(path, lines, blocks[0].shape[1] if blocks else None, skip_bad_lines)
            skipped += bad
            if whole and not lines[-1][1].endswith(b"\n"):
                raise UserError(
                    f"{path}: line {lines[-1][0]}: has no end, so the file is cut off; run gen_features.py again"
                )
            if found:
                names += found
                blocks.append(block)
    return names, np.concatenate(blocks) if blocks else np.empty((0, 0), np.float32), skipped


def _read_lines(
    path: Path, lines: list[tuple[int, bytes]], dimensions: int | None, skip_bad_lines: bool
) -> tuple[list[str], np.ndarray, int]:
    """A few lines at a time: all at once where our own writer's fixed width shows, otherwise line by line."""
    split = [(number, *line.rstrip(b"\r\n").partition(b" ")) for number, line in lines if line.strip()]
    if any(b"\0" in name for _, name, _, _ in split):
        number = next(number for number, name, _, _ in split if b"\0" in name)
        raise UserError(f"{path}: line {number}: a NUL character, expected lines of an image path and its values")
    fast = _parse_block([values for _, _, _, values in split], dimensions)
    if fast is not None:
        return [_text(name) for _, name, _, _ in split], fast, 0
    names, rows, skipped = [], [], 0
    for number, name, _, values in split:
        row = _parse_row(values, dimensions)
        if isinstance(row, str) and not skip_bad_lines:
            raise UserError(f"{path}: line {number}: {row}; --skip_bad_lines leaves such lines out")
        if isinstance(row, str):
            skipped += 1
            continue
        dimensions = len(row)
        names.append(_text(name))
        rows.append(row)
    return names, np.array(rows, np.float32), skipped


def _text(path: bytes) -> str:
    return path.decode("utf-8", "surrogateescape")


def _parse_block(rows: list[bytes], dimensions: int | None) -> np.ndarray | None:
    """[len(rows), D] if every row is text of fixed width with the same number of finite values, otherwise None."""
    if not rows or len({len(row) for row in rows}) > 1:
        return None
    values = parse_fixed(b"".join(rows))
    if values is None or len(values) == 0 or not is_ordinary(values):
        return None
    block = values.reshape(len(rows), -1)
    return block if dimensions in (None, block.shape[1]) else None


def _parse_row(values: bytes, dimensions: int | None) -> np.ndarray | str:
    """The values of one line, float32 [D], or what is wrong with it."""
    try:
        with np.errstate(over="ignore"):  # beyond float32 it is inf, which is refused below
            row = np.array(values.split(), dtype=np.float32)
    except ValueError:
        return "a value is not a number, expected a path and numbers separated by spaces"
    if len(row) == 0:
        return "no values after the path, expected a path and numbers separated by spaces"
    if dimensions is not None and len(row) != dimensions:
        return f"{len(row)} values, expected {dimensions} as in the lines before"
    if not is_ordinary(row):
        return f"{ODD}, expected the finite numbers of an embedding"
    return row


def check_embeddings(names: Sequence[str], embeddings: np.ndarray) -> None:
    """Raises WorkError where a network made anything but ordinary numbers of images names [N], embeddings float [N, D]."""
    if not is_ordinary(embeddings):
        bad = ~(np.abs(embeddings) <= LARGEST).all(axis=1)
        raise WorkError(
            f"{names[int(np.argmax(bad))]}: its embedding has {ODD}; its weights are damaged, or their training diverged"
        )


def _reject_odd_values(path: Path, embeddings: np.ndarray, block: int = 65536) -> None:
    for start in range(0, len(embeddings), block):
        if not is_ordinary(rows := embeddings[start : start + block]):
            bad = ~(np.abs(rows) <= LARGEST).all(axis=1)
            raise UserError(
                f"{path}: row {start + int(np.argmax(bad))}: {ODD}, expected the finite numbers of an embedding"
            )
