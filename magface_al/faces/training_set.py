"""Labelled faces to train on, from several sources as one: MagFace lists, identity folders, InsightFace's RecordIO.

Class numbers are dense: each source's people are numbered in the order of their ids and follow those of the source
before, so the same person in two sources is two classes. The map back is kept (classes.tsv).
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Protocol

import numpy as np

from magface_al.command.errors import UserError
from magface_al.command.files import replacing
from magface_al.faces.identities import identity_lines
from magface_al.faces.recordio import RecordFile, images_by_label
from magface_al.faces.sources import identity_folders


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

    def __init__(self, description: str, root: Path, paths: Sequence[bytes], identities: Sequence[str], num_classes: int | None) -> None:  # fmt: skip
        self.root, self.paths = root, np.array(paths)
        self.labels, self.classes, self.notes = number_identities(identities, num_classes)
        self.description = f"{len(self.labels)} images of {len(np.unique(self.labels))} people in {description}"

    def read(self, index: int) -> Path:
        """See Source."""
        return self.root / os.fsdecode(self.paths[index])

    def name(self, index: int) -> str:
        """See Source."""
        return str(self.read(index))

    def listing(self) -> bytes:
        """See Source."""
        return self.paths.tobytes()


class RecordSource:
    """Images of a RecordIO file."""

    def __init__(self, records: RecordFile, num_classes: int | None) -> None:
        self.records = records
        last = max(records.offsets, key=records.offsets.__getitem__)
        records.read(last)  # a truncated file is found here, not after hours
        found = images_by_label(records)
        announced = read_property(records.path.parent / "property")
        for label, keys in found.items():
            if announced is not None and label >= announced:
                raise UserError(
                    f"{records.path}: record {keys[0]} has label {label}, but property announces {announced} classes, numbered from 0; "
                    "one of the two files is of another set"
                )
        self.keys = np.array([key for keys in found.values() for key in keys])
        labels = np.repeat(list(found), [len(keys) for keys in found.values()])
        self.labels, self.classes, self.notes = number_identities(labels, num_classes)
        self.description = f"{len(self.labels)} images of {len(np.unique(self.labels))} people in {records.path}"

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


class TrainingSet:
    """Sources as one: labels int64 [N] over all of them, num_classes of them in all."""

    def __init__(self, sources: Sequence[Source]) -> None:
        self.sources = sources
        self._class_offsets = np.cumsum([0, *(len(source.classes) for source in sources)])
        self._image_offsets = np.cumsum([0, *(len(source.labels) for source in sources)])
        self.num_classes = int(self._class_offsets[-1])
        offset_labels = [
            source.labels + offset for source, offset in zip(sources, self._class_offsets[:-1], strict=True)
        ]
        self.labels = np.concatenate(offset_labels)

    def __len__(self) -> int:
        return len(self.labels)

    def read(self, index: int) -> Path | bytes:
        """See Source."""
        source, within = self._place(index)
        return source.read(within)

    def name(self, index: int) -> str:
        """See Source."""
        source, within = self._place(index)
        return source.name(within)

    def _place(self, index: int) -> tuple[Source, int]:
        number = int(np.searchsorted(self._image_offsets, index, side="right")) - 1
        return self.sources[number], int(index - self._image_offsets[number])

    def fingerprint(self) -> str:
        """SHA-256 over every image's listed place and class, not its pixels: another list, order or numbering has another."""
        digest = hashlib.sha256(self.labels.tobytes())
        for source in self.sources:
            digest.update(source.listing())
        return digest.hexdigest()

    def write_classes(self, path: Path) -> None:
        """Write `class <tab> id <tab> images <tab> source` for every class."""
        counts = np.bincount(self.labels, minlength=self.num_classes)
        with replacing(path) as file:
            file.write("class\tid\timages\tsource\n")
            for source, offset in zip(self.sources, self._class_offsets[:-1], strict=True):
                for number, identity in enumerate(source.classes, int(offset)):
                    file.write(f"{number}\t{identity}\t{counts[number]}\t{source.description}\n")


