"""The pairs / feedback file: two images and whether they show the same person.

    {"pairs": [{"image1": "a/1.jpg", "image2": "b/1.jpg", "label": 0}, ...]}

`label` is 1 (same person), 0 (different people) or null (nobody has said yet). A bare list of pairs is accepted. Keys
that this module does not know are kept when the file is written again.

A pair may stand in a file several times, in either order, and whoever asks only what has been asked takes the last answer
(choosing/asked.py). Where the answers are the truth, to train on or to measure with, one pair with both labels is refused:
see `labelled`. Between several files the last one counts: see `join_files`.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from magface_al.command.errors import UserError
from magface_al.command.files import exists, is_path, read_json
from magface_al.command.replacing import replacing
from magface_al.command.words import counted, shown

SAME, DIFFERENT = 1, 0
_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False)  # with indent it would be ten times slower


@dataclass(frozen=True, slots=True)
class Pair:
    """Two images as the file names them, the label (1, 0 or None) and every other key of the entry."""

    image1: str
    image2: str
    label: int | None
    extra: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """The entry as it stands in the file."""
        return {"image1": self.image1, "image2": self.image2, "label": self.label, **self.extra}

    def is_holdout(self) -> bool:
        """Whether it belongs to a random slice that measures the error, and so must never be trained on."""
        return self.extra.get("holdout") is True

    def key(self) -> tuple[str, str]:
        """The two images in a fixed order: (a, b) and (b, a) are one pair."""
        return (self.image1, self.image2) if self.image1 <= self.image2 else (self.image2, self.image1)


@dataclass(frozen=True)
class PairFile:
    """A pairs file: where it was read from, its pairs in file order, and its other top-level keys.

    held is for files that hold the images themselves (.bin): an image's name -> the bytes of a JPEG or PNG.
    """

    path: Path
    pairs: list[Pair]
    extra: dict[str, Any] = field(default_factory=dict)
    held: Mapping[str, bytes] = field(default_factory=dict, repr=False)

    def source(self, image: str) -> Path | bytes:
        """What preprocess.decode_image reads: the image's bytes if the file holds them, otherwise its place on disk."""
        return self.held[image] if image in self.held else self.locate(image)

    def locate(self, image: str) -> Path:
        """The image's place on disk: relative to the JSON's folder, to its "root" key, or to the working directory."""
        places = [self.path.parent / image, Path(str(self.extra.get("root", ""))) / image]
        return next((place for place in places if exists(place)), Path(image))

    def labelled(self) -> PairFile:
        """The pairs that somebody has answered. Raises UserError if there are none, or if one has both labels."""
        kept = [pair for pair in self.pairs if pair.label is not None]
        if not kept:
            raise UserError(f"{self.path}: none of its pairs has a label, expected 1 or 0; label them first")
        if both := self.with_both_labels():
            where = " and ".join(f"pair {row} ({self.pairs[row].label})" for row in both[0])
            raise UserError(
                f"{self.path}: {where} are the same two images with both labels, expected one; correct or remove one of them "
                f"({counted(len(both), 'such pair')})"
            )
        return replace(self, pairs=kept)

    def with_both_labels(self) -> list[tuple[int, int]]:
        """The pairs (in either order) that the file labels 1 and 0: where each first stands, and where it first differs."""
        first: dict[tuple[str, str], int] = {}
        both: dict[tuple[str, str], tuple[int, int]] = {}
        for row, pair in enumerate(self.pairs):
            if pair.label is not None:
                earlier = first.setdefault(pair.key(), row)
                if self.pairs[earlier].label != pair.label:
                    both.setdefault(pair.key(), (earlier, row))
        return list(both.values())

    def without_holdout(self) -> PairFile:
        """Without the pairs of random slices, which measure the error and must not be trained on. Raises UserError if
        nothing is left."""
        kept = [pair for pair in self.pairs if not pair.is_holdout()]
        if not kept:
            which = "its only pair is" if len(self.pairs) == 1 else f"all {len(self.pairs)} pairs are"
            raise UserError(
                f'{self.path}: {which} marked "holdout", which only measures the error; answer chosen pairs too'
            )
        return replace(self, pairs=kept)

    def labels(self) -> np.ndarray:
        """[N] bool, True for same. Call on labelled() pairs."""
        return np.array([pair.label == SAME for pair in self.pairs], dtype=bool)

    def images(self) -> list[str]:
        """Every image named, once, in order of first appearance."""
        return list(dict.fromkeys(name for pair in self.pairs for name in (pair.image1, pair.image2)))


