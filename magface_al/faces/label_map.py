"""A map of labels, `label<TAB>name` a line, which stands beside every list that numbers people and in every unpacked set.

Numbering folders anew is a trap: by name "10" comes before "2", so two tools disagree on who is who. A map in the folder
(labels.tsv), or given, decides for every reader.
"""

from __future__ import annotations

from pathlib import Path

from magface_al.command.errors import UserError
from magface_al.command.files import read_lines
from magface_al.command.numbers import is_whole
from magface_al.command.outputs import also_read
from magface_al.command.words import counted
from magface_al.faces.class_numbers import natural_order
from magface_al.faces.identities import identity_names
from magface_al.faces.list_lines import list_file, listable

LABELS = "labels.tsv"


def beside(path: Path) -> Path:
    """The map that belongs to a list."""
    return path.with_name(f"{path.name}.{LABELS}")


def read_labels(path: Path) -> dict[str, int]:
    """Name -> label of a map. Raises UserError for a line that is none, or a name or label that stands there twice."""
    also_read(path, "a map of labels")
    labels: dict[str, int] = {}
    for number, line in read_lines(path, "lines of a label, a tab and a folder's name"):
        label, tab, name = line.partition("\t")
        if not tab or not is_whole(label) or name in labels:
            raise UserError(f"{path}: line {number}: {line!r}, expected a label, a tab and a folder's name, each once")
        labels[name] = int(label)
    if len(set(labels.values())) < len(labels):
        raise UserError(f"{path}: a label stands there twice, expected one for each folder")
    return labels


def write_labels(path: Path, labels: dict[str, int]) -> None:
    """Write a map in the order of the labels. Raises UserError for a name that it cannot hold."""
    with list_file(path) as write:
        for name, label in sorted(labels.items(), key=lambda item: item[1]):
            write(f"{label}\t{listable(name)}")


def folder_labels(folder: Path, label_map: Path | None = None) -> dict[str, int]:
    """Identity folder -> label: from the map given, from the folder's own labels.tsv, or numbered in natural order.

    Raises UserError for a folder that the map does not have.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder, expected one with one folder a person")
    names = identity_names(folder)
    if not names:
        hint = "; unpack its train.rec with rec2folder first" if (folder / "train.rec").exists() else ""
        raise UserError(f"{folder}: no folders with images in it, expected one a person{hint}")
    own = folder / LABELS
    if label_map is None and not own.exists():
        return {name: label for label, name in enumerate(natural_order(names))}
    chosen = label_map or own
    labels = read_labels(chosen)
    unknown = [name for name in names if name not in labels]
    if unknown:
        absent = counted(len(unknown), f"folder of {folder} is", f"folders of {folder} are")
        raise UserError(f"{chosen}: {absent} not in it (first: {unknown[0]}), expected all")
    return {name: labels[name] for name in names}
