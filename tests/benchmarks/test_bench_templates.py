"""evaluate_templates.py on a set drawn in the size of IJB."""

from __future__ import annotations

import re

import pytest

from tests.support.documents import commands


@pytest.mark.slow
def test_the_benchmark_of_ijb_s_size_runs_and_says_what_it_took(run_process):
    done = run_process("benchmarks/bench_templates.py", "--scale", "0.002")
    assert re.search(
        r"evaluate_templates.py: \d+\.\d s, \d+\.\d s of processor time\nat most \d\.\d\d GiB resident", done.stdout
    )
    assert "| features.npy | all " in done.stdout
    assert any("bench_templates.py" in line for line in commands("CONTENT.md"))
