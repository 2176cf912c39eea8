"""evaluate_finetuned_model.py before and after."""

from __future__ import annotations

import json

import pytest
import torch


def finetune(run_script, checkpoint, pairs, *flags, **options):
    return run_script("finetune_on_feedback.py", "--checkpoint", checkpoint, "--feedback_file", pairs, "--batch_size", 16, "--val_split", 0.3,
                      "--force_cpu", *flags, **options)  # fmt: skip


@pytest.mark.slow(4)
def test_evaluation_reports_the_change_and_guards_against_forgetting(run_script, tmp_path, pairs, tiny_checkpoint):
    finetune(run_script, tiny_checkpoint, pairs, "--epochs", 1, "--output_dir", "out")
    flags = ["--checkpoint", tiny_checkpoint, "--feedback_file", pairs, "--resamples", 50, "--finetuned"]
    done = run_script(
        "evaluate_finetuned_model.py",
        *flags,
        "out/magface_feedback_epoch1.pth",
        "--general_file",
        pairs,
        "--max_regression",
        1,
    )
    result = json.loads((tmp_path / "evaluation" / "evaluation.json").read_text())["target"]
    assert result["change"]["eer"] == pytest.approx(result["after"]["eer"] - result["before"]["eer"])
    assert result["before"]["tar_at_far_0.001"] is None
    assert "insufficient data" in done.stdout
    assert "overstates the gain, so there is no verdict on it, and a loss may stay unseen" in done.stderr  # hard pairs
    wrecked = torch.load(tiny_checkpoint, weights_only=True)
    wrecked["state_dict"]["features.module.fc.weight"] = torch.randn(128, 96 * 49) * 0.01
    wrecked["state_dict"]["features.module.layer1.0.conv1.weight"] *= 50
    torch.save(wrecked, tmp_path / "wrecked.pth")
    done = run_script(
        "evaluate_finetuned_model.py", *flags, "wrecked.pth", "--general_file", pairs, "--max_regression", 0, code=None
    )
    flipped = json.loads((tmp_path / "evaluation" / "flipped.json").read_text())["pairs"]
    result = json.loads((tmp_path / "evaluation" / "evaluation.json").read_text())
    assert len(flipped) == result["fixed"] + result["broken"]
    assert done.returncode == (1 if result["general_eer_rise"] > 0 else 0)


def test_an_input_among_its_outputs_is_refused_before_anything_is_written(run_script, tmp_path, pairs, tiny_checkpoint):
    (tmp_path / "out").mkdir()
    pairs.rename(tmp_path / "out" / "flipped.json")
    flags = ["--checkpoint", tiny_checkpoint, "--finetuned", tiny_checkpoint, "--output_dir", "out"]
    done = run_script("evaluate_finetuned_model.py", *flags, "--feedback_file", "out/flipped.json", code=2)
    assert "out/flipped.json: would be written over, and is an input (--feedback_file)" in done.stderr
    assert "EER" not in done.stdout
    assert not (tmp_path / "out" / "before_after.png").exists()
