"""A loss is added in one table, and defaults and choices of the flags come from the recipes."""

from __future__ import annotations

import ast
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import torch

import finetune_on_feedback
from magface_al.faces.preprocess import PRESETS
from magface_al.finetuning import losses, recipe
from magface_al.finetuning.answered_pairs import index_pairs
from magface_al.finetuning.recipe import HIGHER_IS_BETTER, LOSSES, Loss, Recipe, SplitRecipe
from magface_al.finetuning.tuner import FineTuner
from magface_al.models.backbones import build_backbone
from magface_al.pairs.pair_file import Pair

ROOT = Path(__file__).resolve().parents[2]
REQUIRED = ["--checkpoint", "m.pth", "--feedback_file", "p.json"]


@pytest.fixture
def sevenfold(monkeypatch):
    """A fifth loss, added as docs/extending.md would: a function and a line."""

    def loss(pairs, recipe):
        first, second = pairs.sides
        return 0 * (first * second).sum() + 7 * recipe.margin  # what a step needs: a number with a gradient

    monkeypatch.setattr(losses, "always_seven_margins", loss, raising=False)
    monkeypatch.setitem(
        LOSSES, "sevenfold", Loss("always_seven_margins", "seven times the margin", ("margin",), lambda recipe: 0.25)
    )


def test_a_new_loss_is_in_the_help_and_in_the_refusal_of_another(sevenfold, capsys):
    parser = finetune_on_feedback.build_parser()
    shown = " ".join(parser.format_help().split())
    assert "contrastive,sevenfold}" in shown
    assert "sevenfold: seven times the margin" in shown
    assert "in the space that --loss says (--loss cosine, contrastive, sevenfold)" in shown
    assert "the accuracy and in the loss (--loss adaptive, logistic)" in shown
    assert shown.count("(--loss adaptive)") == 2  # --in_batch and --distill
    with pytest.raises(SystemExit, match="2"):
        parser.parse_args([*REQUIRED, "--loss", "eightfold"])
    refusal = capsys.readouterr().err
    assert "eightfold" in refusal
    assert all(name in refusal for name in LOSSES)


def tuner_of(**settings):
    rng = np.random.default_rng(0)
    faces = {name: rng.integers(0, 255, (112, 112, 3), np.uint8) for name in "abcd"}
    data = index_pairs([Pair("a", "b", 1, {}), Pair("c", "d", 0, {})], faces)
    torch.manual_seed(0)
    model = build_backbone("iresnet_tiny").eval()
    teacher = rng.normal(size=(4, 128)).astype(np.float32)
    return FineTuner(model, PRESETS["magface"], data, teacher, Recipe(epochs=1, **settings), torch.device("cpu"))


def test_a_new_loss_is_what_the_tuner_uses(sevenfold):
    assert list(tuner_of(loss="sevenfold", margin=0.5).epoch(1)) == [3.5]


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_is_the_function_that_the_table_names(name):
    """... on embeddings computed here, with the weights of the recipe."""
    tuner = tuner_of(loss=name, margin=0.9, augment=False, in_batch=2.0, distill=3.0, threshold=0.1)
    faces = torch.from_numpy(tuner.data.faces).permute(0, 3, 1, 2).float() / 255
    with torch.no_grad():
        raw = tuner.model(faces).double()
    e1, e2 = (torch.nn.functional.normalize(raw[rows]) for rows in (tuner.data.first, tuner.data.second))
    c, same = (e1 * e2).sum(1), torch.from_numpy(tuner.data.same)
    d = (e1 - e2).norm(dim=1)
    logistic = torch.where(same, 1 + torch.exp(-20 * (c - 0.1)), 1 + torch.exp(20 * (c - 0.1))).log().mean()
    teacher = tuner.teacher.double()
    pull = (1 - torch.cosine_similarity(raw, teacher) + (raw.norm(dim=1) / teacher.norm(dim=1)).log() ** 2).mean()
    similar = torch.nn.functional.normalize(raw) @ torch.nn.functional.normalize(raw).T / losses.TEMPERATURE
    terms = [
        -torch.log(similar[i, j].exp() / (similar[i, j].exp() + similar[i, 2:].exp().sum()))
        for i, j in ((0, 1), (1, 0))
    ]
    expected = {
        "adaptive": logistic + 2 * torch.stack(terms).mean() + 3 * pull,
        "logistic": logistic,
        "cosine": torch.where(same, (1 - c) ** 2, (c - 0.9).clamp_min(0) ** 2).mean(),
        "contrastive": torch.where(same, d**2, (0.9 - d).clamp_min(0) ** 2).mean(),
    }[name]
    assert next(tuner.epoch(1)) == pytest.approx(float(expected), rel=1e-4)


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_reads_exactly_the_numbers_that_the_table_says(name):
    read = set()

    class Watched(Recipe):
        def __getattribute__(self, field):
            read.add(field)
            return super().__getattribute__(field)

    raw = torch.randn(4, 8, generator=torch.Generator().manual_seed(0))
    pairs = losses.EmbeddedPairs(raw, raw, torch.arange(4), torch.tensor([True, False]))
    getattr(losses, LOSSES[name].function)(pairs, Watched())
    assert read == set(LOSSES[name].uses) <= {field.name for field in fields(Recipe)}


