"""One folder for each wrongly judged pair: its two images, a picture that compares them, and the numbers."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
from tqdm import tqdm

from magface_al.command.errors import UserError
from magface_al.command.files import LONGEST_NAME
from magface_al.command.outputs import refuse_foreign, replaceable
from magface_al.command.replacing import replacing, replacing_folder
from magface_al.embedding.pair_scores import PairScores
from magface_al.faces.preprocess import decode_image, read_picture
from magface_al.pairs.pair_file import PairFile
from magface_al.pictures.canvas import save_figure
from magface_al.pictures.error_page import ErrorCard
from magface_al.pictures.faces import comparison_figure, contact_sheet

KINDS = {"false positive": "false_positives", "false negative": "false_negatives"}  # and their folders
SHEET = "errors_contact_sheet.png"
_OWN = re.compile(r"/pair_\d{3,}_sim-?\d\.\d{3}/(comparison\.png|info\.txt|img[12]_[^/]*)$")  # what _write_error writes
Read = TypeVar("Read")


def check_places(pair_file: PairFile, folder: Path) -> None:
    """Before any work: raises UserError where a folder of errors holds anything but an earlier run's, or an image of the pairs."""
    reads = _read_from(pair_file)
    for name in KINDS.values():
        replaceable(folder / name, reads)
        refuse_foreign(folder / name, _OWN)


def _read_from(pair_file: PairFile) -> set[Path]:
    return {pair_file.locate(name).parent for name in pair_file.images()}


def write_errors(
    scores: PairScores, threshold: float, folder: Path, max_fp: int | None, max_fn: int | None
) -> list[ErrorCard]:
    """Write false_positives/ and false_negatives/ and the contact sheet; return the errors written, worst first.

    Both folders are built under another name and then swapped in, so a rerun leaves nothing of the run before. Raises
    UserError for an image that cannot be read (any more), or that lies in such a folder of an earlier run.
    """
    same = scores.pair_file.labels()
    called_same = scores.similarity > threshold
    reads = _read_from(scores.pair_file)
    cards: list[ErrorCard] = []
    for (kind, name), wrong, most in zip(
        KINDS.items(), (called_same & ~same, ~called_same & same), (max_fp, max_fn), strict=True
    ):
        rows = np.flatnonzero(wrong)
        rows = rows[np.argsort(-np.abs(scores.similarity[rows] - threshold), kind="stable")][:most]
        with replacing_folder(folder / name, reads) as building:
            for place, row in enumerate(tqdm(rows, unit="error", desc=f"{kind}s"), 1):
                cards.append(_write_error(scores, int(row), place, kind, threshold, building))
    cards.sort(key=lambda card: -abs(card.similarity - threshold))
    tiles = [(*card.faces, f"{card.kind} {card.similarity:.3f}") for card in cards]
    save_figure(contact_sheet(tiles, "errors, worst first"), folder / SHEET)
    return cards


def _write_error(scores: PairScores, row: int, place: int, kind: str, threshold: float, building: Path) -> ErrorCard:
    pair = scores.pair_file.pairs[row]
    similarity = float(scores.similarity[row])
    folder = building / f"pair_{place:03d}_sim{similarity:.3f}"
    folder.mkdir()
    names = (pair.image1, pair.image2)
    data = [_read(scores.pair_file, name, read_picture) for name in names]
    for side, (name, content) in enumerate(zip(names, data, strict=True), 1):
        (folder / copy_name(side, name)).write_bytes(content)
    magnitudes = (float(scores.magnitude1[row]), float(scores.magnitude2[row]))
    faces = (_face(scores.pair_file, names[0]), _face(scores.pair_file, names[1]))
    same = kind == "false negative"
    save_figure(comparison_figure(faces, names, magnitudes, similarity, threshold, same), folder / "comparison.png")
    with replacing(folder / "info.txt") as file:
        file.write(
            f"kind: {kind}\nsimilarity: {similarity:.6f}\nthreshold: {threshold:g}\n"
            f"truth: {'same person' if same else 'different people'}\nmodel: {'different people' if same else 'same person'}\n"
            f"image1: {names[0]}\nmagnitude1: {magnitudes[0]:.4f}\nimage2: {names[1]}\nmagnitude2: {magnitudes[1]:.4f}\n"
        )
    return ErrorCard(kind, faces, names, magnitudes, similarity, f"{KINDS[kind]}/{folder.name}")


def copy_name(side: int, name: str) -> str:
    """What the copy of an image is called: its own name, whose end is kept where the system allows no longer one."""
    return os.fsdecode(f"img{side}_".encode() + os.fsencode(Path(name).name)[-LONGEST_NAME + 5 :])


def _face(pair_file: PairFile, name: str) -> np.ndarray:
    return _read(pair_file, name, decode_image)[0]


def _read(pair_file: PairFile, name: str, read: Callable[[Path], Read]) -> Read:
    try:
        return read(pair_file.locate(name))
    except ValueError as error:
        raise UserError(
            f"{pair_file.locate(name)}: {error}, expected the image that {name} of {pair_file.path} was embedded from"
        ) from None
