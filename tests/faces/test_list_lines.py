"""The one rule for the columns of lists, and every reader and writer of a list under it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from magface_al.command.errors import UserError
from magface_al.faces.identities import identity_lines, read_identity_list
from magface_al.faces.image_list import read_image_list
from magface_al.faces.list_lines import columns, line_of, list_file
from magface_al.faces.train_list import read_train_list
from magface_al.pairs.verification_sets import read_verification_set

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("a.jpg 0 3 0", ["a.jpg", "0", "3", "0"]),
        ("  a.jpg   7 ", ["a.jpg", "7"]),
        ("my faces/a.jpg\t0\t3\t0", ["my faces/a.jpg", "0", "3", "0"]),
        ("my faces/a.jpg\t", ["my faces/a.jpg"]),
        (" Ann Lee \t1 \t12", ["Ann Lee", "1", "12"]),
        ("", []),
    ],
)
def test_tabs_separate_columns_where_there_is_one_and_white_space_otherwise(line, found):
    assert columns(line) == found


@pytest.mark.parametrize(
    "values",
    [("a.jpg", "0", "3", "0"), ("a.jpg",), ("my faces/a.jpg",), ("my faces/a.jpg", "b c.jpg", "1"), ("a\u00a0b", "1")],
)
def test_a_line_gives_back_what_it_was_made_of_and_has_tabs_only_where_it_must(values):
    line = line_of(*values)
    assert columns(line) == list(values)
    assert ("\t" in line) == any(len(value.split()) > 1 for value in values)


@pytest.mark.parametrize("path", ["a\tb.jpg", "a\nb.jpg", "a\rb.jpg", " a.jpg", "a.jpg ", ""])
def test_what_no_line_can_hold_is_refused_in_words(path):
    with pytest.raises(UserError, match="cannot stand in a list, whose columns end at tabs"):
        line_of(path, 0, 1, 0)


def test_every_list_takes_paths_with_spaces(tmp_path):
    (tmp_path / "train.list").write_text("my own/a.jpg\t0\t3\t0\nb.jpg 0 4 0\n")
    assert list(read_train_list(tmp_path / "train.list")) == [("my own/a.jpg", 3), ("b.jpg", 4)]
    assert read_identity_list(tmp_path / "train.list") == {"my own/a.jpg": "3", "b.jpg": "4"}
    (tmp_path / "who.list").write_text("my own/a.jpg\tAnn Lee\nb.jpg Bo\n")
    assert read_identity_list(tmp_path / "who.list") == {"my own/a.jpg": "Ann Lee", "b.jpg": "Bo"}
    (tmp_path / "images.list").write_text("my own/a.jpg\t\nmy own/b.jpg\t5\nc.jpg 5\n")
    names = [name for name, _ in read_image_list(tmp_path / "images.list", allow_spaces=True)]
    assert names == ["my own/a.jpg", "my own/b.jpg", "c.jpg"]
    (tmp_path / "pair.list").write_text("my own/a.jpg\tb.jpg\t1\nb.jpg c.jpg 0\n")
    pairs = read_verification_set(tmp_path / "pair.list").pairs
    assert [(pair.image1, pair.image2) for pair in pairs] == [("my own/a.jpg", "b.jpg"), ("b.jpg", "c.jpg")]


def test_a_list_that_was_not_finished_does_not_appear(tmp_path):
    with pytest.raises(KeyboardInterrupt), list_file(tmp_path / "a.list") as write:
        write("a.jpg")
        raise KeyboardInterrupt
    assert not list(tmp_path.iterdir())


def test_nobody_else_decides_where_a_column_ends():
    """The .idx of a RecordIO file and its `property` hold numbers only."""
    numbers_only = {"recordio.py", "class_numbers.py"}
    for folder in ("faces", "pairs", "conversion"):
        for path in (ROOT / "magface_al" / folder).rglob("*.py"):
            splits = re.findall(r"\bline\.split\(|split\(.\\t|splitlines\(\)", path.read_text())
            assert not splits or path.name in {"list_lines.py", *numbers_only}, path


@pytest.mark.parametrize("line", ["a.png 0 1 0\t", "a.png\t0 1 0", "a.png\t0\t1\t0", "a.png 0 1 0"])
def test_a_tab_that_another_tool_left_does_not_change_the_columns(tmp_path, line):
    assert columns(line, (4,)) == ["a.png", "0", "1", "0"]
    (tmp_path / "train.list").write_text(line + "\n")
    assert list(read_train_list(tmp_path / "train.list")) == [("a.png", 1)]
    identity = "0 1 0" if line == "a.png\t0 1 0" else "1"  # two columns: path and identity
    assert list(identity_lines(tmp_path / "train.list")) == [(1, "a.png", identity)]
    (tmp_path / "a.png").touch()
    assert [name for name, _ in read_image_list(tmp_path / "train.list", tmp_path, allow_spaces=True)] == ["a.png"]


def test_a_lone_path_with_spaces_is_followed_by_a_tab(tmp_path):
    (tmp_path / "my face.png").touch()
    (tmp_path / "images.list").write_text("my face.png\t\nabsent face.png\t\nmy face.png\n")
    names = [name for name, _ in read_image_list(tmp_path / "images.list", tmp_path, allow_spaces=True)]
    assert names == ["my face.png", "absent face.png", "my face.png"]


def test_a_list_replaces_no_picture(tmp_path):
    (tmp_path / "1.jpg").write_bytes(b"\xff\xd8\xffrest")  # in the list that is copied, perhaps
    with (
        pytest.raises(UserError, match=r"1\.jpg: a picture \(image/jpeg\) that would be written over"),
        list_file(tmp_path / "1.jpg"),
    ):
        pass
    assert (tmp_path / "1.jpg").read_bytes() == b"\xff\xd8\xffrest"
