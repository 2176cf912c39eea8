"""Answers for other programs."""

from __future__ import annotations

import csv

import pytest

from magface_al.labelling.export import write_csv
from magface_al.pairs.pair_file import Pair


def test_csv_has_a_line_a_pair_and_no_formulas(tmp_path):
    vote = {"annotator": "a", "answer": "same", "labeled_at": "2026", "seconds": 1.0}
    write_csv(tmp_path / "f.csv", [Pair("=cmd()", "b,c.jpg", 1, vote), Pair("x", "y", None)])
    rows = list(csv.DictReader((tmp_path / "f.csv").read_text().splitlines()))
    assert (rows[0]["image1"], rows[0]["image2"], rows[0]["label"], rows[0]["votes"]) == (
        "'=cmd()",
        "b,c.jpg",
        "1",
        "a: same",
    )
    assert (rows[1]["label"], rows[1]["inferred"]) == ("", "0")


JUNK = [
    None,
    True,
    7,
    1e300,
    "",
    "yes",
    "=1+1",
    "\ud800",
    "a\nb\r\nc",
    [],
    ["x"],
    [{}],
    [{"annotator": ["a"], "answer": {}}],
    {},
    {"a": 1},
]


@pytest.mark.parametrize("value", JUNK, ids=lambda value: repr(value)[:12])
def test_a_csv_is_written_whatever_the_pairs_file_held(tmp_path, value):
    """These keys may stand in a pairs file of anybody's, beside pairs that nobody has answered."""
    keys = ("answer", "annotator", "labeled_at", "seconds", "answers", "inferred", "similarity", "strategy", "votes")
    pairs = [Pair("a", "b", None, {key: value}) for key in keys]
    write_csv(tmp_path / "f.csv", [*pairs, Pair("a", "b", None, dict.fromkeys(keys, value))])
    with (tmp_path / "f.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(keys) + 1
    assert not [cell for row in rows for cell in row.values() if cell[:1] in ("=", "+", "@")]
