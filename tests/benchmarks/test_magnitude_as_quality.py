"""What the magnitude says about a picture."""

from __future__ import annotations

import runpy

import numpy as np
import pytest
import scipy.stats

from tests.support.scripts import ROOT


@pytest.mark.slow(4)
def test_the_magnitude_has_learnt_what_a_bad_picture_is(run_script):
    """The demo model was never told; the benchmark spoils pictures of people whom it never saw."""
    script = "benchmarks/magnitude_as_quality.py"
    done = run_script(script, "--checkpoint", ROOT / "assets" / "demo_magface.pth", "--people", 10, "--force_cpu")
    within = {line[:24].strip(): float(line[24:].split()[0]) for line in done.stdout.splitlines() if " -> " in line}
    assert len(within) == 6
    assert within["all five, mildly"] < -0.7
    assert within["darkness, to 15 %"] < -0.7
    spearman = runpy.run_path(str(ROOT / script))["spearman"]
    a, b = np.random.default_rng(0).integers(0, 9, (2, 50))
    assert spearman(a, b) == pytest.approx(scipy.stats.spearmanr(a, b).statistic)
