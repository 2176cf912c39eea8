"""make demo, at a size that tests allow."""

from __future__ import annotations

import json

import pytest


@pytest.mark.slow
def test_the_demo_improves_on_people_it_never_trained_on(run_process, tmp_path):
    run_process("tools/demo.py", "--output_dir", "demo", timeout=1800)
    target = json.loads((tmp_path / "demo" / "evaluation" / "evaluation.json").read_text())["target"]
    assert target["change_intervals_95"]["eer"][1] < 0
    assert 0.85 <= target["before"]["auc"] <= 0.98
    errors = json.loads((tmp_path / "demo" / "errors_after" / "error_summary.json").read_text())
    page = (tmp_path / "demo" / "errors_after" / "index.html").read_text()
    for kind in ("false positive", "false negative"):
        assert page.count(f'<li data-kind="{kind}"') == min(15, errors[f"{kind}s".replace(" ", "_")])
