"""Read any known layout of face-recognition weights, all of it or not at all; write MagFace's layout.

The traps that this file is about (REFERENCE: MagFace inference/network_inf.py @99bae614 and its issues #36, #40):
* a wrapper's prefix may be `features.module.`, `module.features.`, `module.`, `features.`, ... or absent, and the last
  BatchNorm is itself called `features`, so cutting `features.` blindly loses five tensors;
* the classifier's shard and the embedding layer are both called `fc.weight`; only prefix and shape tell them apart.
"""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import torch
from torch import nn

from magface_al.backbones import ARCHITECTURES, build_backbone
from magface_al.errors import UserError
from magface_al.files import replacing, sha256
from magface_al.preprocess import PRESETS, Preprocessing

PREFIXES = ("features.module.", "module.features.", "features.", "module.", "backbone.", "model.", "")
ARCFACE_BN_EPS = 1e-5  # arcface_torch/backbones/iresnet.py; MagFace has 2e-5
OUR_KEY = "magface_al"

State = Mapping[str, torch.Tensor]


@dataclass
class Backbone:
    """A loaded network, in inference mode on the CPU, with what is known about it."""

    path: Path
    model: nn.Module
    arch: str
    preprocessing: Preprocessing  # in use: the checkpoint's own, unless a preset was asked for
    own_preprocessing: Preprocessing
    family: str  # "magface", "arcface" or "mobilefacenet": who trained it, in words for the screen
    prefix: str
    loaded: int  # tensors of the backbone found in the file, of as many
    ignored: list[str]  # keys of the file that belong to no backbone (classifier shards)
    weights_sha256: str
    file_sha256: str
    manifest: dict[str, Any] = field(default_factory=dict)

    def describe(self) -> str:
        """One line for the screen."""
        left = f"; {len(self.ignored)} tensors of a classifier left aside" if self.ignored else ""
        return f"{self.arch} ({self.family} weights), loaded {self.loaded}/{self.loaded}, input {self.preprocessing.name()}{left}"

    def origin(self) -> dict[str, Any]:
        """What a feature store records about the weights and the input convention that made it."""
        return {
            "checkpoint": {
                "file": self.path.name,
                "file_sha256": self.file_sha256,
                "weights_sha256": self.weights_sha256,
                "arch": self.arch,
                "family": self.family,
            },
            "preprocessing": self.preprocessing.to_dict(),
            "checkpoint_preprocessing": self.own_preprocessing.to_dict(),
        }


def load_backbone(path: Path, arch: str = "auto", preprocessing: str = "auto") -> Backbone:
    """Load a checkpoint of any known layout. Raises UserError unless every tensor of the backbone is found in it.

    arch "auto" reads the architecture from the tensors; a name is checked against them. preprocessing "auto" takes what
    the file records, or its family's convention; a preset's name overrides both.
    """
    content = read_checkpoint(path)
    state = _state_dict(path, content)
    found, prefix = _identify(path, state)
    if arch not in ("auto", found):
        raise UserError(f"{path}: holds weights of {found}, expected {arch}; use --arch {found}, or leave --arch out")
    model = build_backbone(found)
    weights = _backbone_weights(path, state, found, prefix, model.state_dict())
    model.load_state_dict(weights)
    ours = content.get(OUR_KEY) if isinstance(content.get(OUR_KEY), dict) else {}
    family = ours.get("family") or _family(found, prefix, weights)
    if family == "arcface":
        set_bn_eps(model, ARCFACE_BN_EPS)
    own = _own_preprocessing(ours, family)
    return Backbone(
        path=path,
        model=model.eval().to(memory_format=torch.channels_last),
        arch=found,
        preprocessing=own if preprocessing == "auto" else PRESETS[preprocessing],
        own_preprocessing=own,
        family=family,
        prefix=prefix,
        loaded=len(weights),
        ignored=[key for key in state if not (key.startswith(prefix) and key[len(prefix) :] in weights)],
        weights_sha256=fingerprint(model.state_dict()),
        file_sha256=sha256(path),
        manifest=ours,
    )


