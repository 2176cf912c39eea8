"""From ids to class numbers: people in their natural order, numbered from 0 without gaps, or ids that are the numbers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from magface_al.command.errors import UserError
from magface_al.command.files import read_lines
from magface_al.command.numbers import is_whole
from magface_al.command.words import counted


class Numbering(NamedTuple):
    """labels int64 [N]; classes: the ids behind the numbers; notes: what is odd about the ids, in words."""

    labels: np.ndarray
    classes: list[str]
    notes: list[str]


def natural_order(names: Iterable[str]) -> list[str]:
    """Distinct names by number where all of them are whole numbers, otherwise by name ("10" would come before "2")."""
    distinct = set(names)
    whole = all(is_whole(name) for name in distinct)
    return sorted(distinct, key=lambda name: (int(name) if whole else 0, name))


def number_identities(
    identities: Sequence[str] | np.ndarray,
    num_classes: int | None,
    names: Mapping[int, str] | None = None,
    where: str = "training data",
) -> Numbering:
    """Number the people behind ids [N], which are texts, put in natural order, or whole numbers.

    num_classes: the ids are the labels; raises UserError, beginning with `where`, for one that is not below it. names:
    what whole numbers are called in a map of labels.
    """
    if not isinstance(identities, np.ndarray) and all(is_whole(name) for name in set(identities)):
        identities = np.array(list(map(int, identities)), np.int64)  # 1 and 01 are one person
    if isinstance(identities, np.ndarray):
        found, labels = np.unique(identities, return_inverse=True)
        present = [str(number) for number in found]
    else:
        present = natural_order(identities)
        place = {name: number for number, name in enumerate(present)}
        labels = np.array([place[name] for name in identities], np.int64)
    if num_classes is not None:
        for identity in present:
            check_below(identity, num_classes, where)
        numbers = np.array(present, np.int64)
        classes = [str(number) for number in range(num_classes)]
        notes = _gaps(numbers, kept=True)
        labels = numbers[labels]
    else:
        classes = present
        whole = all(is_whole(name) for name in present)
        notes = _gaps(np.array(present, np.int64), kept=False) if whole else []
    if names is not None:
        classes = [names.get(int(number), number) for number in classes]
    return Numbering(labels.astype(np.int64), classes, notes)


def check_below(identity: str, num_classes: int, where: str) -> None:
    """Raises UserError, beginning with `where`, unless the id is a class number below --num_classes."""
    if not (is_whole(identity) and int(identity) < num_classes):
        raise UserError(f"{where}: id {identity}, expected a whole number below --num_classes {num_classes}")


def _gaps(numbers: np.ndarray, *, kept: bool) -> list[str]:
    """What is to be said about ids int [K] where some below the highest are absent; kept: in the classifier all the same."""
    ids = np.unique(numbers)
    absent = int(ids[-1]) + 1 - len(ids)
    if absent == 0:
        return []
    first = int(np.flatnonzero(np.append(ids, -1) != np.arange(len(ids) + 1))[0])
    has, stays = ("has", "stays") if absent == 1 else ("have", "stay")
    then = f" and {stays} in the classifier" if kept else "; the others are numbered without gaps"
    return [f"{absent} of the ids 0 to {ids[-1]} {has} no image{then} (first: {first})"]


def read_property(path: Path) -> int | None:
    """The number of classes that InsightFace's `property` announces in its first line; None without the file."""
    if not path.is_file():
        return None
    expected = "`classes,height,width`"
    _, line = next(read_lines(path, expected), (1, ""))
    classes = line.split(",")[0].strip()
    if not is_whole(classes):
        raise UserError(f"{path}: line 1: {line!r}, expected {expected}")
    return int(classes)


def property_note(records: Path, last_label: int) -> str | None:
    """What is to be said where the `property` beside a .rec announces more classes than it has. last_label: its highest.

    Raises UserError where it announces fewer.
    """
    announced = read_property(records.parent / "property")
    if announced is None or announced == last_label + 1:
        return None
    says = f"property announces {counted(announced, 'class', 'classes')}, numbered from 0"
    if announced <= last_label:
        raise UserError(f"{records}: has label {last_label}, but {says}; one of the two files is of another set")
    return f"{says}, but the highest label in {records} is {last_label}; a part of the set may be missing"
