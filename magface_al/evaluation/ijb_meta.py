"""The meta files of IJB-B and IJB-C, as the recognition community passes them on, and the roles of TinyFace's images.

PREFIX_face_tid_mid.txt          image template media
PREFIX_template_pair_label.txt   template template label (1 same, 0 different)
PREFIX_name_5pts_score.txt       image, ten landmark coordinates, detection score
PREFIX_1N_gallery_*.csv, PREFIX_1N_probe_mixed.csv   a header, then template, subject, ...
(MagFace eval/eval_recognition/eval_ijb.py @99bae614, insightface recognition/_evaluation_/ijb/ijb_evals.py.)
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from magface_al.command.errors import UserError

DISTRACTOR = -100  # AdaFace validation_lq/tinyface_helper.py gives it to the faces of nobody


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
    for number, line in _numbered(path):
        columns = line.split()
        if len(columns) != 3 or not (columns[1].isdigit() and columns[2].lstrip("-").isdigit()):
            raise UserError(f"{path}: line {number}: {line.strip()!r}, expected `image template media`")
        names.append(columns[0])
        template.append(int(columns[1]))
        media.append(int(columns[2]))
    if not names:
        raise UserError(f"{path}: no faces in it, expected lines of `image template media`")
    detection = _detection_scores(meta_file(prefix, "name_5pts_score.txt"), names) if with_detection else None
    return Faces(names, np.array(template, np.int64), np.array(media, np.int64), detection)


def _numbered(path: Path) -> Any:
    try:
        with path.open(encoding="utf-8") as file:
            yield from enumerate(file, 1)
    except FileNotFoundError:
        raise UserError(
            f"{path}: no such file; --meta is the folder and the beginning of the files' names, as meta/ijbc"
        ) from None


def _detection_scores(path: Path, names: list[str]) -> np.ndarray:
    scores: dict[str, float] = {}
    for number, line in _numbered(path):
        columns = line.split()
        try:
            scores[columns[0]] = float(columns[-1])
        except (IndexError, ValueError):
            raise UserError(
                f"{path}: line {number}: {line.strip()!r}, expected an image, ten coordinates and a score"
            ) from None
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
    return Roster(template, table[first, 1])


def galleries(prefix: Path) -> list[Path]:
    """The gallery lists beside the other meta files (G1 and G2, or S1 and S2), in order; empty if there are none."""
    return sorted(prefix.parent.glob(f"{prefix.name}_1N_gallery_*.csv"))


def _table(path: Path, expected: str, **options: Any) -> np.ndarray:
    try:
        return np.loadtxt(path, **options)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file, expected lines of {expected}") from None
    except (ValueError, IndexError) as error:
        raise UserError(f"{path}: {error}; expected lines of {expected}") from None


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


def tinyface_roles(names: list[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(probe rows, gallery rows, subject int64 [N]) of the images of TinyFace's Testing_Set.

    The folder says what an image is for (Probe, Gallery_Match, Gallery_Distractor), the whole number before the first
    underscore of its name who it shows; images of other folders are left aside. Raises UserError.
    """
    roles: dict[str, list[int]] = {"Probe": [], "Gallery_Match": [], "Gallery_Distractor": []}
    subject = np.full(len(names), DISTRACTOR, np.int64)
    for row, name in enumerate(names):
        path = Path(name)
        role = next((part for part in reversed(path.parts[:-1]) if part in roles), None)
        if role is None:
            continue
        roles[role].append(row)
        number = path.name.split("_")[0]
        if role != "Gallery_Distractor":
            if not number.isdigit():
                raise UserError(f"{name}: expected a file name that begins with the person's number and an underscore")
            subject[row] = int(number)
    if not roles["Probe"] or not roles["Gallery_Match"]:
        raise UserError(
            "no images of TinyFace's folders Probe and Gallery_Match in the feature store, expected its Testing_Set"
        )
    return np.array(roles["Probe"]), np.array(roles["Gallery_Match"] + roles["Gallery_Distractor"]), subject
