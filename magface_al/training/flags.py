"""The flags of training and the recipe they make. Imports no torch, so --help is instant."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from magface_al.command import cli
from magface_al.command.errors import UserError
from magface_al.command.numbers import (
    interval,
    non_negative_float,
    non_negative_int,
    positive_float,
    positive_int,
    seed,
)
from magface_al.command.outputs import OutputFolder
from magface_al.embedding import model_flags
from magface_al.models.architectures import DEFAULT as DEFAULT_ARCH
from magface_al.models.precisions import PRECISIONS
from magface_al.training.recipe import (
    BATCH_NORMS,
    DECAYED,
    HEAD_NUMBERS,
    HEADS,
    OPTIMIZERS,
    Augmentation,
    TrainingRecipe,
)
from magface_al.training.schedules import SCHEDULES

DEFAULT = TrainingRecipe()
Group = argparse._ActionsContainer


def add_file_options(group: Group) -> None:
    """What is read, what is written, and how often."""
    group.add_argument(
        "--data", type=Path, nargs="+", required=True, metavar="SOURCE", help="lists, folders or .rec files"
    )
    group.add_argument("--root", type=Path, default=Path(), help="folder that relative paths of a list start from")
    group.add_argument(
        "--num_classes",
        type=positive_int,
        metavar="N",
        help="ids are class numbers below N and stay as they are; otherwise they are renumbered without gaps",
    )
    group.add_argument(
        "--val_set",
        type=cli.named_path,
        nargs="+",
        default=[],
        metavar="NAME=PATH",
        help="verification sets, judged after every epoch; their mean accuracy chooses the best",
    )
    group.add_argument(
        "--output_dir", type=OutputFolder, default=OutputFolder("trained"), help="folder for everything written"
    )
    cli.add_config_option(group)
    cli.add_switch(group, "--resume_training", "go on where the run in --output_dir stopped")
    cli.add_switch(group, "--overwrite", "begin anew although --output_dir holds a run")
    group.add_argument(
        "--save_every",
        type=non_negative_int,
        default=0,
        metavar="EPOCHS",
        help="also keep every so many epochs as NNNNN.pth; 0: none",
    )
    group.add_argument(
        "--save_steps",
        type=non_negative_int,
        default=0,
        metavar="STEPS",
        help="write the state to resume from also every so many steps; 0: after epochs only",
    )
    group.add_argument(
        "--max_bad_images",
        type=interval("[0, 1)"),
        default=0.01,
        help="share of unreadable images above which the run ends; ten are always let pass",
    )
    cli.add_switch(group, "--tensorboard", "also write TensorBoard events (extra `tensorboard`)")


def add_model_options(group: Group) -> None:
    """The network: what it starts from, and how its layers behave."""
    group.add_argument("--init", type=Path, metavar="CKPT", help="weights to start from, of any layout that loads")
    model_flags.add_arch_option(group, f"auto is that of --init, or {DEFAULT_ARCH}")
    model_flags.add_preprocessing_option(group, "auto is that of --init, or magface")
    choose(group, "batch_norm", BATCH_NORMS, "frozen keeps the statistics of --init")
    number(
        group,
        "bn_momentum",
        interval("(0, 1)"),
        "of the BatchNorm statistics; MagFace's own 0.9 keeps hardly more than the last batch",
    )
    number(
        group,
        "dropout",
        interval("[0, 1)"),
        "before the embedding layer of iResNets (MagFace 0.4, arcface_torch 0)",
    )
    cli.add_switch(
        group, "--channels_last", "keep activations channel by channel at each pixel, which is faster", default=True
    )
    cli.add_switch(group, "--compile", "compile the network (torch.compile)")


def add_head_options(group: Group) -> None:
    """The margin head and the numbers of every head."""
    remarks = ", ".join(f"{name} {kind.remark}" for name, kind in HEADS.items() if kind.remark)
    choose(group, "head", HEADS, remarks)
    number(group, "scale", positive_float, "factor on every cosine")
    for name, meaning in HEAD_NUMBERS.items():
        values = (f"{head} {kind.numbers[name]:g}" for head, kind in HEADS.items() if name in kind.numbers)
        group.add_argument(f"--{name}", type=non_negative_float, help=f"{meaning} ({', '.join(values)})")
    group.add_argument(
        "--magnitude_range",
        choices=["given", "auto"],
        default="given",
        help="auto sets l_a, u_a and lambda_g from the magnitudes that --init gives to the training faces",
    )
    cli.add_switch(group, "--easy_margin", "MagFace: no margin where the target cosine is below 0", DEFAULT.easy_margin)


def add_recipe_options(group: Group) -> None:
    """Steps, rates, precision."""
    number(group, "epochs", positive_int, "passes over the images")
    number(group, "accumulate", positive_int, "parts that a step's images are taken in, to save memory")
    choose(group, "optimizer", OPTIMIZERS, "sgd with momentum, or adamw")
    number(
        group, "lr", positive_float, "highest learning rate; 0.1 is for 512 images a step, scale it with --batch_size"
    )
    number(group, "momentum", interval("[0, 1)"), "of sgd")
    number(group, "weight_decay", non_negative_float, "of the optimizer")
    choose(group, "decay", DECAYED, "weights spares BatchNorm, PReLU and biases, as AdaFace does")
    choose(group, "schedule", SCHEDULES, "multistep (MagFace, AdaFace), cosine, or linear (arcface_torch)")
    group.add_argument(
        "--milestones",
        type=positive_int,
        nargs="+",
        default=list(DEFAULT.milestones),
        metavar="EPOCH",
        help="multistep: after these epochs the rate drops",
    )
    number(group, "gamma", interval("(0, 1)"), "multistep: factor of each drop")
    number(group, "warmup_epochs", non_negative_float, "epochs over which the rate rises")
    number(group, "clip", positive_float, "largest norm of the backbone's gradient")
    number(
        group,
        "ema",
        interval("[0, 1)"),
        "decay of the averaged weights that are validated and kept; 0: no averaging",
    )
    choose(
        group,
        "precision",
        PRECISIONS,
        "of the backbone; auto is bf16 on a GPU, fp32 on a CPU; the head is always fp32",
    )
    number(group, "seed", seed, "of the weights, the order and the augmentation")


def add_augmentation_options(group: Group) -> None:
    """The probabilities of Augmentation."""
    for name, meaning in (
        ("mirror", "mirroring"),
        ("crop", "blackening all but a rectangle (AdaFace: 0.2)"),
        ("low_resolution", "scaling down and up (AdaFace: 0.2)"),
        ("photometric", "other brightness, contrast, saturation (AdaFace: 0.2)"),
    ):
        number(group, name, interval("[0, 1]"), f"probability of {meaning}", DEFAULT.augmentation)
    cli.add_switch(
        group,
        "--adaface_luminance",
        "weigh red and blue the wrong way round in photometric, as AdaFace's code does",
        DEFAULT.augmentation.adaface_luminance,
    )


def add_scale_options(group: Group) -> None:
    """What many processes and many people need."""
    cli.add_switch(
        group,
        "--split_fc",
        "each process holds only its share of the classes; the softmax stays exact",
        DEFAULT.split_fc,
    )
    number(
        group,
        "sample_rate",
        interval("(0, 1]"),
        "Partial FC: share of the classes in each step's softmax, for very many people",
    )


def number(
    group: Group,
    name: str,
    kind: Callable[[str], float],
    meaning: str,
    default: TrainingRecipe | Augmentation = DEFAULT,
) -> None:
    """--name for the number of that name in a recipe."""
    group.add_argument(f"--{name}", type=kind, default=getattr(default, name), help=meaning)


def choose(group: Group, name: str, table: Mapping[str, Any] | tuple[str, ...], meaning: str) -> None:
    """--name for one of a table's names."""
    group.add_argument(f"--{name}", choices=list(table), default=getattr(DEFAULT, name), help=meaning)


def recipe_from(values: Mapping[str, Any]) -> TrainingRecipe:
    """The recipe of flags by name (None where a head's number was not given). Raises UserError for another head's number."""
    head, numbers = values["head"], HEADS[values["head"]].numbers
    given = {name: values[name] for name in HEAD_NUMBERS if values[name] is not None}
    if foreign := [name for name in given if name not in numbers]:
        raise UserError(f"--{foreign[0]}: the head {head} has none; it has {', '.join(numbers)}")
    own = {field.name for field in fields(TrainingRecipe)} - {"head_options", "augmentation", "milestones"}
    return TrainingRecipe(
        **{name: values[name] for name in own},
        head_options=given,
        augmentation=Augmentation(**{field.name: values[field.name] for field in fields(Augmentation)}),
        milestones=tuple(values["milestones"]),
    )
