"""A real change of camera, learnt from answers by fine-tuning: held-out people gain, and their clean photos do not lose."""

from __future__ import annotations

import json

import pytest

REPLAY = ["benchmarks/real_domain_shift.py", "--recipes", "replay", "--resamples", 100, "--work_dir", "shift"]


def table(tmp_path):
    """(figures before, figures after)"""
    found = json.loads((tmp_path / "shift" / "table.json").read_text())
    return found["start"], found["replay"]


@pytest.mark.slow(80)
def test_a_bad_camera_is_learnt_from_few_answers_without_forgetting(shared_data, run_process, tmp_path):
    run_process(*REPLAY, "--data", shared_data, "--people", 60, "--answers", 200)
    start, tuned = table(tmp_path)
    assert 9 < start["shifted"]["eer"] < 14
    assert tuned["shifted"]["eer"] <= 0.8 * start["shifted"]["eer"]
    assert tuned["shifted"]["change_interval_95"][1] < -1
    assert tuned["clean"]["change"] <= 0.3


@pytest.mark.full
def test_a_bad_camera_is_learnt_from_500_answers_without_forgetting(shared_data, run_process, tmp_path):
    run_process(*REPLAY, "--data", shared_data, timeout=3600)
    start, tuned = table(tmp_path)
    assert tuned["shifted"]["eer"] <= 0.7 * start["shifted"]["eer"]
    assert tuned["shifted"]["change_interval_95"][1] < 0
    assert tuned["clean"]["change"] <= 0.1
