"""Each benchmark of a part against its plain reference, at a size that tests allow."""

from __future__ import annotations

import re

import pytest

from tests.support.documents import commands


@pytest.mark.slow
@pytest.mark.parametrize(
    ("benchmark", "flags", "rows"),
    [
        ("bench_features.py", ["--rows", 300, "--images", 2, "--arch", "iresnet18"], ["write, binary", "write, text", "read, text", "embed 2 faces"]),
        ("bench_mining.py", ["--images", 1000], ["hardest impostors", "random impostors"]),
        ("bench_finetune.py", ["--batch_size", 2, "--rounds", 1], ["one step"]),
        ("bench_train.py", ["--batch_size", 4, "--rounds", 1, "--classes", 2000], ["one step, 4 faces"]),
    ],
)  # fmt: skip
def test_benchmarks_print_their_tables(run_process, benchmark, flags, rows):
    done = run_process(f"benchmarks/{benchmark}", *flags, "--force_cpu")
    for row in rows:
        assert re.search(rf"{row}.* s .*\d+\.\d\dx", done.stdout), done.stdout
    assert "DIFFERENT" not in done.stdout
    shown = commands("CONTENT.md")
    assert any(benchmark in line for line in shown), f"CONTENT.md does not say how to run {benchmark}"
