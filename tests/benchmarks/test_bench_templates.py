"""evaluate_templates.py on a set drawn in the shape of IJB-C, at a small size."""

from __future__ import annotations

import re


def test_drawn_people_are_found_and_the_time_and_memory_it_took_are_told(run_process):
    done = run_process("benchmarks/bench_templates.py", "--scale", "0.002")
    told = re.search(
        r"evaluate_templates.py: \d\S* s, \d\S* s of processor time\nat most (\S+) GiB resident", done.stdout
    )
    resident = float(told[1])
    assert 0.02 < resident < 2  # PyTorch is not loaded
    auc = float(re.search(r"\| features.npy \| none \|.*\| +(\S+) % \|.*\|$", done.stdout, re.MULTILINE)[1])
    rank_1 = float(re.search(r"\| features.npy \| all +\| +39 \| +(\S+) %", done.stdout)[1])
    assert 95 < auc < 100
    assert rank_1 >= 90
