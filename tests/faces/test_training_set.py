"""The faces to learn from, from every kind of source."""

from __future__ import annotations

import shutil

import pytest

from magface_al.command.errors import UserError
from magface_al.faces.training_set import open_training_set


def damaged(folder, people, how):
    """A copy of the records with one thing wrong."""
    shutil.copytree(people / "records", folder / "records")
    path = folder / "records" / "train.rec"
    if how == "truncated":
        path.write_bytes(path.read_bytes()[:-9])
    elif how == "index past the end":
        with path.with_suffix(".idx").open("a") as index:
            index.write("99\t99999999\n")
    elif how == "property":
        (folder / "records" / "property").write_text("5,112,112\n")
    elif how == "property broken":
        (folder / "records" / "property").write_text("many\n")


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("truncated", "train.rec: offset .* bytes, so the file is truncated; copy it again"),
        ("index past the end", "train.idx: record 99 starts at offset 99999999, but train.rec has"),
        ("property", "has label 9, but property announces 5 classes, numbered from 0"),
        ("property broken", "property: line 1: 'many', expected `classes,height,width`"),
    ],
)
def test_a_wrong_record_file_says_what_is_wrong(tmp_path, people, how, message):
    damaged(tmp_path, people, how)
    with pytest.raises(UserError, match=message), open_training_set([tmp_path / "records"]):
        pass


@pytest.mark.parametrize(
    ("text", "num_classes", "message"),
    [
        ("a.png 0 0 0\nb.png 0 7 0\n", 7, "line 2: id 7, expected a whole number below --num_classes 7"),
        ("a.png 0 0 0\nb.png 0 ann x 5 6\n", None, "line 2: 6 columns, expected `path identity` or `path 0 id 0`"),
        ("", None, "train.list: no images in it"),
    ],
)
def test_a_wrong_list_says_where(tmp_path, text, num_classes, message):
    (tmp_path / "train.list").write_text(text)
    with pytest.raises(UserError, match=message), open_training_set([tmp_path / "train.list"], num_classes=num_classes):
        pass
