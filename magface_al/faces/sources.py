"""Labelled faces, whatever they are stored in: lists, identity folders, InsightFace's RecordIO, memory, or drawn people.

Everything that reads faces of known people goes through `Source`; a new kind of data set is a class like those
here and a line in KINDS.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np

from magface_al.command.errors import UserError
from magface_al.command.files import is_path
from magface_al.command.words import counted
from magface_al.faces.class_numbers import Numbering, check_below, number_identities, property_note
from magface_al.faces.drawn.cameras import camera
from magface_al.faces.drawn.people import draw_person
from magface_al.faces.identities import identity_folders, identity_lines
from magface_al.faces.label_map import LABELS, folder_labels
from magface_al.faces.recordio import RecordFile, images_by_label


class Source(Protocol):
    """Images of numbered people. labels int64 [N], from 0 on; classes: the ids behind the numbers."""

    description: str
    labels: np.ndarray
    classes: list[str]
    notes: list[str]  # what is odd about the ids, in words

    def read(self, index: int) -> Path | bytes:
        """What preprocess.decode_image takes. Raises UserError for a broken record."""
        ...

    def name(self, index: int) -> str:
        """The image in words, for messages."""
        ...

    def listing(self) -> bytes:
        """What tells these images from others, for the fingerprint."""
        ...


class PathSource:
    """Images on disk. paths bytes [N] relative to root, held in one array because there may be millions."""

    def __init__(self, place: str, root: Path, paths: Sequence[bytes], numbering: Numbering) -> None:
        self.root, self.paths = root, np.array(paths)
        self.labels, self.classes, self.notes = numbering
        self.description = _described(self.labels, place)

    def read(self, index: int) -> Path:
        """See Source."""
        return self.root / os.fsdecode(self.paths[index])

    def name(self, index: int) -> str:
        """See Source."""
        return str(self.read(index))

    def listing(self) -> bytes:
        """See Source."""
        return self.paths.tobytes()


def listed_source(path: Path, root: Path, num_classes: int | None) -> PathSource:
    """The images of an identity list or a training list, whose paths start from root. Raises UserError."""
    paths: list[bytes] = []
    identities: list[str] = []
    for number, image, identity in identity_lines(path):
        if not is_path(image):  # one of megabytes would make the array as wide for all
            raise UserError(f"{path}: line {number}: {image[:60]!r}..., expected a path of at most 255 bytes a name")
        if num_classes is not None:
            check_below(identity, num_classes, f"{path}: line {number}")
        paths.append(os.fsencode(image))
        identities.append(sys.intern(identity))
    if not paths:
        raise UserError(f"{path}: no images in it, expected lines of `path 0 id 0`")
    return PathSource(str(path), root, paths, number_identities(identities, num_classes))


def folder_source(path: Path, num_classes: int | None) -> PathSource:
    """The images of identity folders, numbered as the folder's labels.tsv says where it has one. Raises UserError."""
    folders = identity_folders(path)
    if not folders:
        raise UserError(f"{path}: neither train.rec nor folders with images in it, expected one of the two")
    paths = [os.fsencode(file.relative_to(path)) for files in folders.values() for file in files]
    counts = [len(files) for files in folders.values()]
    if not (path / LABELS).exists():
        identities = [name for name, count in zip(folders, counts, strict=True) for _ in range(count)]
        return PathSource(str(path), path, paths, number_identities(identities, num_classes, where=str(path)))
    labels = folder_labels(path)
    numbers = np.repeat([labels[name] for name in folders], counts)
    names = {label: name for name, label in labels.items()}
    return PathSource(str(path), path, paths, number_identities(numbers, num_classes, names, str(path / LABELS)))


