"""A few images of a few people out of a source, as a folder of its own: images/identity_0004/identity_0004_img_02.jpg."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from magface_al.command import outputs
from magface_al.command.errors import UserError
from magface_al.command.replacing import replacing_folder
from magface_al.command.words import counted
from magface_al.faces.formats import suffix_of
from magface_al.faces.preprocess import decode_image, read_picture
from magface_al.faces.sources import DrawnSource, Source, open_source

_OWN = re.compile(r"/(identity_\d{4,})/\1_img_\d\d+\.\w+$")  # what sample_people writes


@contextmanager
def open_people(dataset: Path | None, domain: str, seed: int, people: int, images: int) -> Iterator[Source]:
    """A folder with a train.rec or with identity folders; without one, `people` drawn people with `images` each.

    Raises UserError.
    """
    if dataset is None:
        yield DrawnSource(domain, seed, people, images)
        return
    if not dataset.is_dir():
        raise UserError(f"{dataset}: no such folder, expected one with train.rec, or with one folder a person")
    with open_source(dataset) as source:
        yield source


def refuse_foreign(images: Path) -> None:
    """Raises UserError where anything but the images of an earlier run stands in their place."""
    outputs.refuse_foreign(images, _OWN)


def sample_people(
    source: Source, people: int, images: int, rng: np.random.Generator, folder: Path, note: Callable[[str], None]
) -> dict[str, list[str]]:
    """Write up to `images` images, byte for byte, of each of `people` people, chosen at random; a rerun leaves no old ones.

    Returns identity -> the images' paths relative to the folder's parent. What could not be had goes to `note`. Raises
    UserError where fewer than two people have images enough.
    """
    ends = np.cumsum(np.bincount(source.labels, minlength=len(source.classes)))
    members = np.split(np.argsort(source.labels, kind="stable"), ends[:-1])
    enough = [number for number, rows in enumerate(members) if len(rows) >= min(2, images)]
    if len(enough) < 2:
        found = counted(len(enough), "person", "people")
        raise UserError(f"{source.description}: {found} with at least two images, expected at least two people")
    if len(enough) < people:
        note(f"only {len(enough)} of the {people} people wanted have images enough")
    written: dict[str, list[str]] = {}
    with replacing_folder(folder) as building:
        for number, person in enumerate([enough[k] for k in rng.permutation(len(enough))[:people]]):
            identity = f"identity_{number:04d}"
            names: list[str] = []
            for index in rng.permutation(len(members[person])).tolist():
                if len(names) == images:
                    break
                try:
                    data, suffix = image_file(source.read(int(members[person][index])))
                except ValueError as error:
                    note(f"{source.classes[person]}, image {index}: {error}; another one is taken")
                    continue
                target = building / identity / f"{identity}_img_{len(names):02d}{suffix}"
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(data)
                names.append(f"{folder.name}/{identity}/{target.name}")
            if names:
                written[identity] = names
        if not written:
            raise UserError(f"{source.description}: no image of them can be read, expected faces")
    return written


def image_file(image: Path | bytes) -> tuple[bytes, str]:
    """A source's image as the bytes of a file and its suffix. Raises ValueError if it is no readable image."""
    data = image if isinstance(image, bytes) else read_picture(image)
    decode_image(data)
    return data, suffix_of(data) if isinstance(image, bytes) else image.suffix.lower()
