"""Whose layout a file of weights has, and every tensor of a backbone from it, by our networks' names.

The traps (MagFace inference/network_inf.py @99bae614 and its issues #36, #40):
* a wrapper's prefix may be `features.module.`, `module.features.`, `module.`, `features.`, ... or absent, and the last
  BatchNorm is itself called `features`, so cutting `features.` blindly loses five tensors;
* the classifier's shard and the embedding layer are both called `fc.weight`; only prefix and shape tell them apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch

from magface_al.command.errors import UserError
from magface_al.models.architectures import ARCHITECTURES
from magface_al.models.backbone import FAMILIES
from magface_al.models.backbones import build_backbone
from magface_al.models.ir_nets import ir_prefix, is_part, to_iresnet
from magface_al.models.weight_files import State

PREFIXES = (
    "features.module.",
    "module.features.",
    "features.",
    "module.",
    "backbone.",
    "model.",
    "net.",
    "model.net.",
    "",
)


@dataclass(frozen=True)
class Layout:
    """A file's backbone: tensors by our names, complete and of the right shapes; ignored are the file's other keys."""

    arch: str
    prefix: str
    family: str
    tensors: dict[str, torch.Tensor]
    ignored: list[str]


def read_layout(path: Path, state: State) -> Layout:
    """Find the backbone in a file's tensors. Raises UserError unless every tensor of it is there, and nothing in its way."""
    prefix = ir_prefix(state)
    if prefix is not None:
        family = "cvlface" if "net." in prefix else "adaface"
        arch, found = to_iresnet(path, state, prefix, FAMILIES[family].bn_eps)
        tensors = complete(path, found, arch)
        return Layout(arch, prefix, family, tensors, [key for key in state if not is_part(key, prefix)])
    arch, prefix = _identify(path, state)
    tensors = complete(
        path, {key[len(prefix) :]: value for key, value in state.items() if key.startswith(prefix)}, arch
    )
    ignored = [key for key in state if not (key.startswith(prefix) and key[len(prefix) :] in tensors)]
    return Layout(arch, prefix, _family(arch, prefix, tensors), tensors, ignored)


def _identify(path: Path, state: State) -> tuple[str, str]:
    """(architecture, prefix) whose convolutions agree best with the file's, by name and shape.

    Convolutions alone are compared because they tell architectures apart and no classifier has any. Half of them must
    agree; what is then still missing is reported tensor by tensor.
    """

    def agreement(arch: str, prefix: str) -> float:
        wanted = {key: shape for key, shape in backbone_shapes(arch).items() if len(shape) == 4}
        found = {
            key[len(prefix) :]: tuple(value.shape)
            for key, value in state.items()
            if key.startswith(prefix) and value.ndim == 4
        }
        return len(wanted.items() & found.items()) / len(wanted.keys() | found.keys())

    best = max(
        ((arch, prefix) for arch in ARCHITECTURES for prefix in PREFIXES), key=lambda candidate: agreement(*candidate)
    )
    if agreement(*best) < 0.5:
        raise UserError(
            f"{path}: {len(state)} tensors of no known architecture (first: {', '.join(list(state)[:3])}), "
            f"expected one of {', '.join(ARCHITECTURES)}"
        )
    return best


@cache
def backbone_shapes(arch: str) -> dict[str, tuple[int, ...]]:
    """Key -> shape of every tensor of a backbone, without allocating it."""
    with torch.device("meta"):
        return {key: tuple(value.shape) for key, value in build_backbone(arch).state_dict().items()}


def complete(path: Path, found: State, arch: str) -> dict[str, torch.Tensor]:
    """Exactly the backbone's tensors out of `found`. Raises UserError if one is absent, extra or misshapen."""
    wanted = backbone_shapes(arch)
    # Files of PyTorch before 0.4.1 lack these counters, and nothing in inference reads them.
    counters = {key: torch.tensor(0) for key in wanted if key.endswith("num_batches_tracked")}
    found = counters | dict(found)
    weights = {key: found[key] for key, shape in wanted.items() if key in found and tuple(found[key].shape) == shape}
    rooms = {key.split(".")[0] for key in wanted}
    problems = {
        "missing": [key for key in wanted if key not in found],
        "mis-shaped": [
            f"{key} is {list(found[key].shape)} instead of {list(shape)}"
            for key, shape in wanted.items()
            if key in found and key not in weights
        ],
        "unexpected": [key for key in found if key not in wanted and key.split(".")[0] in rooms],
    }
    if any(problems.values()):
        listed = [
            f"{len(keys)} {title} ({', '.join(keys[:3])}{', ...' if len(keys) > 3 else ''})"
            for title, keys in problems.items()
            if keys
        ]
        raise UserError(
            f"{path}: loaded {len(weights)}/{len(wanted)} tensors of {arch}: {', '.join(listed)}; expected all of them"
        )
    return weights


def _family(arch: str, prefix: str, weights: State) -> str:
    """Who trained a bare file. arcface_torch fills the last BatchNorm's weight with ones and freezes it; MagFace trains it."""
    if known := ARCHITECTURES[arch].family:
        return known
    if "net." in prefix:
        return "cvlface"  # its copy of arcface_torch's networks
    plain = prefix in ("", "backbone.")
    return "arcface" if plain and bool((weights["features.weight"] == 1).all()) else "magface"
