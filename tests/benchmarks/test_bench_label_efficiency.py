"""What a question is worth, at a size that tests allow."""

from __future__ import annotations

import json

import numpy as np
import pytest


@pytest.mark.slow
def test_the_benchmark_of_label_efficiency_prints_its_table(run_script, tmp_path):
    done = run_script("benchmarks/bench_label_efficiency.py", "--seeds", 2, "--people", 12, "--held_out", 10, "--images", 3,
                      "--rounds", 10, 20, "--strategies", "random", "hardest", "mix", "--output_dir", "out")  # fmt: skip
    found = json.loads((tmp_path / "out" / "drawn.json").read_text())
    assert {name: np.shape(rates) for name, rates in found["eer"].items()} == dict.fromkeys(
        ["random", "hardest", "mix"], (2, 2)
    )
    change = np.mean(np.array(found["eer"]["hardest"]) - np.array(found["start"])[:, None], axis=0)
    row = next(line for line in done.stdout.splitlines() if line.startswith("| hardest |"))
    assert [float(cell.split()[0]) for cell in row.split("|")[2:4]] == pytest.approx(change, abs=0.006)
    assert (tmp_path / "out" / "drawn.png").stat().st_size > 10_000
