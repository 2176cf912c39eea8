"""How far each stage goes, at a small size: every stage runs, and its row says of how much."""

from __future__ import annotations

import re

import pytest

from tests.support.scripts import ROOT

SIZES = ["--pairs", 3000, "--lines", 200, "--images", 400, "--vectors", 500]
LIGHT = ["label_pairs", "label_pairs_again", "evaluate_quality", "merge_lists", "large_store"]
ALL = re.findall(r'^    "(\w+)": \(', (ROOT / "benchmarks" / "limits.py").read_text(), re.MULTILINE)


@pytest.mark.parametrize(
    "stages", [pytest.param(LIGHT, marks=pytest.mark.slow(10)), pytest.param(ALL, marks=pytest.mark.full)]
)
def test_every_stage_has_a_row(run_process, stages):
    done = run_process("benchmarks/limits.py", *SIZES, "--stages", *stages)
    rows = re.findall(r"^\| (\w+) \| ([\d,]+) .* \| [\d.]+ \| ([\d.]+) \| [\d.]+ \|$", done.stdout, re.MULTILINE)
    assert [name for name, _, _ in rows] == stages
    counts = {name: count for name, count, _ in rows}
    assert counts["label_pairs"] == counts["evaluate_quality"] == "3,000"
    assert (counts["merge_lists"], counts["large_store"]) == ("200", "500")
    assert all(0 < float(resident) < 4 for _, _, resident in rows)
