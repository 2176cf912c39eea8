"""The questions of a batch: what choosing them takes."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.support.scripts import ROOT


@pytest.mark.slow(6)
@pytest.mark.process
def test_memory_holds_no_matrix_of_all_pairs(tmp_path):
    """12,000 images, of which the matrix of all similarities would be 576 MB. What is held does not grow with them."""
    code = f"""
import resource, sys
sys.path.insert(0, {str(ROOT)!r})
import numpy as np
from magface_al.choosing.asked import Asked
from magface_al.choosing.questions import Pool, choose
from magface_al.choosing.wishes import Wishes
from magface_al.metrics.cosine import unit
rng = np.random.default_rng(0)
directions = unit(rng.normal(size=(12_000, 16)))
asked = Asked(np.empty((0, 2), np.int64), np.empty(0, np.int64), np.empty(0, np.int64), [])
magnitude = rng.uniform(5, 30, 12_000)
names = [str(k) for k in range(12_000)]
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
pairs = choose(Pool(names, directions, magnitude), asked, Wishes(budget=100), rng)
print(len(pairs), (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    count, grown = map(int, done.stdout.split())
    assert count == 100
    assert grown < 450, f"{grown} MB"