class RecordSource:
    """Images of a RecordIO file."""

    def __init__(self, records: RecordFile, num_classes: int | None) -> None:
        self.records = records
        if not records.offsets:
            raise UserError(f"{records.path}: no records in it, expected images")
        found = images_by_label(records)
        if not found:
            raise UserError(f"{records.path}: no images in its records, expected faces")
        disagreement = property_note(records.path, max(found))
        self.keys = np.array([key for keys in found.values() for key in keys])
        labels = np.repeat(list(found), [len(keys) for keys in found.values()])
        self.labels, self.classes, self.notes = number_identities(labels, num_classes)
        self.notes += [disagreement] if disagreement else []
        self.description = _described(self.labels, str(records.path))

    def read(self, index: int) -> bytes:
        """See Source."""
        return self.records.read(int(self.keys[index])).image

    def name(self, index: int) -> str:
        """See Source."""
        return f"{self.records.path}: record {self.keys[index]}"

    def listing(self) -> bytes:
        """See Source."""
        return self.keys.tobytes() + np.array([self.records.offsets[key] for key in self.keys.tolist()]).tobytes()


class HeldSource:
    """Images held in memory as the bytes of files; labels int64 [N]."""

    def __init__(self, description: str, images: Sequence[bytes], labels: np.ndarray) -> None:
        self.images, self.description = images, description
        self.labels, self.classes, self.notes = number_identities(labels, None)

    def read(self, index: int) -> bytes:
        """See Source."""
        return self.images[index]

    def name(self, index: int) -> str:
        """See Source."""
        return f"{self.description}: image {index}"

    def listing(self) -> bytes:
        """See Source."""
        return b"".join(self.images)


class DrawnSource:
    """People who do not exist, `images` pictures of each, drawn when they are read. Raises UserError for an unknown domain."""

    def __init__(self, domain: str, seed: int, people: int, images: int) -> None:
        camera(domain)
        self.domain, self.seed, self.images = domain, seed, images
        self.labels, self.classes, self.notes = number_identities(np.repeat(np.arange(people), images), None)
        self.description = f"drawn people, domain {domain}, seed {seed}"

    def read(self, index: int) -> bytes:
        """See Source."""
        person, image = divmod(index, self.images)
        return cv2.imencode(".png", draw_person(self.seed, person, image, self.domain))[1].tobytes()

    def name(self, index: int) -> str:
        """See Source."""
        return f"{self.description}: person {index // self.images}, image {index % self.images}"

    def listing(self) -> bytes:
        """See Source."""
        return f"{self.description}, {len(self.labels)} images, {self.images} of each".encode()


def _described(labels: np.ndarray, place: str) -> str:
    return f"{counted(len(labels), 'image')} of {counted(len(np.unique(labels)), 'person', 'people')} in {place}"


@contextmanager
def _record_source(path: Path, root: Path, num_classes: int | None) -> Iterator[Source]:
    with RecordFile(path if path.suffix == ".rec" else path / "train.rec") as records:
        yield RecordSource(records, num_classes)


@dataclass(frozen=True)
class Kind:
    """A form of labelled faces. holds: is a path one; open: (path, root, num_classes) -> the source, for a while."""

    holds: Callable[[Path], bool]
    open: Callable[[Path, Path, int | None], AbstractContextManager[Source]]


KINDS = {  # the first that holds; what none of them is, is read as a list
    "RecordIO": Kind(lambda path: path.suffix == ".rec" or (path / "train.rec").exists(), _record_source),
    "identity folders": Kind(
        Path.is_dir, lambda path, root, num_classes: nullcontext(folder_source(path, num_classes))
    ),
}
LIST = Kind(lambda path: True, lambda path, root, num_classes: nullcontext(listed_source(path, root, num_classes)))


def open_source(path: Path, root: Path = Path(), num_classes: int | None = None) -> AbstractContextManager[Source]:
    """Open a list, or what a line of KINDS knows: a folder of identity folders, RecordIO. Raises UserError.

    Relative paths of a list start from root. num_classes: ids are class numbers below it and stay as they are.
    """
    return next((kind for kind in KINDS.values() if kind.holds(path)), LIST).open(path, root, num_classes)
