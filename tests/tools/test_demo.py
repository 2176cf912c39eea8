"""make demo: the whole loop, after which people it never trained on are recognised better."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.support.scripts import ROOT, load_script, run_here


def improves(folder):
    """Fine-tuning lowers the EER of held-out people, from where the demo model is known to stand; the page shows the errors."""
    target = json.loads((folder / "evaluation" / "evaluation.json").read_text())["target"]
    assert target["change_intervals_95"]["eer"][1] < 0
    assert 0.85 <= target["before"]["auc"] <= 0.98
    errors = json.loads((folder / "errors_after" / "error_summary.json").read_text())
    page = (folder / "errors_after" / "index.html").read_text()
    for kind in ("false positive", "false negative"):
        assert page.count(f'<li data-kind="{kind}"') == min(15, errors[f"{kind}s".replace(" ", "_")])


@pytest.mark.slow(60)
def test_a_quarter_of_the_demo_improves_on_people_it_never_trained_on(run_script, tmp_path, monkeypatch):
    """Its stages run in this process: they are other scripts, which are tested on their own."""

    def run_stage(command, cwd, **_):
        run_here(cwd, Path(command[1]).relative_to(ROOT), *command[2:])
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(subprocess, "run", run_stage)
    done = run_script("tools/demo.py", "--output_dir", "demo", "--scale", 0.25)
    improves(tmp_path / "demo")
    assert "people never trained on (all faces are drawn): EER" in done.stdout
    asked = json.loads((tmp_path / "demo" / "ask.json").read_text())["pairs"]
    assert len(asked) == 50


@pytest.mark.full
def test_the_demo_improves_on_people_it_never_trained_on(run_process, tmp_path):
    run_process("tools/demo.py", "--output_dir", "demo", timeout=1800)
    improves(tmp_path / "demo")


def test_a_stage_that_fails_ends_the_demo(run_script, monkeypatch):
    demo = load_script("tools/demo.py")

    def fail(command, **_):
        return subprocess.CompletedProcess(command, 1)

    monkeypatch.setattr(demo.subprocess, "run", fail)
    done = run_script("tools/demo.py", "--output_dir", "demo", code=1)
    assert "create_test_feedback.py ended with exit code 1; its message stands above" in done.stderr