@contextmanager
def open_training_set(paths: Sequence[Path], root: Path = Path(), num_classes: int | None = None) -> Iterator[TrainingSet]:  # fmt: skip
    """Open lists, folders of identity folders, folders with a train.rec, and .rec files. Raises UserError.

    Relative paths of a list start from root. num_classes: ids are class numbers below it and stay as they are; only
    one source can have that.
    """
    if num_classes is not None and len(paths) > 1:
        raise UserError(f"--num_classes {num_classes}: {len(paths)} sources are renumbered one after the other; leave it out")  # fmt: skip
    with ExitStack() as stack:
        yield TrainingSet([_open(path, root, num_classes, stack) for path in paths])


def _open(path: Path, root: Path, num_classes: int | None, stack: ExitStack) -> Source:
    if path.suffix == ".rec" or (path / "train.rec").exists():
        records = stack.enter_context(RecordFile(path if path.suffix == ".rec" else path / "train.rec"))
        if not records.offsets:
            raise UserError(f"{records.path}: no records in it, expected images")
        return RecordSource(records, num_classes)
    paths: list[bytes] = []
    identities: list[str] = []
    if path.is_dir():
        for name, files in identity_folders(path).items():
            paths.extend(os.fsencode(file.relative_to(path)) for file in files)
            identities.extend([name] * len(files))
        return PathSource(str(path), path, paths, identities, num_classes)
    for number, image, identity in identity_lines(path):
        _check(identity, num_classes, f"{path}: line {number}")
        paths.append(os.fsencode(image))
        identities.append(sys.intern(identity))
    if not paths:
        raise UserError(f"{path}: no images in it, expected lines of `path 0 id 0`")
    return PathSource(str(path), root, paths, identities, num_classes)


def _check(identity: str, num_classes: int | None, where: str) -> None:
    if num_classes is not None and not (identity.isdecimal() and int(identity) < num_classes):
        raise UserError(f"{where}: id {identity}, expected a whole number below --num_classes {num_classes}")


def number_identities(identities: Sequence[str] | np.ndarray, num_classes: int | None) -> tuple[np.ndarray, list[str], list[str]]:  # fmt: skip
    """(labels int64 [N], ids of the classes, notes). Whole numbers are put in numerical order, other ids in that of text.

    num_classes: the ids are the labels. Raises UserError where they are not below it.
    """
    if num_classes is not None:
        for identity in dict.fromkeys(map(str, identities)):
            _check(identity, num_classes, "training data")
    numbers = identities if isinstance(identities, np.ndarray) else None
    if numbers is None and all(identity.isdecimal() for identity in identities):
        numbers = np.array(identities, dtype=np.int64)
    if numbers is not None and num_classes is not None:
        notes = _gaps(np.unique(numbers), "have no image and stay in the classifier")
        return numbers.astype(np.int64), [str(number) for number in range(num_classes)], notes
    ids, labels = np.unique(identities if numbers is None else numbers, return_inverse=True)
    notes = [] if numbers is None else _gaps(ids, "have no image; the others are numbered without gaps")
    return labels.astype(np.int64), [str(name) for name in ids], notes


def _gaps(ids: np.ndarray, consequence: str) -> list[str]:
    absent = int(ids[-1]) + 1 - len(ids)
    if absent == 0:
        return []
    first = int(np.flatnonzero(np.append(ids, -1) != np.arange(len(ids) + 1))[0])
    return [f"{absent} of the ids 0 to {ids[-1]} {consequence} (first: {first})"]


def read_property(path: Path) -> int | None:
    """The number of classes that InsightFace's `property` announces in its first line; None without the file."""
    if not path.is_file():
        return None
    line = path.read_text().splitlines()[:1]
    fields = line[0].split(",") if line else []
    if not fields or not fields[0].strip().isdecimal():
        raise UserError(f"{path}: line 1: {''.join(line)!r}, expected `classes,height,width`")
    return int(fields[0])
