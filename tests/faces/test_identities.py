"""Who is on an image, and groups of whatever edges connect."""

from __future__ import annotations

import pytest

from magface_al.command.errors import UserError
from magface_al.faces.identities import connected_components, identities_of, identity_folders, identity_lines


def test_components_are_of_anything_that_can_be_a_key():
    numbers = connected_components(range(6), [(0, 1), (4, 1), (2, 3)])
    assert numbers[0] == numbers[1] == numbers[4] != numbers[2] == numbers[3]
    assert numbers[5] == 5
    assert set(map(type, numbers.values())) == {int}
    pairs = connected_components([("a", 1), ("b", 2)], [(("a", 1), ("b", 2))])
    assert len(set(pairs.values())) == 1


def test_an_image_is_of_the_person_whom_its_folder_or_the_list_names(tmp_path):
    assert identities_of(["x/ann/1.jpg", "2.jpg"]) == ["ann", ""]
    (tmp_path / "who.list").write_text("x/ann/1.jpg 7\n2.jpg 0 8 0\n")
    assert identities_of(["2.jpg", "x/ann/1.jpg"], tmp_path / "who.list") == ["8", "7"]
    with pytest.raises(UserError, match=r"1 of 2 images is not in it \(first: 3.jpg\), expected all"):
        identities_of(["2.jpg", "3.jpg"], tmp_path / "who.list")
    (tmp_path / "who.list").write_text("my own.jpg 7\n")
    with pytest.raises(UserError, match="line 1: 3 columns, expected .* separated by tabs if the path has spaces"):
        list(identity_lines(tmp_path / "who.list"))


def test_a_list_is_read_line_by_line(tmp_path):
    (tmp_path / "l").write_text("a b\n\nc 0 d 0\n")
    assert list(identity_lines(tmp_path / "l")) == [(1, "a", "b"), (3, "c", "d")]


def test_identity_folders_hold_images_in_order(tmp_path):
    for name in ("b/2.PNG", "b/1.jpg", "a/1.webp", "b/notes.txt", "c/notes.txt", "d.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = {name: [image.name for image in images] for name, images in identity_folders(tmp_path).items()}
    assert found == {"a": ["1.webp"], "b": ["1.jpg", "2.PNG"]}
    assert list(identity_folders(tmp_path)) == ["a", "b"]
