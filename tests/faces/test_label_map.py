"""Maps of labels, and who numbers the folders."""

from __future__ import annotations

import pytest

from magface_al.command.errors import UserError
from magface_al.faces.label_map import beside, folder_labels, read_labels, write_labels


def test_a_map_is_written_in_the_order_of_labels_and_read_back(tmp_path):
    labels = {"ann": 10, "Bo Ray": 2, "7": 0}
    path = beside(tmp_path / "train.list")
    write_labels(path, labels)
    assert path.name == "train.list.labels.tsv"
    assert path.read_text() == "0\t7\n2\tBo Ray\n10\tann\n"
    assert read_labels(path) == labels
    with pytest.raises(UserError, match="cannot stand in a list"):
        write_labels(path, {"a\tb": 0})
    assert read_labels(path) == labels


def test_folders_are_numbered_by_the_map_given_then_their_own_then_naturally(tmp_path):
    for name in ("10", "9", "2"):
        (tmp_path / "set" / name).mkdir(parents=True)
        (tmp_path / "set" / name / "1.jpg").touch()
    assert folder_labels(tmp_path / "set") == {"2": 0, "9": 1, "10": 2}
    (tmp_path / "set" / "labels.tsv").write_text("4\t2\n0\t9\n1\t10\n8\tgone\n")
    assert folder_labels(tmp_path / "set") == {"2": 4, "9": 0, "10": 1}
    (tmp_path / "given.tsv").write_text("0\t2\n5\t10\n3\t9\n")
    assert folder_labels(tmp_path / "set", tmp_path / "given.tsv") == {"2": 0, "9": 3, "10": 5}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0\ta\n1 b\n", "line 2: '1 b', expected a label, a tab and a folder's name"),
        ("-1\ta\n", "line 1: "),
        ("0\ta\n1\ta\n", "line 2: "),
        ("0\ta\n0\tb\n", "a label stands there twice"),
    ],
)
def test_a_map_that_does_not_decide_is_refused(tmp_path, text, message):
    (tmp_path / "labels.tsv").write_text(text)
    with pytest.raises(UserError, match=message):
        read_labels(tmp_path / "labels.tsv")
