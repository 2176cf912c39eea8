"""The flags that name a model, and their values as one thing. Imports no torch, so --help is instant."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from magface_al.faces.preprocess import PRESETS
from magface_al.models.architectures import ARCHITECTURES

FLIPS = ("none", "sum", "concat", "auto")


@dataclass(frozen=True)
class ModelChoice:
    """The model flags of a script: where the weights are, how to read images for them, where to compute."""

    checkpoint: Path | None
    arch: str = "auto"
    preprocessing: str = "auto"
    device: str = "auto"
    batch_size: int = 128
    workers: int = 4
    flip: str = "none"  # see embedder.Embedder


def model_choice(values: Mapping[str, Any]) -> ModelChoice:
    """From the values of add_checkpoint_options, cli.add_device_options and add_flip_option, as far as a script has them."""
    given = {name: values[name] for name in ModelChoice.__dataclass_fields__ if name in values}
    return ModelChoice(**given | ({"device": "cpu"} if values["force_cpu"] else {}))


def add_checkpoint_options(parser: argparse.ArgumentParser, *, required: bool = True, several: bool = False) -> None:
    """--checkpoint (aliases --model, --resume), --arch, --preprocessing. several: any number of checkpoints, as a list."""
    group = parser.add_argument_group("model")
    weights = group.add_argument(
        "--checkpoint",
        "--model",
        "--resume",
        dest="checkpoint",
        type=Path,
        required=required,
        metavar="CKPT",
        help="weights: MagFace, insightface, AdaFace, CVLface, MobileFaceNet or our own (.pth, .safetensors, .onnx)",
    )
    if several:
        weights.nargs, weights.default = "+", []
    add_arch_option(group, "auto reads it from the weights, a name also checks it")
    add_preprocessing_option(group, "auto is what the checkpoint records")


def add_arch_option(group: argparse._ActionsContainer, what_auto_means: str) -> None:
    """--arch."""
    choices = ["auto", *ARCHITECTURES]
    group.add_argument("--arch", choices=choices, default="auto", help=f"backbone; {what_auto_means}")


def add_preprocessing_option(group: argparse._ActionsContainer, what_auto_means: str) -> None:
    """--preprocessing."""
    meaning = f"channel order and range of the network's input; {what_auto_means}"
    group.add_argument("--preprocessing", choices=["auto", *PRESETS], default="auto", help=meaning)


def add_flip_option(parser: argparse._ActionsContainer) -> None:
    """--flip."""
    parser.add_argument(
        "--flip",
        choices=FLIPS,
        default=ModelChoice.flip,
        help="the mirrored face's embedding: left out, added to the face's own, set behind it, or as the weights' family does",
    )
