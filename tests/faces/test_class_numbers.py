"""From ids to class numbers."""

from __future__ import annotations

import numpy as np
import pytest

from magface_al.command.errors import UserError
from magface_al.faces.class_numbers import natural_order, number_identities, read_property


def test_names_are_in_the_order_of_numbers_only_where_all_are_whole_numbers():
    assert natural_order(["10", "9", "2", "10"]) == ["2", "9", "10"]
    assert natural_order(["10", "9", "2", "ann"]) == ["10", "2", "9", "ann"]
    assert natural_order(["10", "9", "-2"]) == ["-2", "10", "9"]


def test_identities_are_numbered_in_order_and_gaps_are_told():
    labels, classes, notes = number_identities(["10", "2", "10", "5"], None)
    assert (labels.tolist(), classes) == ([2, 0, 2, 1], ["2", "5", "10"])
    assert notes == ["8 of the ids 0 to 10 have no image; the others are numbered without gaps (first: 0)"]
    assert number_identities(["0", "1", "2"], None)[2] == []
    labels, classes, notes = number_identities(["b", "10", "2"], None)
    assert (labels.tolist(), classes, notes) == ([2, 0, 1], ["10", "2", "b"], [])
    labels, classes, notes = number_identities(["3", "0"], 5)
    assert (labels.tolist(), len(classes)) == ([3, 0], 5)
    assert "2 of the ids 0 to 3 have no image and stay in the classifier (first: 1)" in notes


def test_ids_that_are_numbers_are_numbered_as_such():
    labels, classes, _ = number_identities(["1", "01", "10", "9"], None)
    assert (labels.tolist(), classes) == ([0, 0, 2, 1], ["1", "9", "10"])
    labels, classes, _ = number_identities(["1", "01", "ann"], None)
    assert (labels.tolist(), classes) == ([1, 0, 2], ["01", "1", "ann"])
    assert natural_order(["1", "01", "10", "9"]) == ["01", "1", "9", "10"]


def test_gaps_of_one_are_told_in_the_singular():
    labels, classes, notes = number_identities(["000010", "000002"], None)
    assert (labels.tolist(), classes) == ([1, 0], ["2", "10"])
    assert notes == ["9 of the ids 0 to 10 have no image; the others are numbered without gaps (first: 0)"]
    assert number_identities(["0", "2"], None).notes == [
        "1 of the ids 0 to 2 has no image; the others are numbered without gaps (first: 1)"
    ]
    assert number_identities(["0", "2"], 3).notes == [
        "1 of the ids 0 to 2 has no image and stays in the classifier (first: 1)"
    ]


def test_numbers_of_an_array_are_called_what_the_map_says():
    ids = np.array([7, 2, 7, 4])
    labels, classes, notes = number_identities(ids, None, {2: "bob", 7: "ann"})
    assert (labels.tolist(), classes) == ([2, 0, 2, 1], ["bob", "4", "ann"])
    assert notes == ["5 of the ids 0 to 7 have no image; the others are numbered without gaps (first: 0)"]
    labels, classes, _ = number_identities(ids, 9, {2: "bob", 7: "ann"})
    assert (labels.tolist(), labels.dtype) == ([7, 2, 7, 4], np.int64)
    assert classes == ["0", "1", "bob", "3", "4", "5", "6", "ann", "8"]


@pytest.mark.parametrize("identity", ["3", "-1", "ann", "1.0"])
def test_an_id_that_is_no_class_number_is_refused_with_the_place(identity):
    with pytest.raises(UserError, match=f"a.list: id {identity}, expected a whole number below --num_classes 3"):
        number_identities(["0", identity], 3, where="a.list")


@pytest.mark.parametrize(("content", "classes"), [("10,112,112\n60\n", 10), (" 7 ,112,112", 7)])
def test_the_property_file_announces_the_classes(tmp_path, content, classes):
    assert read_property(tmp_path / "property") is None
    (tmp_path / "property").write_text(content)
    assert read_property(tmp_path / "property") == classes
