"""What training says in the end: an epoch's line, and a next command that can be pasted."""

from __future__ import annotations

import importlib
import shlex
from pathlib import Path
from types import SimpleNamespace

import pytest

from magface_al.command import cli
from magface_al.command.errors import WorkError
from magface_al.command.run import command_line
from magface_al.training.epochs import line_of, next_words, refuse_divergence
from magface_al.training.loss_scale import LossScale

BEST = Path("my models/best.pth")


@pytest.mark.parametrize(
    ("sets", "data", "script"),
    [
        ([("Age DB", Path("a b.bin")), ("LFW", Path("lfw.bin"))], ["faces.list"], "evaluate_recognition"),
        ([], ["folder", "faces of all.list"], "gen_features"),
        ([], ["folder", "train.rec"], "inspect_checkpoint"),
    ],
)
def test_the_next_command_can_be_pasted(tmp_path, sets, data, script):
    (tmp_path / "folder").mkdir()
    for name in ("faces.list", "faces of all.list", "train.rec"):
        (tmp_path / name).touch()
    command = command_line(*next_words(BEST, sets, [tmp_path / name for name in data], Path("a root")))
    python, path, *words = shlex.split(command)
    assert (python, path) == ("python", f"{script}.py")
    args = cli.parse(importlib.import_module(script).build_parser(), words)
    assert args.checkpoint in (BEST, [BEST])
    if sets:
        assert args.sets == sets
    elif script == "gen_features":
        assert args.inf_list == tmp_path / "faces of all.list"
        assert args.root == Path("a root")


def test_a_line_reads_well_for_one_step_too():
    figures = {"loss": 1.5, "accuracy": 0.25, "cosine": 0.5, "magnitude": 20, "lr": 0.1}
    entry = {"epoch": 3, **figures, "skipped": 1.0, "validation": {"LFW": 0.9}}
    line = line_of(entry, 40)
    assert line.startswith("epoch   3: loss 1.5000  accuracy 0.2500")
    assert line.endswith("lr 0.1  LFW 90.00 %  1 of 40 steps skipped")
    assert "skipped" not in line_of(entry | {"skipped": 0.0}, 40)


def test_most_steps_without_a_gradient_are_an_end_unless_a_loss_scale_settles():
    def after(skipped, scaled=False):
        trainer = SimpleNamespace(steps=10, loss_scale=LossScale(scaled))
        progress = SimpleNamespace(means=lambda: {"skipped": skipped}, check=lambda epoch: None)
        refuse_divergence(2, trainer, progress)

    after(5.0)
    after(9.0, scaled=True)
    with pytest.raises(WorkError, match="diverged in epoch 2: 6 of 10 steps had no finite gradient; .* a lower --lr"):
        after(6.0)
