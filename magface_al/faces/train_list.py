"""Training lists, `path 0 id 0` a line as MagFace reads them, and identity folders as such lists. All read as streams.

A map of labels stands beside every list that numbers people: `label<TAB>name` a line. Numbering folders anew is a trap:
by name "10" comes before "2", so two tools disagree on who is who. A map in the folder, or given, decides.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from magface_al.command.errors import UserError
from magface_al.command.files import replacing
from magface_al.faces.formats import IMAGE_SUFFIXES

LABELS = "labels.tsv"

Entry = tuple[str, int]  # an image's path and its label


@dataclass(frozen=True)
class Counts:
    """What a list holds. classes is the number of labels that occur; last_label + 1 outputs are what a classifier needs."""

    images: int
    classes: int
    last_label: int


def read_lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    """(line number, columns) of a list, without blank lines. Raises UserError for an absent file."""
    try:
        with path.open(encoding="utf-8", errors="surrogateescape") as file:
            for number, line in enumerate(file, 1):
                if columns := line.split():
                    yield number, columns
    except (FileNotFoundError, IsADirectoryError) as error:
        raise UserError(f"{path}: {error.strerror}, expected a list with one image a line") from None


def read_train_list(path: Path) -> Iterator[Entry]:
    """The entries of a training list. Raises UserError naming the line."""
    for number, columns in read_lines(path):
        if len(columns) != 4 or not columns[2].isdigit():
            raise UserError(
                f"{path}: line {number}: {' '.join(columns)[:60]!r}, expected `path 0 id 0` with an id of 0 or more and no "
                "space in the path"
            )
        yield columns[0], int(columns[2])


def write_train_list(path: Path, entries: Iterable[Entry]) -> Counts:
    """Write a training list, whole or not at all. Raises UserError for a path with a space, or if there are no entries."""
    with replacing(path) as file:

        def written() -> Iterator[Entry]:
            for image, label in entries:
                file.write(f"{without_space(image)} 0 {label} 0\n")
                yield image, label

        return count_entries(path, written())


def count_entries(path: Path, entries: Iterable[Entry]) -> Counts:
    """Go through the entries of a list. Raises UserError if there are none."""
    images, labels = 0, set()
    for _, label in entries:
        images += 1
        labels.add(label)
    if not images:
        raise UserError(f"{path}: no images for it, expected at least one")
    return Counts(images, len(labels), max(labels))


def without_space(path: str | Path) -> str:
    """A path as text. Raises UserError if it has a space, which separates the columns of a list."""
    if len(str(path).split()) != 1:
        raise UserError(f"{path}: a path with a space cannot stand in a list; rename it, or choose another folder")
    return str(path)


def read_labels(path: Path) -> dict[str, int]:
    """Name -> label of a map. Raises UserError for a line that is none, or a name or label that stands there twice."""
    labels: dict[str, int] = {}
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise UserError(f"{path}: no such file, expected lines of a label, a tab and a folder's name") from None
    for number, line in enumerate(lines, 1):
        label, tab, name = line.partition("\t")
        if not tab or not label.isdigit() or name in labels:
            raise UserError(f"{path}: line {number}: {line!r}, expected a label, a tab and a folder's name, each once")
        labels[name] = int(label)
    if len(set(labels.values())) < len(labels):
        raise UserError(f"{path}: a label stands there twice, expected one for each folder")
    return labels


def write_labels(path: Path, labels: dict[str, int]) -> None:
    """Write a map in the order of the labels."""
    with replacing(path) as file:
        file.writelines(f"{label}\t{name}\n" for name, label in sorted(labels.items(), key=lambda item: item[1]))


def folder_labels(folder: Path, label_map: Path | None = None) -> dict[str, int]:
    """Identity folder -> label: from the map given, from the folder's own labels.tsv, or numbered in their natural order.

    Natural order is by number where all names are numbers, otherwise by name. Raises UserError for a folder that the map
    does not have.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder, expected one with one folder a person")
    names = [entry.name for entry in os.scandir(folder) if entry.is_dir()]
    if not names:
        hint = "; unpack its train.rec with rec2folder first" if (folder / "train.rec").exists() else ""
        raise UserError(f"{folder}: no folders in it, expected one a person{hint}")
    own = folder / LABELS
    if label_map is None and not own.exists():
        numbers = all(name.isdigit() for name in names)
        ordered = sorted(names, key=lambda name: (int(name) if numbers else 0, name))
        return {name: label for label, name in enumerate(ordered)}
    chosen = label_map or own
    labels = read_labels(chosen)
    unknown = sorted(set(names) - set(labels))
    if unknown:
        raise UserError(
            f"{chosen}: {len(unknown)} folders of {folder} are not in it (first: {unknown[0]}), expected all"
        )
    return {name: labels[name] for name in names}


def folder_entries(folder: Path, labels: dict[str, int]) -> Iterator[Entry]:
    """The images of identity folders in the order of labels, then names; one folder is listed at a time."""
    for name, label in sorted(labels.items(), key=lambda item: item[1]):
        for image in sorted(entry.name for entry in os.scandir(folder / name)):
            if Path(image).suffix.lower() in IMAGE_SUFFIXES:
                yield str(folder / name / image), label
