"""Image lists: one path a line."""

from __future__ import annotations

import pytest

from magface_al.command.errors import UserError
from magface_al.faces.image_list import image_columns, read_image_list


def test_paths_are_counted_and_found_under_the_root_without_blank_lines_and_further_columns(tmp_path):
    (tmp_path / "images.list").write_text("a/1.jpg 0 7 0\n\n/b/2.jpg\n  c.jpg\n")
    images = read_image_list(tmp_path / "images.list", tmp_path / "root", allow_spaces=False)
    assert images.count == 3
    under = tmp_path / "root"
    expected = [("a/1.jpg", under / "a/1.jpg"), ("/b/2.jpg", under / "/b/2.jpg"), ("c.jpg", under / "c.jpg")]
    assert list(images) == list(images) == expected
    assert str(expected[1][1]) == "/b/2.jpg"
    (tmp_path / "images.list").write_text("\n \n")
    with pytest.raises(UserError, match="images.list: no image paths in it, expected one a line"):
        read_image_list(tmp_path / "images.list", allow_spaces=True)


def test_only_a_file_as_a_whole_has_spaces_without_a_tab(tmp_path):
    (tmp_path / "my own.jpg").touch()
    (tmp_path / "a folder").mkdir()
    assert image_columns("my own.jpg", tmp_path) == ["my own.jpg"]
    assert image_columns("my own.jpg 7", tmp_path) == ["my", "own.jpg", "7"]
    assert image_columns("my own.jpg\t7", tmp_path) == ["my own.jpg", "7"]
    assert image_columns("a folder", tmp_path) == ["a", "folder"]


def test_a_line_that_is_a_file_as_a_whole_is_one_path_of_an_image_list(tmp_path):
    (tmp_path / "my own a.jpg").touch()
    (tmp_path / "images.list").write_text("my own a.jpg\nb.jpg further columns\n")
    found = read_image_list(tmp_path / "images.list", tmp_path, allow_spaces=True)
    assert [name for name, _ in found] == ["my own a.jpg", "b.jpg"]
    with pytest.raises(
        UserError, match="line 1: the path 'my own a.jpg' contains a space, which the text store cannot hold"
    ):
        read_image_list(tmp_path / "images.list", tmp_path, allow_spaces=False)


def test_what_runs_leave_in_a_folder_of_images_is_no_image(tmp_path):
    """`find -type f` lists it: after kill -9 a lock stays."""
    (tmp_path / "images.list").write_text(".lock\na/.lock\na/.magface_al-0123456789abcdef.part\na/1.jpg\n")
    images = read_image_list(tmp_path / "images.list", allow_spaces=False)
    assert (images.count, [name for name, _ in images]) == (1, ["a/1.jpg"])
