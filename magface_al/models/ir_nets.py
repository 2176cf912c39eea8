"""The IR nets of AdaFace and CVLface are iResNets under other names: their tensors, renamed, and what they leave out.

Source: AdaFace net.py @c60eaa78. `input_layer` is the stem, `body` all units in a row, `output_layer` the tail. Where an
iResNet has a 1x1 convolution and a BatchNorm in the shortcut of layer1.0, an IR net takes every second pixel, so the
convolution becomes the identity and the BatchNorm is made to change nothing; the last BatchNorm has no weight and bias
there, so they become 1 and 0. The raw embedding is then AdaFace's unit embedding times its norm.
"""

from __future__ import annotations

import re
from pathlib import Path

import torch

from magface_al.command.errors import UserError
from magface_al.models.architectures import ARCHITECTURES
from magface_al.models.weight_files import State

PARTS = ("input_layer", "body", "output_layer")
STEM = {"0": "conv1", "1": "bn1", "2": "prelu"}
UNIT = {"0": "bn1", "1": "conv1", "2": "bn2", "3": "prelu", "4": "conv2", "5": "bn3"}
SHORTCUT = {"0": "downsample.0", "1": "downsample.1"}
TAIL = {"0": "bn2", "3": "fc", "4": "features"}
WIDTH, EMBEDDING = 64, 512  # of the first convolution and of the embedding: IR nets have the iResNets' published widths
ARCH_BY_UNITS = {
    sum(architecture.options["blocks"]): name
    for name, architecture in ARCHITECTURES.items()
    if architecture.module == "iresnet" and "widths" not in architecture.options
}


def ir_prefix(state: State) -> str | None:
    """What stands before `input_layer` in the keys of an IR net; None for any other net."""
    stem = "input_layer.0.weight"
    found = [key[: -len(stem)] for key in state if key.endswith(stem)]
    return next((prefix for prefix in found if f"{prefix}body.0.res_layer.0.weight" in state), None)


def to_iresnet(path: Path, state: State, prefix: str, bn_eps: float) -> tuple[str, dict[str, torch.Tensor]]:
    """(architecture, its tensors by iResNet's names). Raises UserError for a net that is no iResNet, naming what it is."""
    own = {key[len(prefix) :]: value for key, value in state.items() if is_part(key, prefix)}
    _refuse_others(path, own)
    units = 1 + max(int(unit) for key in own for unit in re.findall(r"^body\.([0-9]{1,4})\.", key))
    if units not in ARCH_BY_UNITS:
        raise UserError(
            f"{path}: an IR net of {units} units, expected {', '.join(map(str, ARCH_BY_UNITS))} (IR-18, 34, 50, 101)"
        )
    arch = ARCH_BY_UNITS[units]
    stages = enumerate(ARCHITECTURES[arch].options["blocks"], 1)
    blocks = [f"layer{stage}.{block}" for stage, count in stages for block in range(count)]
    places = {str(unit): block for unit, block in enumerate(blocks)}
    renamed: dict[str, torch.Tensor] = {}
    for key, value in own.items():
        name = _rename(key, places)
        if name is None:
            raise UserError(f"{path}: the tensor {prefix}{key} has no place in {arch}, expected a plain IR net")
        renamed[name] = value
    return arch, renamed | _left_out(renamed, bn_eps)


def is_part(key: str, prefix: str) -> bool:
    """Whether a key of the file belongs to the net, rather than to a classifier beside it."""
    return key.startswith(prefix) and key[len(prefix) :].split(".")[0] in PARTS


def _refuse_others(path: Path, own: State) -> None:
    units = {key.partition("res_layer.")[2]: key for key in own if "res_layer." in key}
    squeeze = [key for name, key in units.items() if re.search(r"\bfc[12]\.weight|se_block|se_module", name)]
    if squeeze:
        raise UserError(
            f"{path}: an IR-SE net (its units hold squeeze-and-excitation layers, {squeeze[0]}), which is no iResNet; "
            "expected AdaFace's or CVLface's IR net without them"
        )
    if "2.running_mean" not in units:
        raise UserError(
            f"{path}: a FaceX-Zoo (or InsightFace_Pytorch) IR net, which has the names of AdaFace's but no BatchNorm between "
            "the two convolutions of a unit, so it is another network; expected AdaFace's or CVLface's IR net"
        )
    if "7.weight" in units:
        raise UserError(
            f"{path}: an IR net of three-convolution units (IR-152, IR-200), which is no iResNet; expected IR-18, 34, 50 or 101"
        )


def _rename(key: str, places: dict[str, str]) -> str | None:
    part, *words = key.split(".")
    if part == "body" and len(words) == 4 and words[1] in ("res_layer", "shortcut_layer"):
        unit, kind, layer, tensor = words
        name = (UNIT if kind == "res_layer" else SHORTCUT).get(layer)
        return f"{places[unit]}.{name}.{tensor}" if unit in places and name else None
    if part in ("input_layer", "output_layer") and len(words) == 2:
        name = (STEM if part == "input_layer" else TAIL).get(words[0])
        return name and f"{name}.{words[1]}"
    return None


def _left_out(renamed: State, bn_eps: float) -> dict[str, torch.Tensor]:
    """The tensors that an iResNet has and an IR net has not, if they are indeed absent."""
    kind = renamed["conv1.weight"].dtype
    made = {
        "layer1.0.downsample.0.weight": torch.eye(WIDTH).view(WIDTH, WIDTH, 1, 1),
        "layer1.0.downsample.1.weight": torch.full((WIDTH,), (1 + bn_eps) ** 0.5),  # what BatchNorm divides 1 by
        "layer1.0.downsample.1.bias": torch.zeros(WIDTH),
        "layer1.0.downsample.1.running_mean": torch.zeros(WIDTH),
        "layer1.0.downsample.1.running_var": torch.ones(WIDTH),
        "features.weight": torch.ones(EMBEDDING),
        "features.bias": torch.zeros(EMBEDDING),
    }
    return {key: value.to(kind) for key, value in made.items() if key not in renamed}
