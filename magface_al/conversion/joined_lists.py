"""Several lists as one: merged, where a label means the same person in all, or compounded, where it does not.

Both go through the lists several times, line by line; what is held in between is 64-bit hashes of the paths.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from magface_al.command.errors import UserError
from magface_al.command.files import read_lines
from magface_al.command.outputs import writable
from magface_al.command.words import counted
from magface_al.faces.image_list import image_columns
from magface_al.faces.label_map import beside, folder_labels, write_labels
from magface_al.faces.list_lines import columns, line_of, list_file
from magface_al.faces.train_list import Counts, Entry, folder_entries, read_train_list, write_train_list

KINDS = {1: "an image list", 3: "a pair list", 4: "a training list"}  # by the number of columns


def merge_lists(paths: list[Path], output: Path) -> tuple[int, int]:
    """Put lists of one kind behind each other, each entry once. Returns (entries written, repeated ones left out).

    A label means the same person in all of them. Raises UserError for lists of different kinds, and for an image or pair
    that has two different labels.
    """
    first_line = next(_lines(paths[0]), (0, ""))[1]
    count = len(image_columns(first_line))
    if count not in KINDS:
        raise UserError(
            f"{paths[0]}: {counted(count, 'column')} in its first line, expected {', '.join(KINDS.values())} (1, 3 or 4)"
        )
    first = _first_of_each(key for key, _ in _keyed(paths, count))
    labelled = _first_of_each(_keyed(paths, count))
    if (labelled & ~first).any():
        key, label = next(islice(_keyed(paths, count), int(np.argmax(labelled & ~first)), None))
        raise UserError(
            f"{output}: not written, {' '.join(key)} has label {label} in one list and another in one before it"
        )
    with list_file(output) as write:
        for keep, found in zip(first, _all_columns(paths, count), strict=True):
            if keep:
                write(line_of(*found))
    return int(first.sum()), int((~first).sum())


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    return read_lines(path, "a list with one image a line")


def _all_columns(paths: list[Path], count: int) -> Iterator[list[str]]:
    """The columns of every line. Raises UserError for a line with another number of them."""
    split = image_columns if count == 1 else columns
    for path in paths:
        for number, line in _lines(path):
            found = split(line)
            if len(found) != count:
                raise UserError(
                    f"{path}: line {number}: {counted(len(found), 'column')}, expected {count} as in {KINDS[count]}"
                )
            yield found


def _keyed(paths: list[Path], count: int) -> Iterator[tuple[tuple[str, ...], str]]:
    """(what is listed, its label) of every line."""
    for found in _all_columns(paths, count):
        if count == 3:
            yield tuple(sorted(found[:2])), found[2]
        else:
            yield (found[0],), found[2] if count == 4 else ""


def _first_of_each(keys: Iterable[Hashable]) -> np.ndarray:
    """bool [N], whether no equal key stands before. Equal hashes of different keys are less likely than 1 in 10,000 in 50 million."""
    hashes = np.fromiter((hash(key) for key in keys), np.int64)
    first = np.zeros(len(hashes), bool)
    first[np.unique(hashes, return_index=True)[1]] = True
    return first


@dataclass(frozen=True)
class Part:
    """One training set of several, as a list or a folder: its labels are shifted by offset so that none collide."""

    path: Path
    offset: int
    classes: int  # that it takes up: its largest label + 1
    images: int
    names: dict[str, int]  # what its own labels are called -> label there

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON, for manifests."""
        return {"path": str(self.path), "offset": self.offset, "classes": self.classes, "images": self.images}

    def entries(self) -> Iterator[Entry]:
        """With the labels they have in the whole."""
        return ((image, label + self.offset) for image, label in _part_entries(self.path, self.names))


def _part_entries(path: Path, names: dict[str, int]) -> Iterator[Entry]:
    return folder_entries(path, names) if path.is_dir() else read_train_list(path)


def compound(paths: list[Path], output: Path) -> tuple[list[Part], Counts]:
    """Write the sets at `paths` as one training list with its map of labels, in which `PATH:name there` is each name.

    Raises UserError for an image that two of them have.
    """
    writable(beside(output))
    parts = plan_parts(paths)
    counts = write_train_list(output, _entries(parts))
    write_labels(
        beside(output),
        {f"{part.path}:{name}": label + part.offset for part in parts for name, label in part.names.items()},
    )
    return parts, counts


def plan_parts(paths: list[Path]) -> list[Part]:
    """Read every source once and give it its offset. Raises UserError for an image that two sources have."""
    parts: list[Part] = []
    for path in paths:
        names = folder_labels(path) if path.is_dir() else {}
        counts: dict[int, int] = {}
        for _, label in _part_entries(path, names):
            counts[label] = counts.get(label, 0) + 1
        if not counts:
            raise UserError(f"{path}: no images in it, expected a training list or a folder of identity folders")
        offset = parts[-1].offset + parts[-1].classes if parts else 0
        names = names or {str(label): label for label in sorted(counts)}
        parts.append(Part(path, offset, max(counts) + 1, sum(counts.values()), names))
    first = _first_of_each(image for image, _ in _entries(parts))
    if not first.all():
        image, _ = next(islice(_entries(parts), int(np.argmin(first)), None))
        sources = ", ".join(map(str, paths))
        raise UserError(f"{sources}: {image} is listed twice in the sources, expected each image in one of them")
    return parts


def _entries(parts: list[Part]) -> Iterator[Entry]:
    for part in parts:
        yield from part.entries()
