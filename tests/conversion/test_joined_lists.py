"""Several lists as one."""

from __future__ import annotations

from pathlib import Path

import pytest

from magface_al.command.errors import UserError
from magface_al.conversion.joined_lists import compound, merge_lists
from magface_al.faces.train_list import Counts


@pytest.fixture(autouse=True)
def lists(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("a.list").write_text("x/1.jpg 0 4 0\nx/2.jpg 0 0 0\nx/1.jpg 0 4 0\n")
    Path("b.list").write_text("y/1.jpg 0 1 0\nx/2.jpg 0 0 0\n")


def test_image_lists_with_spaces_can_be_merged():
    Path("my own a.jpg").touch()
    Path("one.list").write_text("my own a.jpg\nb.jpg\n")
    Path("two.list").write_text("b.jpg\nmy own c.jpg\t\n")
    assert merge_lists([Path("one.list"), Path("two.list")], Path("all.list")) == (3, 1)
    assert Path("all.list").read_text() == "my own a.jpg\t\nb.jpg\nmy own c.jpg\t\n"


def test_the_first_of_each_entry_stays_within_one_list_and_over_several():
    assert merge_lists([Path("a.list"), Path("b.list")], Path("all.list")) == (3, 2)
    assert Path("all.list").read_text() == "x/1.jpg 0 4 0\nx/2.jpg 0 0 0\ny/1.jpg 0 1 0\n"
    Path("pair.list").write_text("a b 1\nb a 1\na c 0\n")
    assert merge_lists([Path("pair.list")], Path("pairs.list")) == (2, 1)
    Path("odd.list").write_text("b a 0\n")
    with pytest.raises(
        UserError, match=r"pairs.list: not written, a b has label 0 in one list and another in one before"
    ):
        merge_lists([Path("pair.list"), Path("odd.list")], Path("pairs.list"))
    assert Path("pairs.list").read_text() == "a b 1\na c 0\n"


def test_each_part_begins_above_the_largest_label_of_the_one_before():
    Path("a.list").write_text("x/1.jpg 0 4 0\nx/2.jpg 0 0 0\n")
    Path("b.list").write_text("y/1.jpg 0 1 0\n")
    Path("c.list").write_text("z/1.jpg 0 0 0\nz/2.jpg 0 0 0\n")
    parts, counts = compound([Path("a.list"), Path("b.list"), Path("c.list")], Path("all.list"))
    assert [(part.offset, part.classes, part.images) for part in parts] == [(0, 5, 2), (5, 2, 1), (7, 1, 2)]
    assert counts == Counts(5, 4, 7)
    lines = ["x/1.jpg 0 4 0", "x/2.jpg 0 0 0", "y/1.jpg 0 6 0", "z/1.jpg 0 7 0", "z/2.jpg 0 7 0"]
    assert Path("all.list").read_text().splitlines() == lines
    assert Path("all.list.labels.tsv").read_text() == "0\ta.list:0\n4\ta.list:4\n6\tb.list:1\n7\tc.list:0\n"


def test_an_image_of_two_parts_is_refused_before_anything_is_written():
    Path("a.list").write_text("x/1.jpg 0 4 0\nx/2.jpg 0 0 0\n")
    with pytest.raises(UserError, match="x/2.jpg is listed twice in the sources"):
        compound([Path("a.list"), Path("b.list")], Path("all.list"))
    assert not list(Path().glob("all.list*"))
