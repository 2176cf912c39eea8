"""Several pairs files as one."""

from __future__ import annotations

import pytest

from magface_al.pairs.joined import join_files
from magface_al.pairs.pair_file import Pair, PairFile, read_pairs


def test_joined_files_know_an_image_by_its_place_and_never_let_go_of_a_random_slice(tmp_path, write_pairs_file):
    for name in ("a.png", "b.png", "c.png"):
        (tmp_path / name).touch()
    (tmp_path / "deeper").mkdir()
    asked = [
        {"image1": "a.png", "image2": "b.png", "label": 0, "holdout": True},
        {"image1": "a.png", "image2": "c.png", "label": 0},
    ]
    mined = [
        {"image1": "../b.png", "image2": "../a.png", "label": 1},
        {"image1": "../c.png", "image2": "../a.png", "label": 1},
    ]
    files = [read_pairs(write_pairs_file(asked)), read_pairs(write_pairs_file(mined, "deeper/mined.json"))]
    joined = join_files(files)
    assert [(pair.label, pair.is_holdout()) for pair in joined.pairs] == [(1, True), (1, False)]
    assert set(joined.images()) == {str(tmp_path / name) for name in ("a.png", "b.png", "c.png")}
    assert [pair.label for pair in joined.without_holdout().pairs] == [1]


SLICE = {"strategy": "random_slice", "holdout": True, "stratum": "s", "stratum_pairs": 9, "inclusion_probability": 0.5}


@pytest.mark.parametrize(
    ("earlier", "later", "kept"),
    [
        ({"strategy": "exact"}, {}, {"strategy": "exact"}),  # answered by a tool that lost it
        ({"strategy": "exact"}, {"strategy": "quality"}, {"strategy": "quality"}),
        ({"strategy": "exact"}, {"strategy": "random"}, {"strategy": "random"}),
        ({"strategy": "random"}, {"strategy": "doubted"}, {"strategy": "random"}),  # asked again: still of the sample
        ({}, {"strategy": "doubted"}, {}),
        (SLICE, {"strategy": "doubted"}, SLICE),
        ({"strategy": "exact"}, SLICE, SLICE),
    ],
)
def test_how_a_pair_was_chosen_is_not_forgotten(tmp_path, earlier, later, kept):
    files = [
        PairFile(tmp_path / f"{label}.json", [Pair("a", "b", label, extra)])
        for label, extra in ((0, {**earlier, "annotator": "ann"}), (1, {**later, "annotator": "bob"}))
    ]
    (pair,) = join_files(files).pairs
    assert (pair.label, pair.extra) == (1, {**kept, "annotator": "bob"})


def test_links_in_a_circle_are_just_no_image(tmp_path, write_pairs_file, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.png").symlink_to("b.png")
    (tmp_path / "b.png").symlink_to("a.png")
    files = [
        read_pairs(write_pairs_file([{"image1": "a.png", "image2": "c", "label": 1}], name))
        for name in ("x.json", "y.json")
    ]
    assert len(join_files(files).pairs) == 1
