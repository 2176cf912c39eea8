"""Feature stores: raw embeddings with the images they belong to, as text (MagFace's own format) or binary.

Text, `NAME.list`: one line an image, `path v1 ... vD`, not normalised; a trailing space is accepted.
Binary, `NAME.npy`: float32 [N, D], beside it `NAME.paths.txt` (one path a line).
Both keep the manifest of the run that made them: `NAME.list.json`, `NAME.json`.
The length of a row is its magnitude, MagFace's quality score.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from magface_al.command.errors import UserError
from magface_al.command.files import read_json
from magface_al.command.run import Run
from magface_al.command.words import counted
from magface_al.embedding.fixed_text import parse_fixed
from magface_al.faces.preprocess import Preprocessing
from magface_al.metrics.cosine import unit

ROWS_AT_ONCE = 64  # of text: few enough that the arrays stay in the processor's cache


@dataclass(frozen=True)
class FeatureStore:
    """names [N] as the image list wrote them; embeddings float32 [N, D], raw; manifest None if another tool wrote it."""

    path: Path
    names: list[str]
    embeddings: np.ndarray
    manifest: dict[str, Any] | None
    skipped_lines: int = 0

    def unit(self) -> np.ndarray:
        """The embeddings scaled to length 1, float32 [N, D]; a zero row stays zero."""
        return unit(self.embeddings)

    def root(self) -> str:
        """The folder that relative names start from, as --root of the run that made the store ("." if unknown)."""
        return str(self.manifest["arguments"]["root"]) if self.manifest else "."

    def flip(self) -> str:
        """What the run that made the store did with the mirrored face ("none" if unknown)."""
        return str((self.manifest or {}).get("flip", "none"))


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
    manifest = read_json(manifest_path(path)) if manifest_path(path).exists() else None
    if is_binary(path):
        names, embeddings, skipped = *_read_binary(path, manifest), 0
    else:
        names, embeddings, skipped = _read_text(path, skip_bad_lines)
    if not names:
        raise UserError(f"{path}: no embeddings in it, expected lines of an image path and its values")
    _reject_non_finite(path, embeddings)
    return FeatureStore(path, names, embeddings, manifest, skipped)


def open_store(path: Path, run: Run, *, skip_bad_lines: bool = False) -> FeatureStore:
    """read_features, told on the screen and kept in the run's account."""
    store = read_features(path, skip_bad_lines=skip_bad_lines)
    run.input(path, f"{len(store.names)} embeddings of {store.embeddings.shape[1]} values")
    if store.skipped_lines:
        left_out = counted(store.skipped_lines, "malformed line was", "malformed lines were")
        run.note(f"{path}: {left_out} left out")
    return store


def _read_binary(path: Path, manifest: dict[str, Any] | None) -> tuple[list[str], np.ndarray]:
    if manifest is None or not paths_path(path).exists():
        absent = manifest_path(path) if manifest is None else paths_path(path)
        raise UserError(
            f"{path}: {absent.name} is missing beside it, so the store is incomplete; run gen_features.py again"
        )
    try:
        embeddings = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise UserError(f"{path}: not a .npy array of numbers ({error})") from None
    names = paths_path(path).read_text(encoding="utf-8").splitlines()
    if embeddings.ndim != 2 or len(names) != len(embeddings):
        raise UserError(
            f"{path}: shape {embeddings.shape} against {len(names)} paths in {paths_path(path).name}, expected one row a path"
        )
    return names, embeddings


def _read_text(path: Path, skip_bad_lines: bool) -> tuple[list[str], np.ndarray, int]:
    names: list[str] = []
    blocks: list[np.ndarray] = []
    skipped = 0
    with path.open("rb") as file:
        numbered = enumerate(file, 1)
        while lines := list(itertools.islice(numbered, ROWS_AT_ONCE)):
            found, block, bad = _read_lines(path, lines, blocks[0].shape[1] if blocks else None, skip_bad_lines)
            skipped += bad
            if found:
                names += found
                blocks.append(block)
    return names, np.concatenate(blocks) if blocks else np.empty((0, 0), np.float32), skipped


def _read_lines(
    path: Path, lines: list[tuple[int, bytes]], dimensions: int | None, skip_bad_lines: bool
) -> tuple[list[str], np.ndarray, int]:
    """A few lines at a time: all at once where our own writer's fixed width shows, otherwise line by line."""
    split = [(number, *line.rstrip(b"\r\n").partition(b" ")) for number, line in lines if line.strip()]
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
    if values is None or len(values) == 0 or not np.isfinite(values).all():
        return None
    block = values.reshape(len(rows), -1)
    return block if dimensions in (None, block.shape[1]) else None


def _parse_row(values: bytes, dimensions: int | None) -> np.ndarray | str:
    """The values of one line, float32 [D], or what is wrong with it."""
    try:
        row = np.array(values.split(), dtype=np.float32)
    except ValueError:
        return "a value is not a number, expected a path and numbers separated by spaces"
    if len(row) == 0:
        return "no values after the path, expected a path and numbers separated by spaces"
    if dimensions is not None and len(row) != dimensions:
        return f"{len(row)} values, expected {dimensions} as in the lines before"
    if not np.isfinite(row).all():
        return "a value is inf or nan, expected finite numbers"
    return row


def _reject_non_finite(path: Path, embeddings: np.ndarray, block: int = 65536) -> None:
    for start in range(0, len(embeddings), block):
        bad = ~np.isfinite(embeddings[start : start + block]).all(axis=1)
        if bad.any():
            raise UserError(
                f"{path}: row {start + int(np.argmax(bad))}: a value is inf or nan, expected finite numbers"
            )


def check_origin(store: FeatureStore, weights_sha256: str, preprocessing: Preprocessing, checkpoint: Path) -> None:
    """Refuse a store that other weights or another input convention made. Raises UserError.

    A store without a manifest (MagFace's own tool wrote it) cannot be checked and passes.
    """
    if store.manifest is None:
        return
    made_by, recorded = store.manifest["checkpoint"], Preprocessing(**store.manifest["preprocessing"])
    if made_by["weights_sha256"] != weights_sha256:
        raise UserError(
            f"{store.path}: made with other weights ({made_by['file']}, {made_by['weights_sha256'][:12]}), expected those of "
            f"{checkpoint} ({weights_sha256[:12]}); run gen_features.py with this checkpoint"
        )
    if recorded != preprocessing:
        raise UserError(
            f"{store.path}: its images were read as {recorded.name()}, expected {preprocessing.name()} as for {checkpoint}; "
            "run gen_features.py again, or give the --preprocessing it was made with"
        )
