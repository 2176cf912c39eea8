"""What a question is worth, strategy by strategy, at a small size: the table says what the runs found."""

from __future__ import annotations

import json

import numpy as np
import pytest


@pytest.mark.slow(6)
def test_the_table_is_the_mean_change_of_the_runs(run_script, tmp_path):
    done = run_script("benchmarks/bench_label_efficiency.py", "--seeds", 2, "--people", 12, "--held_out", 10, "--images", 3,
                      "--rounds", 10, 20, "--steps", 40, "--strategies", "random", "hardest", "mix", "--output_dir", "out")  # fmt: skip
    found = json.loads((tmp_path / "out" / "drawn.json").read_text())
    assert all(5 < start < 40 for start in found["start"])  # of the demo model under the camera cctv
    rates = {name: np.array(of_seeds) for name, of_seeds in found["eer"].items()}
    assert {name: of_seeds.shape for name, of_seeds in rates.items()} == dict.fromkeys(
        ["random", "hardest", "mix"], (2, 2)
    )
    changes = {name: of_seeds - np.array(found["start"])[:, None] for name, of_seeds in rates.items()}
    assert all(
        0.05 < np.abs(change).max() < 15 for change in changes.values()
    )  # something was learnt, nothing was wrecked
    for name, change in changes.items():
        row = next(line for line in done.stdout.splitlines() if line.startswith(f"| {name} |"))
        assert [float(cell.split()[0]) for cell in row.split("|")[2:4]] == pytest.approx(change.mean(axis=0), abs=0.006)
    assert (tmp_path / "out" / "drawn.png").stat().st_size > 10_000
