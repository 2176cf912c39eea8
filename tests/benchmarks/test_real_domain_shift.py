"""A real change of camera, learnt from answers."""

from __future__ import annotations

import json

import pytest


@pytest.mark.slow
def test_a_bad_camera_is_learnt_from_500_answers_without_forgetting(shared_data, run_script, tmp_path):
    run_script(
        "benchmarks/real_domain_shift.py",
        "--data",
        shared_data,
        "--work_dir",
        tmp_path,
        "--recipes",
        "replay",
        "--resamples",
        100,
        timeout=1800,
    )
    table = json.loads((tmp_path / "table.json").read_text())
    start, tuned = table["start"], table["replay"]
    assert tuned["shifted"]["eer"] <= 0.7 * start["shifted"]["eer"]
    assert tuned["shifted"]["change_interval_95"][1] < 0
    assert tuned["clean"]["change"] <= 0.1
