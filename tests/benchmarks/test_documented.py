"""CONTENT.md says how to run each benchmark."""

from __future__ import annotations

import pytest

from tests.support.documents import commands
from tests.support.scripts import ROOT


@pytest.mark.parametrize("benchmark", sorted(path.name for path in (ROOT / "benchmarks").glob("*_*.py")))
def test_content_says_how_to_run_it(benchmark):
    assert any(f"benchmarks/{benchmark}" in line for line in commands("CONTENT.md"))