@pytest.mark.parametrize("name", LOSSES)
def test_different_pairs_have_a_gradient_exactly_above_the_cosine_that_the_table_says(name):
    wanted, pushes_above = Recipe(loss=name, margin=0.6), LOSSES[name].pushes_above
    for degrees in range(1, 180, 7):
        angle = torch.tensor(np.deg2rad(degrees), requires_grad=True)
        raw = torch.stack([torch.stack([torch.cos(angle), torch.sin(angle)]), torch.tensor([1.0, 0.0]).double()])
        pairs = losses.EmbeddedPairs(raw, raw.detach(), torch.arange(2), torch.tensor([False]))
        getattr(losses, LOSSES[name].function)(pairs, wanted).backward()
        expected = pushes_above is None or np.cos(np.deg2rad(degrees)) > pushes_above(wanted)
        assert bool(angle.grad != 0) == expected, degrees


def literals(path):
    """Every string that is a value in a file, without docstrings."""
    tree = ast.parse(path.read_text())
    return {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)}


def test_no_other_file_names_a_loss():
    others = {path for path in (ROOT / "magface_al" / "finetuning").glob("*.py") if path.name != "recipe.py"}
    for path in others | {ROOT / "finetune_on_feedback.py"}:
        assert not literals(path) & set(LOSSES), path


def test_flags_have_the_defaults_of_the_recipes():
    recipes = finetune_on_feedback.recipes_of(finetune_on_feedback.build_parser().parse_args(REQUIRED))
    assert recipes == (Recipe(), SplitRecipe())


def test_every_field_of_the_recipes_has_its_flag():
    given = {
        "loss": "cosine", "margin": 0.3, "threshold": 0.2, "lr": 0.5, "epochs": 3, "batch_size": 4, "trainable": "head",
        "batch_norm": "train", "in_batch": 0.6, "distill": 0.7, "replay": 0.8, "weight_decay": 0.9, "warmup": 0.11,
        "clip": 0.12, "ema": 0.13, "seed": 5,
    }  # fmt: skip
    divided = {"val_split": 0.3, "test_split": 0.1, "split_by": "pair", "select_by": "eer"}
    flags = [text for name, value in {**given, **divided}.items() for text in (f"--{name}", str(value))]
    args = finetune_on_feedback.build_parser().parse_args([*REQUIRED, *flags, "--no_augment"])
    assert finetune_on_feedback.recipes_of(args) == (Recipe(**given, augment=False), SplitRecipe(**divided, seed=5))
    assert {field.name for field in fields(Recipe)} == {*given, "augment"}
    assert all(value != getattr(Recipe, name) for name, value in given.items())


def test_a_figure_that_selects_is_in_one_table():
    assert HIGHER_IS_BETTER == {"auc": True, "eer": False, "accuracy": True}
    shown = finetune_on_feedback.build_parser().format_help()
    assert f"--select_by {{{','.join(recipe.HIGHER_IS_BETTER)}}}" in shown
