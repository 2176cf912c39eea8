"""choose_pairs.py on drawn embeddings: what it takes."""

from __future__ import annotations

import re

from tests.support.documents import commands


def test_the_benchmark_of_choosing_says_what_it_took(run_process):
    done = run_process("benchmarks/bench_choosing.py", "--images", 1000, "--budget", 20, "--force_cpu")
    assert "wrote 20 pairs to ask about" in done.stdout
    assert re.search(r"choose_pairs.py: \d+\.\d s\nat most \d\.\d\d GiB resident", done.stdout)
    assert any("bench_choosing.py" in line for line in commands("CONTENT.md"))
