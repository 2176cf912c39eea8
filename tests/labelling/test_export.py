"""Answers for other programs."""

from __future__ import annotations

import csv

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
