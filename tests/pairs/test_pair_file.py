"""The pairs file."""

from __future__ import annotations

import pytest

from magface_al.command.errors import UserError
from magface_al.pairs.pair_file import Pair, describe, read_pairs, write_pairs
from magface_al.pairs.people import contradictions, image_identities


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{not json", "line 1: not JSON"),
        ({"items": []}, 'key "pairs" is missing'),
        ({"pairs": []}, "the list of pairs is empty"),
        ([{"image1": "a", "image2": "b", "label": 1}, {"image1": "a", "label": 1}], 'pair 1: key "image2" is missing'),
        ([{"image1": "a", "image2": "b", "label": "yes"}], "pair 0: key \"label\" is 'yes', expected 1"),
        ([{"image1": "a", "image2": "b"}], 'pair 0: key "label" is missing'),
        ([{"image1": 3, "image2": "b", "label": 1}], 'pair 0: key "image1" is 3'),
        (["x"], "pair 0: 'x', expected an object"),
    ],
)
def test_bad_files_are_refused_with_index_and_key(write_pairs_file, content, message):
    with pytest.raises(UserError, match=message.replace("(", r"\(")):
        read_pairs(write_pairs_file(content))


def test_unknown_keys_survive_a_rewrite(tmp_path, write_pairs_file):
    entry = {"image1": "a", "image2": "b", "label": None, "annotator": "me", "seconds": 1.5}
    first = read_pairs(write_pairs_file({"pairs": [entry], "budget": 3}))
    write_pairs(tmp_path / "again.json", first.pairs, **first.extra)
    again = read_pairs(tmp_path / "again.json")
    assert (again.pairs, again.extra) == (first.pairs, {"budget": 3})
    with pytest.raises(UserError, match="none of its pairs has a label"):
        again.labelled()


def test_images_are_found_beside_the_file_then_in_the_working_directory(tmp_path, write_pairs_file, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here.jpg").touch()
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "there.jpg").touch()
    write_pairs_file([{"image1": "there.jpg", "image2": "here.jpg", "label": 1}], "data/p.json")
    pairs = read_pairs(tmp_path / "data" / "p.json")
    assert pairs.locate("there.jpg") == tmp_path / "data" / "there.jpg"
    assert pairs.locate("here.jpg").exists()


def test_same_answers_join_images_and_contradictions_show():
    pairs = [Pair("a", "b", 1), Pair("b", "c", 1), Pair("a", "c", 0), Pair("a", "d", 0)]
    identity = image_identities(pairs)
    assert identity["a"] == identity["c"] != identity["d"]
    assert contradictions(pairs) == [pairs[2]]


def test_pairs_are_described_in_words():
    pairs = [Pair("a", "b", 1), Pair("a", "c", 0), Pair("a", "d", None)]
    assert describe(pairs) == "3 pairs (1 same, 1 different, 1 unanswered)"
    assert describe(pairs[:1]) == "1 pair (1 same)"
    assert describe([]) == "no pairs"


@pytest.mark.parametrize("second", [("a", "b"), ("b", "a")])
def test_a_pair_with_both_labels_is_refused_where_answers_are_the_truth(write_pairs_file, second):
    entries = [("a", "c", 0), ("a", "b", 1), ("a", "b", None), (*second, 0), ("c", "a", 0)]
    found = read_pairs(
        write_pairs_file([{"image1": image1, "image2": image2, "label": label} for image1, image2, label in entries])
    )
    assert found.with_both_labels() == [(1, 3)]
    with pytest.raises(UserError, match=r"pair 1 \(1\) and pair 3 \(0\) are the same two images with both labels"):
        found.labelled()
    same = read_pairs(write_pairs_file([{"image1": "a", "image2": "b", "label": 1}] * 2))
    assert len(same.labelled().pairs) == 2


@pytest.mark.parametrize("name", ["a\0b.png", "\ud800.png", "x" * 256, "x/" * 2100 + "a.png", ""])
def test_what_no_file_is_called_is_refused(write_pairs_file, name):
    with pytest.raises(UserError, match='pair 0: key "image1" is '):
        read_pairs(write_pairs_file([{"image1": name, "image2": "b", "label": 1}]))


@pytest.mark.parametrize("root", [3, ["a"], "a\0b", {}])
def test_a_root_that_is_no_folder_is_refused(write_pairs_file, root):
    with pytest.raises(UserError, match='key "root" is '):
        read_pairs(write_pairs_file({"pairs": [{"image1": "a", "image2": "b", "label": 1}], "root": root}))
