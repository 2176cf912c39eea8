"""The pairs file."""

from __future__ import annotations

import json

import pytest

from magface_al.command.errors import UserError
from magface_al.pairs.pair_file import Pair, PairFile, describe, read_pairs, write_pairs
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


def test_a_pair_stands_on_a_line_of_its_own_and_everything_comes_back(tmp_path):
    pairs = [Pair("a", "ü\u2028\udc80", 1, {"similarity": 0.5, "mine": {"x": [1, "two\n"]}}), Pair("c", "d", None)]
    write_pairs(tmp_path / "p.json", pairs, root="/x", seen={"a": [1]})
    text = (tmp_path / "p.json").read_text()
    assert text.split("\n")[:2] == ["{", '  "pairs": [']
    assert [line.strip(" ,") for line in text.split("\n") if "image1" in line][
        1
    ] == '{"image1": "c", "image2": "d", "label": null}'
    again = read_pairs(tmp_path / "p.json")
    assert (again.pairs, again.extra) == (pairs, {"root": "/x", "seen": {"a": [1]}})


def test_no_pairs_and_no_further_keys_are_json_too(tmp_path):
    write_pairs(tmp_path / "p.json", [])
    assert json.loads((tmp_path / "p.json").read_text()) == {"pairs": []}


def test_numbers_that_json_does_not_have_leave_the_old_file(tmp_path):
    write_pairs(tmp_path / "p.json", [Pair("a", "b", None)])
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_pairs(tmp_path / "p.json", [Pair("a", "b", None, {"similarity": float("nan")})])
    assert len(read_pairs(tmp_path / "p.json").pairs) == 1


@pytest.mark.parametrize("root", ["x" * 5000, "\x00", "\ud800", 7, None, []])
def test_an_image_is_looked_for_wherever_the_root_points(tmp_path, root):
    (tmp_path / "a.png").touch()
    pairs = PairFile(tmp_path / "p.json", [], {"root": root})
    assert pairs.locate("a.png") == tmp_path / "a.png"
    assert pairs.locate("y" * 5000).name == "y" * 5000


def test_what_could_not_be_written_again_is_refused(tmp_path):
    path = tmp_path / "p.json"
    for levels, told in ((40, False), (60, True), (400, True)):
        nested = "[" * levels + "]" * levels
        for text in (f'[{{"image1": "a", "image2": "b", "label": 1, "mine": {nested}}}]',
                     f'{{"pairs": [{{"image1": "a", "image2": "b", "label": 1}}], "mine": {nested}}}'):  # fmt: skip
            path.write_text(text)
            if told:
                with pytest.raises(UserError, match="key 'mine' holds lists inside lists"):
                    read_pairs(path)
            else:
                read_pairs(path)


@pytest.mark.parametrize(
    "value", ["x" * 10_000, ["x"] * 10_000, [[[[[[[[[[]]]]]]]]]], {"a": {"b": "c" * 10_000}}, 10**400]
)
def test_a_refusal_is_short_whatever_stands_in_the_file(tmp_path, value):
    good = {"image1": "a", "image2": "b", "label": 1}
    for entry in (
        value,
        {**good, "image1": value if not isinstance(value, str) else "\x00" + value},
        {**good, "label": value},
    ):
        (tmp_path / "p.json").write_text(json.dumps([entry]))
        with pytest.raises(UserError) as error:
            read_pairs(tmp_path / "p.json")
        assert len(str(error.value)) < 1000
