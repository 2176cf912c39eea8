"""The exact search for hard pairs against the bare matrix product and the random recipe, at a small size."""

from __future__ import annotations

import re

import numpy as np
import pytest


def test_the_impostors_are_the_hardest_of_all_and_harder_than_random_ones(run_script):
    done = run_script("benchmarks/bench_mining.py", "--images", 1000, "--force_cpu")
    exact, drawn = map(
        float, re.search(r"median cosine of the impostors: exact (\S+), random (\S+)", done.stdout).groups()
    )
    rng = np.random.default_rng(0)  # the benchmark's own embeddings
    person = np.arange(1000) // 10
    vectors = (rng.normal(size=(100, 512))[person] + rng.normal(size=(1000, 512))).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    cosine = np.sort((vectors @ vectors.T)[np.triu(person[:, None] != person)])
    assert exact == pytest.approx(np.median(cosine[-6000:]), abs=1e-3)
    assert np.median(cosine) < drawn < exact
