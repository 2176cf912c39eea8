"""Training lists, `path 0 id 0` a line as MagFace reads them, and identity folders as such lists. All read as streams."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from magface_al.command.errors import UserError
from magface_al.command.files import read_lines
from magface_al.command.numbers import is_whole
from magface_al.command.words import counted
from magface_al.faces.identities import identity_images
from magface_al.faces.list_lines import columns, line_of, list_file

Entry = tuple[str, int]  # an image's path and its label


@dataclass(frozen=True)
class Counts:
    """What a list holds. classes is the number of labels that occur; last_label + 1 outputs are what a classifier needs."""

    images: int
    classes: int
    last_label: int

    def describe(self) -> str:
        """For the screen: "5 images of 2 people"."""
        return f"{counted(self.images, 'image')} of {counted(self.classes, 'person', 'people')}"

    def gaps(self) -> str | None:
        """What is to be said where labels below the last one do not occur."""
        absent = self.last_label + 1 - self.classes
        if not absent:
            return None
        has = "has" if absent == 1 else "have"
        return (
            f"{counted(absent, 'label')} up to {self.last_label} {has} no images; "
            f"a classifier needs {self.last_label + 1} outputs"
        )


def read_train_list(path: Path) -> Iterator[Entry]:
    """The entries of a training list. Raises UserError naming the line."""
    for number, line in read_lines(path, "a list with one image a line"):
        found = columns(line, (4,))
        if len(found) != 4 or not is_whole(found[2]):
            raise UserError(
                f"{path}: line {number}: {' '.join(found)[:60]!r}, expected `path 0 id 0` with an id of 0 or more, separated "
                "by tabs if the path has spaces"
            )
        yield found[0], int(found[2])


def write_train_list(path: Path, entries: Iterable[Entry]) -> Counts:
    """Write a training list, whole or not at all. Raises UserError for a path that no list can hold, or without entries."""
    with list_file(path) as write:

        def written() -> Iterator[Entry]:
            for image, label in entries:
                write(line_of(image, 0, label, 0))
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


def folder_entries(folder: Path, labels: dict[str, int]) -> Iterator[Entry]:
    """The images of identity folders in the order of labels, then names; one folder is listed at a time."""
    for name, label in sorted(labels.items(), key=lambda item: item[1]):
        for image in identity_images(folder / name):
            yield str(image), label
