"""The flags of fine-tuning, with their defaults from the recipes. Imports no torch, so --help is instant."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from magface_al.command import numbers
from magface_al.command.outputs import OutputFolder
from magface_al.finetuning.recipe import BATCH_NORM, HIGHER_IS_BETTER, LOSSES, SPLIT_BY, Recipe, SplitRecipe
from magface_al.models.architectures import TRAINABLE


def add_file_options(parser: argparse.ArgumentParser) -> None:
    """What is read and written, besides the weights."""
    group = parser.add_argument_group("files")
    answers = "answered pairs to learn from; of a pair that stands in several files the last one counts"
    group.add_argument("--feedback_file", type=Path, nargs="+", required=True, metavar="PAIRS.json", help=answers)
    ordinary = (
        "image list of ordinary faces, unlabelled, on which the model must stay as it is; they guard against forgetting"
    )
    group.add_argument("--replay_list", type=Path, metavar="LIST", help=ordinary)
    folder = OutputFolder("checkpoints_feedback")
    group.add_argument("--output_dir", type=OutputFolder, default=folder, help="folder for everything written")


def add_recipe_options(parser: argparse.ArgumentParser) -> None:
    """A flag for each field of Recipe that no other group has, with the losses that read it; --no_augment for `augment`."""
    group = parser.add_argument_group("recipe")

    def add(name: str, help: str, **kind: Any) -> None:
        users = ", ".join(loss for loss, entry in LOSSES.items() if name in entry.uses)
        said = f"{help} (--loss {users})" if users else help
        group.add_argument(f"--{name}", default=getattr(Recipe, name), help=said, **kind)

    losses = "; ".join(f"{name}: {loss.meaning}" for name, loss in LOSSES.items())
    add("loss", losses, choices=LOSSES)
    add("epochs", "passes over the training pairs", type=numbers.positive_int)
    add("lr", "highest learning rate of AdamW", type=numbers.positive_float)
    add("margin", "in the space that --loss says", type=numbers.non_negative_float)
    add("threshold", "cosine at which you decide, for the accuracy and in the loss", type=numbers.cosine)
    layers = "which layers learn; head works on cached activations and takes seconds on a CPU"
    add("trainable", layers, choices=TRAINABLE)
    norms = "train updates BatchNorm statistics and turns dropout on, as the documented recipe did; it ruins iResNets"
    add("batch_norm", norms, choices=BATCH_NORM)
    add("in_batch", "weight of the softmax over the batch", type=numbers.non_negative_float)
    add("distill", "weight of the pull to the original", type=numbers.non_negative_float)
    add("replay", "weight of the pull on the faces of --replay_list", type=numbers.non_negative_float)
    add("weight_decay", "of AdamW", type=numbers.non_negative_float)
    add("warmup", "share of the steps over which the rate rises", type=numbers.interval("[0, 1)"))
    add("ema", "decay of the averaged weights that are kept; 0: no averaging", type=numbers.interval("[0, 1)"))
    add("clip", "largest norm of the gradient", type=numbers.positive_float)
    group.add_argument("--no_augment", action="store_true", help="do not mirror faces at random")


def add_split_options(parser: argparse.ArgumentParser) -> None:
    """A flag for each field of SplitRecipe, --select_by and --resume_training."""
    group = parser.add_argument_group("split and selection")

    def add(name: str, help: str, **kind: Any) -> None:
        group.add_argument(f"--{name}", default=getattr(SplitRecipe, name), help=help, **kind)

    add("val_split", "share of the pairs that chooses the best epoch", type=numbers.interval("[0, 1)"))
    add("test_split", "share kept for the final figure", type=numbers.interval("[0, 1)"))
    leak = "pair lets people leak into validation, and makes the figures too good"
    add("split_by", leak, choices=SPLIT_BY)
    chooses = (
        "validation figure that chooses the best epoch; auc and eer rank every pair of the validation images with names"
    )
    group.add_argument("--select_by", choices=HIGHER_IS_BETTER, default=SplitRecipe.select_by, help=chooses)
    add("seed", "of the split, the order and the mirroring", type=numbers.seed)
    again = "go on after the last epoch in --output_dir"
    group.add_argument("--resume_training", action="store_true", help=again)
