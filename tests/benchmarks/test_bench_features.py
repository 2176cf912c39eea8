"""Feature stores against values written and read one by one, and a network against a plain loop, at a small size."""

from __future__ import annotations

import pytest

from tests.support.tables import faster


@pytest.mark.slow(2)
def test_the_store_is_many_times_faster_and_the_embeddings_are_the_same(run_script):
    done = run_script(
        "benchmarks/bench_features.py", "--rows", 2000, "--images", 3, "--arch", "iresnet18", "--force_cpu"
    )
    assert faster("write, binary", done.stdout) > 10  # 200 on a machine that does nothing else
    assert faster("write, text", done.stdout) > 3  # 15
    assert faster("read, text", done.stdout) > 1  # 4.6
    assert "both give the same embeddings" in done.stdout
