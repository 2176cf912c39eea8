"""What every script has in common on the command line."""

from __future__ import annotations

import subprocess
import sys

import pytest

from magface_al.command import cli
from tests.support.scripts import ROOT

SCRIPTS = sorted(path.name for path in ROOT.glob("*.py"))


@pytest.mark.process
@pytest.mark.parametrize("script", SCRIPTS)
def test_help_answers_at_once_because_nothing_heavy_is_imported(script):
    probe = (
        f"import runpy, sys; sys.argv = ['{script}', '--help']\ntry: runpy.run_path('{script}', run_name='__main__')\n"
    )
    probe += "finally: print({'torch', 'cv2', 'matplotlib', 'tqdm'} & set(sys.modules), file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", probe], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "set()" in done.stderr
    assert "example" in done.stdout


@pytest.mark.parametrize(
    ("script", "flags", "message"),
    [
        (
            "visualize_errors.py",
            ["--feedback_file", "p.json", "--model", "m.pth", "--threshold", "1.5"],
            "outside [-1, 1]",
        ),
        ("visualize_errors.py", ["--feedback_file", "p.json"], "give --model to embed the images"),
        (
            "gen_features.py",
            ["--inf_list", "a", "--feat_list", "b", "--resume", "c", "--batch_size", "0"],
            "not a positive whole number",
        ),
        ("gen_features.py", ["--inf_list", "absent", "--feat_list", "b", "--resume", "c"], "absent: No such file"),
        (
            "finetune_on_feedback.py",
            ["--checkpoint", "c", "--feedback_file", "absent.json"],
            "absent.json: No such file",
        ),
        (
            "finetune_on_feedback.py",
            ["--checkpoint", "c", "--feedback_file", "f", "--val_split", "1.2"],
            "outside [0, 1)",
        ),
        (
            "build_hard_pairs.py",
            ["--features_list", "absent.npy", "--output_file", "o.json"],
            "absent.npy: no such file",
        ),
    ],
)
def test_bad_arguments_end_with_2_and_one_clear_line(run_script, script, flags, message):
    assert message in run_script(script, *flags, code=2).stderr


def test_batches_are_asked_for_only_where_there_are_any():
    plain, batches = cli.new_parser("plain"), cli.new_parser("batches")
    cli.add_device_options(plain)
    cli.add_device_options(batches, batch_size=7)
    assert vars(plain.parse_args([])) == {"debug": False, "device": "auto", "force_cpu": False}
    assert vars(batches.parse_args([])) == {
        "debug": False,
        "device": "auto",
        "force_cpu": False,
        "batch_size": 7,
        "workers": 4,
    }
