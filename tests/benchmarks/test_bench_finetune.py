"""A step of fine-tuning against a plain one, at a small size."""

from __future__ import annotations

import re

import pytest


@pytest.mark.slow(3)
def test_the_step_has_the_loss_of_the_plain_one(run_script):
    done = run_script("benchmarks/bench_finetune.py", "--batch_size", 2, "--rounds", 1, "--force_cpu")
    plain, ours = map(float, re.search(r"loss of the first step: plain (\S+), magface-al (\S+)", done.stdout).groups())
    assert 0 < plain == pytest.approx(ours, abs=2e-4)
