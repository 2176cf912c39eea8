"""choose_pairs.py on drawn embeddings, at a small size."""

from __future__ import annotations

import re


def test_questions_are_chosen_and_the_time_and_memory_it_took_are_told(run_process):
    done = run_process("benchmarks/bench_choosing.py", "--images", 1000, "--budget", 20, "--force_cpu")
    shares = re.search(r"wrote 20 pairs to ask about \((.*)\)", done.stdout)[1].split(", ")
    counts = {name: int(count) for count, name in (share.split() for share in shares)}
    assert counts["random_slice"] == 3  # 15 %
    assert sum(counts.values()) == 20
    resident = float(re.search(r"choose_pairs.py: \d\S* s\nat most (\S+) GiB resident", done.stdout)[1])
    assert 0.1 < resident < 4