def read_pairs(path: Path) -> PairFile:
    """Read and check a pairs file. Raises UserError naming the pair's index (from 0) and the key."""
    content = read_json(path)
    if isinstance(content, list):
        content = {"pairs": content}
    if not isinstance(content, dict) or not isinstance(content.get("pairs"), list):
        raise UserError(
            f'{path}: key "pairs" is missing or not a list, expected {{"pairs": [...]}} or a bare list of pairs'
        )
    pairs = [_read_pair(path, index, entry) for index, entry in enumerate(content["pairs"])]
    if not pairs:
        raise UserError(f"{path}: the list of pairs is empty")
    root = content.get("root", "")
    if not isinstance(root, str) or not is_path(root):
        raise UserError(f'{path}: key "root" is {shown(root)}, expected the folder that the images\' paths start from')
    extra = {key: value for key, value in content.items() if key != "pairs"}
    _refuse_deep(f"{path}: ", extra)
    return PairFile(path, pairs, extra)


def _read_pair(path: Path, index: int, entry: Any) -> Pair:
    if not isinstance(entry, dict):
        raise UserError(f'{path}: pair {index}: {shown(entry)}, expected an object with "image1", "image2" and "label"')
    for key in ("image1", "image2"):
        if not isinstance(entry.get(key), str) or not entry[key]:
            found = shown(entry[key]) if key in entry else "missing"
            raise UserError(f'{path}: pair {index}: key "{key}" is {found}, expected the path of an image')
        if not is_path(entry[key]):
            raise UserError(f'{path}: pair {index}: key "{key}" is {shown(entry[key])}, which no file can be called')
    label = entry.get("label")
    if "label" not in entry or not (label is None or (type(label) in (int, float, bool) and label in (0, 1))):
        found = shown(label) if "label" in entry else "missing"
        raise UserError(
            f'{path}: pair {index}: key "label" is {found}, expected 1 (same), 0 (different) or null (not yet answered)'
        )
    # Files have a million pairs: the entry itself becomes the extra, and a name is one text however many pairs have it.
    image1, image2 = sys.intern(entry.pop("image1")), sys.intern(entry.pop("image2"))
    del entry["label"]
    _refuse_deep(f"{path}: pair {index}: ", entry)
    return Pair(image1, image2, None if label is None else int(label), entry)


def _refuse_deep(where: str, extra: Mapping[str, Any]) -> None:
    """What can just be read could not be written again, from a place in the program that is deeper itself."""
    for key, value in extra.items():
        if isinstance(value, list | dict) and _is_deep(value, 50):
            raise UserError(f"{where}key {shown(key)} holds lists inside lists, more than 50 levels of them")


def _is_deep(value: Any, levels: int) -> bool:
    if not isinstance(value, list | dict):
        return False
    return levels == 0 or any(
        _is_deep(inner, levels - 1) for inner in (value.values() if isinstance(value, dict) else value)
    )


def write_pairs(path: Path, pairs: Iterable[Pair], **extra: Any) -> None:
    """Write pairs, and any other top-level keys, as a pairs file. Raises ValueError for NaN and infinity."""
    with replacing(path, durable=True) as file:
        file.writelines(pairs_json(pairs, **extra))


def pairs_json(pairs: Iterable[Pair], **extra: Any) -> Iterator[str]:
    """The text of a pairs file, piece by piece: a line a pair, so that a million of them take seconds and can be compared."""
    separator = '{\n  "pairs": [\n    '
    for pair in pairs:
        yield separator + _ENCODER.encode(pair.to_dict())
        separator = ",\n    "
    yield "\n  ]" if separator[0] == "," else '{\n  "pairs": []'
    for key, value in extra.items():
        yield f",\n  {_ENCODER.encode(key)}: {_ENCODER.encode(value)}"
    yield "\n}\n"


def describe(pairs: Sequence[Pair]) -> str:
    """Counts for the screen: "200 pairs (100 same, 100 different)"; "no pairs" for none."""
    if not pairs:
        return "no pairs"
    count = Counter(pair.label for pair in pairs)
    words = ((SAME, "same"), (DIFFERENT, "different"), (None, "unanswered"))
    parts = [f"{count[label]} {word}" for label, word in words if count[label]]
    return f"{counted(len(pairs), 'pair')} ({', '.join(parts)})"
