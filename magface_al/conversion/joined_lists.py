"""Several lists as one: merged, where a label means the same person in all, or compounded, where it does not.

Both go through the lists several times, line by line; what is held in between is 64-bit hashes of the paths.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from magface_al.command.errors import UserError
from magface_al.command.files import replacing
from magface_al.faces.train_list import Entry, folder_entries, folder_labels, read_lines, read_train_list

KINDS = {1: "an image list", 3: "a pair list", 4: "a training list"}  # by the number of columns


def merge_lists(paths: list[Path], output: Path) -> tuple[int, int]:
    """Put lists of one kind behind each other, each entry once. Returns (entries written, repeated ones left out).

    A label means the same person in all of them. Raises UserError for lists of different kinds, and for an image or pair
    that has two different labels.
    """
    columns = len(next(read_lines(paths[0]), (0, []))[1])
    if columns not in KINDS:
        raise UserError(
            f"{paths[0]}: {columns} columns in its first line, expected {', '.join(KINDS.values())} (1, 3 or 4)"
        )
    first = _first_of_each(key for key, _ in _keyed(paths, columns))
    labelled = _first_of_each(f"{key} {label}" for key, label in _keyed(paths, columns))
    if (labelled & ~first).any():
        row = int(np.argmax(labelled & ~first))
        key, label = next(entry for place, entry in enumerate(_keyed(paths, columns)) if place == row)
        raise UserError(f"{output}: not written, {key} has label {label} in one list and another in one before it")
    with replacing(output) as file:
        for keep, (_, line) in zip(first, _all_lines(paths, columns), strict=True):
            if keep:
                file.write(" ".join(line) + "\n")
    return int(first.sum()), int((~first).sum())


def _all_lines(paths: list[Path], columns: int) -> Iterator[tuple[Path, list[str]]]:
    for path in paths:
        for number, line in read_lines(path):
            if len(line) != columns:
                raise UserError(
                    f"{path}: line {number}: {len(line)} columns, expected {columns} as in {KINDS[columns]}"
                )
            yield path, line


def _keyed(paths: list[Path], columns: int) -> Iterator[tuple[str, str]]:
    """(what is listed, its label) of every line."""
    for _, line in _all_lines(paths, columns):
        yield (" ".join(sorted(line[:2])), line[2]) if columns == 3 else (line[0], line[2] if columns == 4 else "")


def _first_of_each(keys: Iterable[str]) -> np.ndarray:
    """bool [N], whether no equal key stands before. Equal hashes of different keys are less likely than 1 in 10,000 in 50 million."""
    hashes = np.fromiter((hash(key) for key in keys), np.int64)
    first = np.zeros(len(hashes), bool)
    first[np.unique(hashes, return_index=True)[1]] = True
    return first


@dataclass(frozen=True)
class Source:
    """One training set of several, as a list or a folder: its labels are shifted by offset so that none collide."""

    path: Path
    offset: int
    classes: int  # that it takes up: its largest label + 1
    images: int
    names: dict[str, int]  # what its own labels are called -> label there

    def entries(self) -> Iterator[Entry]:
        """With the labels they have in the whole."""
        return ((image, label + self.offset) for image, label in _source_entries(self.path, self.names))


def _source_entries(path: Path, names: dict[str, int]) -> Iterator[Entry]:
    return folder_entries(path, names) if path.is_dir() else read_train_list(path)


def plan_sources(paths: list[Path]) -> list[Source]:
    """Read every source once and give it its offset. Raises UserError for an image that two sources have."""
    sources: list[Source] = []
    for path in paths:
        names = folder_labels(path) if path.is_dir() else {}
        counts: dict[int, int] = {}
        for _, label in _source_entries(path, names):
            counts[label] = counts.get(label, 0) + 1
        if not counts:
            raise UserError(f"{path}: no images in it, expected a training list or a folder of identity folders")
        offset = sources[-1].offset + sources[-1].classes if sources else 0
        names = names or {str(label): label for label in sorted(counts)}
        sources.append(Source(path, offset, max(counts) + 1, sum(counts.values()), names))
    first = _first_of_each(image for image, _ in compound_entries(sources))
    if not first.all():
        row = int(np.argmin(first))
        image = next(image for place, (image, _) in enumerate(compound_entries(sources)) if place == row)
        raise UserError(f"{image}: is listed twice in the sources, expected each image in one of them")
    return sources


def compound_entries(sources: list[Source]) -> Iterator[Entry]:
    """All entries, source after source."""
    for source in sources:
        yield from source.entries()


def compound_labels(sources: list[Source]) -> dict[str, int]:
    """`SOURCE:name there` -> label in the whole."""
    return {
        f"{source.path}:{name}": label + source.offset for source in sources for name, label in source.names.items()
    }
