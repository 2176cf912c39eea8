"""Heads, optimizers, schedules and precisions: each name stands in one table, from which flags, choices and builders come."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
import torch

from magface_al.command.cli import new_parser
from magface_al.models.device import mixed_precision
from magface_al.models.precisions import PRECISIONS
from magface_al.training import flags
from magface_al.training.classifier import Classifier
from magface_al.training.heads import CosFace, build_head
from magface_al.training.optimizer import build_optimizer
from magface_al.training.recipe import HEAD_NUMBERS, HEADS, OPTIMIZERS, HeadKind, OptimizerKind, TrainingRecipe
from magface_al.training.schedules import SCHEDULES, rate_at

ROOT = next(folder for folder in Path(__file__).parents if (folder / "pyproject.toml").exists())
PACKAGE = ROOT / "magface_al"
EVERYWHERE = [*PACKAGE.rglob("*.py"), *ROOT.glob("*.py")]
TRAINING = [*(PACKAGE / "training").glob("*.py"), ROOT / "train.py"]
# Names that also mean a weights' family, a protocol, a figure or a choice are looked for in training's files only, or not at all.
OWNERS = [
    (set(HEADS) - {"magface", "arcface", "adaface"}, EVERYWHERE, ["recipe.py"]),
    (set(HEADS), TRAINING, ["recipe.py"]),
    (set(OPTIMIZERS), EVERYWHERE, ["recipe.py"]),
    (set(SCHEDULES) - {"cosine"}, TRAINING, ["schedules.py", "recipe.py"]),  # the recipe's default
    (set(PRECISIONS) - {"auto"}, EVERYWHERE, ["precisions.py"]),
]


def parser():
    made = new_parser(None)
    flags.add_file_options(made)
    flags.add_model_options(made)
    flags.add_head_options(made)
    flags.add_recipe_options(made)
    flags.add_augmentation_options(made)
    flags.add_scale_options(made)
    made.add_argument("--batch_size", type=int, default=flags.DEFAULT.batch_size)
    return made


def values(*given):
    return vars(parser().parse_args(["--data", "faces", *given]))


@pytest.mark.parametrize(("names", "files", "owners"), OWNERS, ids=["heads", "training", "optimizers", "schedules", "precisions"])  # fmt: skip
def test_a_name_stands_in_its_table_alone(names, files, owners):
    for path in files:
        said = {node.value for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Constant)}
        assert path.name in owners or not said & names, f"{path}: {said & names}"


def test_flags_that_are_not_given_make_the_recipe_of_the_defaults():
    assert flags.recipe_from(values()) == TrainingRecipe()
    made = flags.recipe_from(values("--l_a", "5", "--crop", "0.2", "--milestones", "1", "2", "--split_fc"))
    assert made.head_values() == {"l_a": 5.0, "u_a": 110.0, "l_m": 0.45, "u_m": 0.8, "lambda_g": 35.0}
    assert (made.augmentation.crop, made.milestones, made.split_fc) == (0.2, (1, 2), True)


def test_every_number_of_a_head_is_a_flag_with_a_meaning():
    assert list(HEAD_NUMBERS) == list(dict.fromkeys(name for kind in HEADS.values() for name in kind.numbers))


def test_a_head_is_added_in_one_place(monkeypatch):
    monkeypatch.setitem(HEADS, "another", HeadKind("CosFace", {"margin": 0.25}, remark="is new"))
    shown = " ".join(parser().format_help().split())
    assert "another is new" in shown
    assert "adaface 0.4, another 0.25" in shown
    head = build_head(flags.recipe_from(values("--head", "another")))
    assert isinstance(head, CosFace)
    assert (head.margin, head.scale) == (0.25, 64)


def test_an_optimizer_is_added_in_one_place(monkeypatch):
    monkeypatch.setitem(OPTIMIZERS, "another", OptimizerKind("RMSprop", ("momentum",)))
    recipe = flags.recipe_from(values("--optimizer", "another", "--momentum", "0.7", "--decay", "weights"))
    model = torch.nn.Linear(3, 2)
    optimizer = build_optimizer(model, Classifier(build_head(recipe), 2, 4, seed=0), recipe)
    assert isinstance(optimizer, torch.optim.RMSprop)
    spared, others = optimizer.param_groups
    assert (spared["momentum"], spared["weight_decay"], others["weight_decay"]) == (0.7, 0, 5e-4)
    assert [len(group["params"]) for group in (spared, others)] == [1, 2]


@pytest.mark.parametrize("name", SCHEDULES)
def test_every_schedule_rises_over_the_warm_up_and_never_exceeds_the_rate(name):
    recipe = TrainingRecipe(schedule=name, epochs=20, lr=0.4, warmup_epochs=2, milestones=(10, 15))
    rates = [rate_at(step, 10, recipe) for step in range(200)]
    assert rates[:20] == pytest.approx([0.4 * (step + 1) / 20 for step in range(20)])
    assert max(rates) == pytest.approx(0.4)
    assert rates[20:] == sorted(rates[20:], reverse=True)
    longer = [rate_at(step, 10, TrainingRecipe(schedule=name, epochs=40, lr=0.4, warmup_epochs=2, milestones=(10, 15)))
              for step in range(200)]  # fmt: skip
    assert (longer == pytest.approx(rates)) == (not SCHEDULES[name].ends)


@pytest.mark.parametrize("name", PRECISIONS)
def test_every_precision_computes_in_what_the_table_says(name):
    with mixed_precision(torch.device("cpu"), name):
        found = torch.ones(2, 2) @ torch.ones(2, 2)
    assert found.dtype == getattr(torch, PRECISIONS[name].cpu or "float32")
