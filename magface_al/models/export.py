"""Weights in the forms that other programs read: ONNX, safetensors, and the layouts of MagFace and insightface."""

from __future__ import annotations

import copy
import io
import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from magface_al.command.errors import UserError, WorkError
from magface_al.command.extras import require
from magface_al.command.files import replacing
from magface_al.models.backbone import FAMILIES, Backbone
from magface_al.models.checkpoint import batch_norms, save_backbone
from magface_al.models.iresnet import IResNet
from magface_al.models.weight_files import OUR_KEY

LAYOUTS = {"magface": "features.module.", "insightface": ""}  # and what a key begins with
NATIVE_EPS = {"magface": FAMILIES["magface"].bn_eps, "insightface": FAMILIES["arcface"].bn_eps}
ONNX_TOLERANCE = 1e-4


def export(backbone: Backbone, path: Path, layout: str | None) -> str:
    """Write the weights as `path`'s suffix says; layout (of .pth and .safetensors) names whose keys they get.

    Returns what was written, in words. Raises UserError for a suffix or a layout that does not fit, WorkError when the
    written graph does not give the same embeddings.
    """
    if path.suffix not in (".onnx", ".pth", ".safetensors"):
        raise UserError(f"--output_file {path}: expected a name that ends in .onnx, .safetensors or .pth")
    if path.suffix == ".onnx":
        if layout is not None:
            raise UserError(f"--layout {layout}: is for .pth and .safetensors, and an ONNX graph has no such layout")
        difference = write_onnx(backbone, path)
        return f"an ONNX graph for any batch size (largest difference from PyTorch {difference:.1e})"
    model = in_layout(backbone, layout)
    layout = layout or "magface"
    if path.suffix == ".safetensors":
        _write_safetensors(backbone, model, path, layout)
    elif layout == "magface":
        save_backbone(path, model, arch=backbone.arch, preprocessing=backbone.own_preprocessing, family=backbone.family,
                      manifest=backbone.card())  # fmt: skip
    else:
        with replacing(path, "wb") as file:
            torch.save(_tensors(model, ""), file)
    return f"{len(model.state_dict())} tensors of {backbone.arch} in {layout}'s layout"


def in_layout(backbone: Backbone, layout: str | None) -> nn.Module:
    """A copy of the network that gives the same embeddings under the numerics that the layout's own program has built in.

    MagFace's networks have BatchNorm eps 2e-5 and arcface_torch's 1e-5: the difference goes into the running variances.
    arcface_torch keeps the weight of the last BatchNorm at 1: it goes into the embedding layer before. Without a layout
    an iResNet gets MagFace's, and another network stays as it is. Raises UserError for a network that a program has not.
    """
    if not isinstance(backbone.model, IResNet):
        if layout is None:
            return backbone.model
        raise UserError(f"{backbone.path}: {backbone.arch} has no place in {layout}'s layout, expected an iResNet")
    model, layout = copy.deepcopy(backbone.model), layout or "magface"
    for norm in batch_norms(model):
        norm.running_var += norm.eps - NATIVE_EPS[layout]
        norm.eps = NATIVE_EPS[layout]
    if layout == "insightface":
        _fold_last_weight(model)
    return model


@torch.no_grad()
def _fold_last_weight(model: IResNet) -> None:
    """w * (z - mean) / s + b with z = A x + c is (z' - w * mean) / s + b with z' = w * A x + w * c."""
    last, weight = model.features, model.features.weight.clone()
    model.fc.weight *= weight[:, None]
    model.fc.bias *= weight
    last.running_mean *= weight
    last.weight.fill_(1)


def _tensors(model: nn.Module, prefix: str) -> dict[str, torch.Tensor]:
    return {prefix + key: value.detach().cpu().contiguous() for key, value in model.state_dict().items()}


def _write_safetensors(backbone: Backbone, model: nn.Module, path: Path, layout: str) -> None:
    safetensors = require("safetensors.torch", "to write .safetensors", "export")
    record = {**backbone.card(), "bn_eps": batch_norms(model)[0].eps}
    data = safetensors.save(_tensors(model, LAYOUTS[layout]), {"format": "pt", OUR_KEY: json.dumps(record)})
    with replacing(path, "wb") as file:
        file.write(data)


def write_onnx(backbone: Backbone, path: Path) -> float:
    """Write an ONNX graph: `input` float32 [batch, 3, size, size] -> `embedding` [batch, D], raw. Returns the difference.

    The graph is first run by onnxruntime at two batch sizes: WorkError if an embedding differs from PyTorch's by more
    than 1e-4 of the largest value in it (or 1e-4, for values below 1). `input` is preprocessed as the metadata
    `magface_al` records.
    """
    for module in ("onnx", "onnxscript", "onnxruntime"):
        require(module, "to write ONNX", "export")
    graph = _onnx_graph(backbone)
    difference = onnx_difference(backbone, graph)
    if not difference <= ONNX_TOLERANCE:  # a NaN does not agree either
        raise WorkError(
            f"{path}: not written, onnxruntime's embeddings differ from PyTorch's by {difference:.1e}, expected at most {ONNX_TOLERANCE:g}"
        )
    with replacing(path, "wb") as file:
        file.write(graph)
    return difference


def _onnx_graph(backbone: Backbone) -> bytes:
    example = torch.zeros(2, 3, backbone.own_preprocessing.size, backbone.own_preprocessing.size)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # torch 2.11 warns of what its own exporter does
        program: Any = torch.onnx.export(
            backbone.model, (example,), dynamo=True, verbose=False, input_names=["input"], output_names=["embedding"],
            dynamic_shapes=({0: torch.export.Dim("batch")},),
        )  # fmt: skip
    program.model.metadata_props[OUR_KEY] = json.dumps(backbone.card())
    buffer = io.BytesIO()
    program.save(buffer)
    return buffer.getvalue()


def onnx_difference(backbone: Backbone, graph: bytes) -> float:
    """Largest difference of onnxruntime's embeddings from PyTorch's, relative to max(1, the largest value), on noise."""
    onnxruntime = require("onnxruntime", "to check the graph", "export")
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    generator, size = torch.Generator().manual_seed(0), backbone.own_preprocessing.size
    differences = []
    for batch in (1, 3):
        pixels = torch.rand(batch, 3, size, size, generator=generator)
        images = (pixels - backbone.own_preprocessing.mean) / backbone.own_preprocessing.std
        with torch.inference_mode():
            expected = backbone.model(images).numpy()
        found = session.run(["embedding"], {"input": images.numpy()})[0]
        differences.append(np.abs(found - expected).max() / max(1.0, float(np.abs(expected).max())))
    return float(np.max(differences))
