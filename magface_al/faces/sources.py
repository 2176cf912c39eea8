"""Where faces with known identities come from: RecordIO, a folder of identity folders, or drawn people."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np

from magface_al.command.errors import UserError
from magface_al.faces.drawn.cameras import camera
from magface_al.faces.drawn.people import draw_person
from magface_al.faces.formats import IMAGE_SUFFIXES, suffix_of
from magface_al.faces.recordio import RecordFile, images_by_label


class FaceSource(Protocol):
    """People with images, whatever they are stored in."""

    description: str

    def people(self, identities: int, images: int) -> dict[str, int]:
        """Person -> number of images. The numbers wanted matter only where people are drawn."""
        ...

    def image(self, person: str, index: int) -> tuple[bytes, str]:
        """The file's bytes and its suffix. Raises ValueError if it is no readable image."""
        ...


@dataclass(frozen=True)
class Folder:
    """One folder a person."""

    path: Path
    files: dict[str, list[Path]]

    @property
    def description(self) -> str:
        """For the screen."""
        return f"{sum(map(len, self.files.values()))} images of {len(self.files)} people in {self.path}"

    def people(self, identities: int, images: int) -> dict[str, int]:
        """See FaceSource."""
        return {name: len(files) for name, files in self.files.items()}

    def image(self, person: str, index: int) -> tuple[bytes, str]:
        """See FaceSource."""
        path = self.files[person][index]
        return _checked(path.read_bytes()), path.suffix.lower()


@dataclass(frozen=True)
class Records:
    """A RecordIO face set; images are handed out byte for byte."""

    records: RecordFile
    keys: dict[str, list[int]]

    @property
    def description(self) -> str:
        """For the screen."""
        return f"{sum(map(len, self.keys.values()))} images of {len(self.keys)} people in {self.records.path}"

    def people(self, identities: int, images: int) -> dict[str, int]:
        """See FaceSource."""
        return {name: len(keys) for name, keys in self.keys.items()}

    def image(self, person: str, index: int) -> tuple[bytes, str]:
        """See FaceSource."""
        data = _checked(self.records.read(self.keys[person][index]).image)
        return data, suffix_of(data)


@dataclass(frozen=True)
class Drawn:
    """People who do not exist."""

    domain: str
    seed: int

    @property
    def description(self) -> str:
        """For the screen."""
        return f"drawn people, domain {self.domain}, seed {self.seed}"

    def people(self, identities: int, images: int) -> dict[str, int]:
        """See FaceSource."""
        return {str(number): images for number in range(identities)}

    def image(self, person: str, index: int) -> tuple[bytes, str]:
        """See FaceSource."""
        return cv2.imencode(".png", draw_person(self.seed, int(person), index, self.domain))[1].tobytes(), ".png"


def _checked(data: bytes) -> bytes:
    if not data or cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) is None:
        raise ValueError("not an image that OpenCV can decode")
    return data


@contextmanager
def open_source(dataset: Path | None, domain: str, seed: int) -> Iterator[FaceSource]:
    """RecordIO if the folder has a train.rec, identity folders otherwise, drawn people without a folder. Raises UserError."""
    if dataset is None:
        camera(domain)
        yield Drawn(domain, seed)
        return
    if not dataset.is_dir():
        raise UserError(f"{dataset}: no such folder, expected one with train.rec, or with one folder a person")
    if (dataset / "train.rec").exists():
        with RecordFile(dataset / "train.rec") as records:
            yield Records(records, {str(label): keys for label, keys in images_by_label(records).items()})
        return
    yield Folder(dataset, identity_folders(dataset))


def identity_folders(dataset: Path) -> dict[str, list[Path]]:
    """Folder name -> its images, sorted, of a folder of identity folders. Raises UserError if there are none."""
    files = {folder.name: sorted(file for file in folder.iterdir() if file.suffix.lower() in IMAGE_SUFFIXES)
             for folder in sorted(dataset.iterdir()) if folder.is_dir()}  # fmt: skip
    files = {name: images for name, images in files.items() if images}
    if not files:
        raise UserError(f"{dataset}: neither train.rec nor folders with images in it, expected one of the two")
    return files
