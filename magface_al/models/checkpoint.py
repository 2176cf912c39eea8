"""Load the weights of any known training code, all of them or not at all; write MagFace's layout."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from magface_al.command.errors import UserError
from magface_al.command.files import sha256
from magface_al.command.outputs import replacing
from magface_al.faces.preprocess import PRESETS
from magface_al.models.architectures import ARCHITECTURES
from magface_al.models.backbone import FAMILIES, Backbone, recorded_preprocessing
from magface_al.models.backbones import build_backbone
from magface_al.models.export_layouts import DEFAULT as OUR_LAYOUT
from magface_al.models.export_layouts import EXPORT_LAYOUTS
from magface_al.models.layouts import read_layout
from magface_al.models.weight_files import OUR_KEY, State, read_weights

if TYPE_CHECKING:
    from magface_al.faces.preprocess import Preprocessing


def load_backbone(path: Path, arch: str = "auto", preprocessing: str = "auto", *, trainable: bool = False) -> Backbone:
    """Load a file of any known layout (.pth, .safetensors, .onnx). Raises UserError unless all of a backbone is in it.

    arch "auto" reads the architecture from the tensors; a name is checked against them. preprocessing "auto" takes what
    the file records, or its family's convention; a preset's name overrides both. trainable: refuse what can only be run.
    """
    if path.suffix == ".onnx":
        from magface_al.models.onnx_graph import load_onnx  # onnxruntime need not be installed for other files

        if trainable:
            raise UserError(
                f"{path}: an ONNX graph can be run but not trained, expected the weights (.pth, .safetensors) it was exported from"
            )
        return load_onnx(path, arch, preprocessing)
    state, record = read_weights(path)
    layout = read_layout(path, state)
    if arch not in ("auto", layout.arch):
        raise UserError(
            f"{path}: holds weights of {layout.arch}, expected {arch}; use --arch {layout.arch}, or leave --arch out"
        )
    model = build_backbone(layout.arch)
    model.load_state_dict(layout.tensors)
    family = record.get("family", layout.family)
    bn_eps = record.get("bn_eps", FAMILIES.get(family, FAMILIES[layout.family]).bn_eps)
    set_bn_eps(model, bn_eps)
    own = recorded_preprocessing(record, FAMILIES.get(family, FAMILIES[layout.family]))
    return Backbone(
        path=path,
        model=model.eval().to(memory_format=torch.channels_last),
        arch=layout.arch,
        preprocessing=own if preprocessing == "auto" else PRESETS[preprocessing],
        own_preprocessing=own,
        family=family,
        prefix=layout.prefix,
        loaded=len(layout.tensors),
        ignored=layout.ignored,
        weights_sha256=fingerprint(model.state_dict()),
        file_sha256=sha256(path),
        bn_eps=bn_eps,
        manifest=record,
    )


def new_backbone(arch: str, preprocessing: str, seed: int) -> Backbone:
    """An untrained network whose weights follow from the seed. preprocessing is a preset's name; "auto" is magface."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = build_backbone(arch)
    own = PRESETS["magface" if preprocessing == "auto" else preprocessing]
    return Backbone(
        path=Path("scratch"),
        model=model,
        arch=arch,
        preprocessing=own,
        own_preprocessing=own,
        family=ARCHITECTURES[arch].family or "magface",
        prefix="",
        loaded=0,
        ignored=[],
        weights_sha256=fingerprint(model.state_dict()),
        file_sha256="",
        bn_eps=batch_norms(model)[0].eps,
    )


def set_bn_eps(model: nn.Module, eps: float) -> None:
    """Give every BatchNorm the eps its weights were trained with; a wrong one shifts magnitudes by up to 0.04 %."""
    for norm in batch_norms(model):
        norm.eps = eps


def batch_norms(model: nn.Module) -> list[nn.modules.batchnorm._BatchNorm]:
    """Every BatchNorm of a network."""
    return [module for module in model.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]


def fingerprint(state: State) -> str:
    """SHA-256 over the tensors in key order: the same weights in another layout or file have the same fingerprint."""
    digest = hashlib.sha256()
    for key in sorted(state):
        if not key.endswith("num_batches_tracked"):
            digest.update(key.encode())
            digest.update(state[key].detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def prefixed(model: nn.Module, prefix: str) -> dict[str, torch.Tensor]:
    """Every tensor of a network, on the CPU and whole in memory, under its key with the prefix before it."""
    return {prefix + key: value.detach().cpu().contiguous() for key, value in model.state_dict().items()}


def save_backbone(
    path: Path,
    model: nn.Module,
    *,
    arch: str,
    preprocessing: Preprocessing,
    family: str = "magface",
    epoch: int = 0,
    manifest: dict[str, Any] | None = None,
    layout: str = OUR_LAYOUT,
    **extra: Any,
) -> None:
    """Write a checkpoint, by default one that MagFace's own tools load, with our manifest beside the tensors.

    layout, of EXPORT_LAYOUTS, says what the keys begin with. The network's BatchNorm eps is recorded too; extra entries
    (an optimizer's state, say) are stored as they are.
    """
    state = prefixed(model, EXPORT_LAYOUTS[layout].prefix)
    record = {"preprocessing": preprocessing.to_dict(), "family": family, "bn_eps": batch_norms(model)[0].eps}
    ours = {**(manifest or {}), **record}
    with replacing(path, "wb") as file:
        torch.save({"epoch": epoch, "arch": arch, "state_dict": state, OUR_KEY: ours, **extra}, file)