def new_backbone(arch: str, preprocessing: str, seed: int) -> Backbone:
    """An untrained network whose weights follow from the seed. preprocessing is a preset's name; "auto" is magface."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = build_backbone(arch)
    own = PRESETS["magface" if preprocessing == "auto" else preprocessing]
    return Backbone(
        path=Path("scratch"), model=model, arch=arch, preprocessing=own, own_preprocessing=own,
        family="mobilefacenet" if arch == "mobilefacenet" else "magface", prefix="", loaded=0, ignored=[],
        weights_sha256=fingerprint(model.state_dict()), file_sha256="",
    )  # fmt: skip


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a .pth file without running any code in it. Raises UserError for anything but tensors in plain containers."""
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file, expected a checkpoint (.pth)") from None
    except IsADirectoryError:
        raise UserError(f"{path}: is a folder, expected a checkpoint (.pth)") from None
    except pickle.UnpicklingError as error:
        raise UserError(f"{path}: {_why_refused(error)}") from None
    except (RuntimeError, EOFError, BadZipFile, ValueError, KeyError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"{path}: truncated, or no PyTorch checkpoint ({reason}); copy or download it again") from None
    if not isinstance(content, dict):
        raise UserError(
            f"{path}: holds a {type(content).__name__}, expected a dictionary of tensors or one with a state_dict"
        )
    return content


def _why_refused(error: pickle.UnpicklingError) -> str:
    text = str(error)
    if "GLOBAL" in text or "Unsupported global" in text or "Unsupported class" in text:
        wanted = text.split("GLOBAL ")[1].split()[0] if "GLOBAL " in text else "code"
        return f"asks to run {wanted} while loading; refused, nothing was executed. Save a plain state_dict of tensors instead"
    return "truncated, or no PyTorch checkpoint; copy or download it again"


def _state_dict(path: Path, content: dict[str, Any]) -> dict[str, torch.Tensor]:
    for key in ("state_dict", "state_dict_backbone", "net_state_dict", "model"):
        if isinstance(content.get(key), dict):
            content = content[key]
            break
    state = {key: value for key, value in content.items() if isinstance(value, torch.Tensor)}
    if not state:
        raise UserError(
            f"{path}: no tensors in it (keys: {', '.join(map(str, list(content)[:5]))}), expected a state_dict"
        )
    return state


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


def _backbone_weights(path: Path, state: State, arch: str, prefix: str, wanted: State) -> dict[str, torch.Tensor]:
    """Every tensor of the backbone, taken from under the prefix. Raises UserError if one is absent, extra or misshapen."""
    found = {key[len(prefix) :]: value for key, value in state.items() if key.startswith(prefix)}
    # Files of PyTorch before 0.4.1 lack these counters, and nothing in inference reads them.
    found = {key: value for key, value in wanted.items() if key.endswith("num_batches_tracked")} | found
    weights = {key: found[key] for key, value in wanted.items() if key in found and found[key].shape == value.shape}
    rooms = {key.split(".")[0] for key in wanted}
    problems = {
        "missing": [key for key in wanted if key not in found],
        "mis-shaped": [
            f"{key} is {list(found[key].shape)} instead of {list(value.shape)}"
            for key, value in wanted.items()
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
    if arch == "mobilefacenet":
        return "mobilefacenet"
    plain = prefix in ("", "backbone.")
    return "arcface" if plain and bool((weights["features.weight"] == 1).all()) else "magface"


def _own_preprocessing(ours: dict[str, Any], family: str) -> Preprocessing:
    if "preprocessing" in ours:
        return Preprocessing(**ours["preprocessing"])
    return PRESETS[{"magface": "magface", "arcface": "arcface", "mobilefacenet": "arcface-mxnet"}[family]]


def set_bn_eps(model: nn.Module, eps: float) -> None:
    """Give every BatchNorm the eps its weights were trained with; a wrong one shifts magnitudes by up to 0.04 %."""
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.eps = eps


def fingerprint(state: State) -> str:
    """SHA-256 over the tensors in key order: the same weights in another layout or file have the same fingerprint."""
    digest = hashlib.sha256()
    for key in sorted(state):
        if not key.endswith("num_batches_tracked"):
            digest.update(key.encode())
            digest.update(state[key].detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def save_backbone(
    path: Path,
    model: nn.Module,
    *,
    arch: str,
    preprocessing: Preprocessing,
    family: str = "magface",
    epoch: int = 0,
    manifest: dict[str, Any] | None = None,
    **extra: Any,
) -> None:
    """Write a checkpoint that MagFace's own tools load (`features.module.` keys), with our manifest beside it.

    family decides the BatchNorm eps on loading; extra entries (an optimizer's state, say) are stored as they are.
    """
    state = {f"features.module.{key}": value.detach().cpu().contiguous() for key, value in model.state_dict().items()}
    ours = {**(manifest or {}), "preprocessing": preprocessing.to_dict(), "family": family}
    with replacing(path, "wb") as file:
        torch.save({"epoch": epoch, "arch": arch, "state_dict": state, OUR_KEY: ours, **extra}, file)
