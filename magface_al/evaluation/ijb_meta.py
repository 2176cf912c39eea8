"""The meta files of IJB-B and IJB-C, as the recognition community passes them on.

PREFIX_face_tid_mid.txt          image template media
PREFIX_template_pair_label.txt   template template label (1 same, 0 different)
PREFIX_name_5pts_score.txt       image, ten landmark coordinates, detection score
PREFIX_1N_gallery_*.csv, PREFIX_1N_probe_mixed.csv   a header, then template, subject, ...
(MagFace eval/eval_recognition/eval_ijb.py @99bae614, insightface recognition/_evaluation_/ijb/ijb_evals.py.)
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from magface_al.command.errors import UserError
from magface_al.command.files import open_input, read_lines
from magface_al.command.numbers import is_whole
from magface_al.command.words import shown
from magface_al.faces.list_lines import columns
from magface_al.metrics.cosine import LARGEST

HINT = "--meta is the folder and the beginning of the files' names, as meta/ijbc"


@dataclass(frozen=True)
class Faces:
    """The images of a set in its own order: names [N], template and media int64 [N], and the detector's scores."""

    names: list[str]
    template: np.ndarray
    media: np.ndarray
    detection: np.ndarray | None  # float32 [N]


@dataclass(frozen=True)
class Roster:
    """Templates int64 [T] and the subjects int64 [T] whom they show."""

    template: np.ndarray
    subject: np.ndarray


def meta_file(prefix: Path, ending: str) -> Path:
    """PREFIX + ending, where the prefix is a folder and the beginning of a file name: meta/ijbc."""
    return prefix.with_name(f"{prefix.name}_{ending}")


def read_faces(prefix: Path, *, with_detection: bool) -> Faces:
    """Read PREFIX_face_tid_mid.txt and, if asked, the scores of PREFIX_name_5pts_score.txt. Raises UserError."""
    path = meta_file(prefix, "face_tid_mid.txt")
    names, template, media = [], [], []
    for number, line in read_lines(path, f"lines of `image template media`; {HINT}"):
        found = columns(line, (3,))
        if len(found) != 3 or not (is_whole(found[1]) and is_whole(found[2].removeprefix("-"))):
            raise UserError(f"{path}: line {number}: {shown(line.strip())}, expected `image template media`")
        names.append(found[0])
        template.append(int(found[1]))
        media.append(int(found[2]))
    if not names:
        raise UserError(f"{path}: no faces in it, expected lines of `image template media`")
    detection = _detection_scores(meta_file(prefix, "name_5pts_score.txt"), names) if with_detection else None
    return Faces(names, np.array(template, np.int64), np.array(media, np.int64), detection)


def _detection_scores(path: Path, names: list[str]) -> np.ndarray:
    scores: dict[str, float] = {}
    for number, line in read_lines(path, f"lines of an image, ten coordinates and a score; {HINT}"):
        found = columns(line)
        try:
            score = float(found[-1])
        except ValueError:
            score = np.nan
        if len(found) < 2 or not abs(score) <= LARGEST:
            raise UserError(
                f"{path}: line {number}: {shown(line.strip())}, expected an image, ten coordinates and a score, a finite number"
            )
        scores[found[0]] = score
    absent = [name for name in names if name not in scores]
    if absent:
        raise UserError(f"{path}: {len(absent)} of {len(names)} faces have no detection score (first: {absent[0]})")
    return np.array([scores[name] for name in names], np.float32)


def read_template_pairs(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(template1, template2, same): int32 [P], int32 [P], bool [P]."""
    table = _table(path, "template template label", dtype=np.int32, ndmin=2, comments=None)
    if table.shape[1:] != (3,) or not np.isin(table[:, 2], (0, 1)).all():
        raise UserError(f"{path}: expected lines of `template template label` with labels 1 and 0")
    return table[:, 0].copy(), table[:, 1].copy(), table[:, 2] == 1


def read_roster(path: Path) -> Roster:
    """Read a gallery or probe list; a template that stands on several lines (one a face) is taken once."""
    table = _table(
        path, "template,subject after a header line", delimiter=",", skiprows=1, usecols=(0, 1), dtype=np.int64, ndmin=2
    )
    template, first = np.unique(table[:, 0], return_index=True)
    if len(np.unique(table, axis=0)) != len(template):
        raise UserError(f"{path}: a template stands there with two subjects, expected one")
    return Roster(template, table[first, 1])


def galleries(prefix: Path) -> list[Path]:
    """The gallery lists beside the other meta files (G1 and G2, or S1 and S2), in order; empty if there are none."""
    return sorted(prefix.parent.glob(f"{prefix.name}_1N_gallery_*.csv"))


def _table(path: Path, expected: str, **options: Any) -> np.ndarray:
    open_input(
        path, f"lines of {expected}"
    ).close()  # NumPy opens by name what it is to read fast, and waits for a pipe
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of no lines, which is said below
            table = np.loadtxt(path, encoding="utf-8", **options)
    except (ValueError, IndexError, OverflowError) as error:
        raise UserError(f"{path}: {' '.join(str(error).split())[:200]}; expected lines of {expected}") from None
    if not table.size:
        raise UserError(f"{path}: nothing in it, expected lines of {expected}")
    return table


def match_rows(names: list[str], stored: list[str]) -> np.ndarray:
    """int64 [N]: the row of each image in a feature store by its file name, -1 for an absent one. Raises UserError.

    Only file names are compared: the store may hold aligned copies of the images in another folder.
    """
    row_of: dict[str, int] = {}
    for row, name in enumerate(stored):
        file = name.replace("\\", "/").rpartition("/")[2]
        if file in row_of:
            raise UserError(
                f"the feature store has two images called {file} ({stored[row_of[file]]}, {name}), expected one of a name"
            )
        row_of[file] = row
    return np.array([row_of.get(name.rpartition("/")[2], -1) for name in names], np.int64)
