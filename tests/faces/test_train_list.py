"""Training lists, and identity folders as such lists."""

from __future__ import annotations

import pytest

from magface_al.command.errors import UserError
from magface_al.faces.train_list import Counts, folder_entries, read_train_list, write_train_list


def test_what_is_written_is_counted_and_read_back(tmp_path):
    entries = [("a/1.jpg", 0), ("my own/2.jpg", 5), ("a/3.jpg", 0)]
    counts = write_train_list(tmp_path / "train.list", iter(entries))
    assert (tmp_path / "train.list").read_text() == "a/1.jpg 0 0 0\nmy own/2.jpg\t0\t5\t0\na/3.jpg 0 0 0\n"
    assert list(read_train_list(tmp_path / "train.list")) == entries
    assert counts == Counts(3, 2, 5)
    assert counts.describe() == "3 images of 2 people"
    assert counts.gaps() == "4 labels up to 5 have no images; a classifier needs 6 outputs"
    assert Counts(3, 6, 5).gaps() is None
    with pytest.raises(UserError, match=r"none.list: no images for it"):
        write_train_list(tmp_path / "none.list", [])
    assert not (tmp_path / "none.list").exists()


@pytest.mark.parametrize("line", ["a.jpg 0 -1 0", "a.jpg 0 ann 0", "a.jpg 3", "my own/a.jpg 0 3 0"])
def test_another_line_is_refused_by_its_number(tmp_path, line):
    (tmp_path / "train.list").write_text(f"b.jpg 0 1 0\n\n{line}\n")
    with pytest.raises(UserError, match=f"line 3: '{line}', expected `path 0 id 0` .* by tabs if the path has spaces"):
        list(read_train_list(tmp_path / "train.list"))


def test_folders_are_entries_in_the_order_of_labels_then_names(tmp_path):
    for name in ("a/2.jpg", "a/1.png", "b/1.jpg", "b/notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = list(folder_entries(tmp_path, {"a": 4, "b": 1}))
    assert found == [(f"{tmp_path}/b/1.jpg", 1), (f"{tmp_path}/a/1.png", 4), (f"{tmp_path}/a/2.jpg", 4)]


def test_names_that_are_not_utf_8_survive(tmp_path):
    name = b"caf\xe9.jpg".decode("utf-8", "surrogateescape")
    write_train_list(tmp_path / "a.list", [(name, 0)])
    assert (tmp_path / "a.list").read_bytes() == b"caf\xe9.jpg 0 0 0\n"
    assert list(read_train_list(tmp_path / "a.list")) == [(name, 0)]
