"""A step of training against a plain one, and a classifier in shards against a whole one, at a small size."""

from __future__ import annotations

import re

import pytest


@pytest.mark.slow(20)
def test_the_step_has_the_loss_of_the_plain_one_and_shards_take_less_memory(run_process):
    flags = ["--arch", "iresnet_tiny", "--batch_size", 4, "--rounds", 1, "--classes", 40_000, "--force_cpu"]
    done = run_process("benchmarks/bench_train.py", *flags)
    plain, ours = map(float, re.search(r"loss of the first step: plain (\S+), magface-al (\S+)", done.stdout).groups())
    assert 10 < plain == pytest.approx(ours, abs=2e-3)
    whole, split = map(int, re.search(r"whole (\d+) MiB a process, split (\d+) MiB", done.stdout).groups())
    weights = 40_000 * 512 * 4 / 2**20  # 78 MiB; gradient, momentum and logits come on top
    assert whole > 3 * weights
    assert split < whole - weights
