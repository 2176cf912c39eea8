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
from magface_al.command.outputs import replacing
from magface_al.models.backbone import FAMILIES, Backbone
from magface_al.models.checkpoint import batch_norms, prefixed, save_backbone
from magface_al.models.export_layouts import DEFAULT, EXPORT_LAYOUTS
from magface_al.models.iresnet import IResNet
from magface_al.models.weight_files import OUR_KEY

SUFFIXES = (".onnx", ".safetensors", ".pth")
ONNX_TOLERANCE = 1e-4


def export_model(backbone: Backbone, path: Path, layout: str | None) -> str:
    """Write the weights as `path`'s suffix says; layout, of EXPORT_LAYOUTS, names whose keys .pth and .safetensors get.

    Returns what was written, in words. Raises UserError for a suffix or a layout that does not fit, WorkError when the
    written graph does not give the same embeddings.
    """
    if path.suffix not in SUFFIXES:
        raise UserError(
            f"--output_file {path}: expected a name that ends in {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}"
        )
    if path.suffix == ".onnx":
        if layout is not None:
            raise UserError(f"--layout {layout}: is for .pth and .safetensors, and an ONNX graph has no such layout")
        difference = write_onnx(backbone, path)
        return f"an ONNX graph for any batch size (largest difference from PyTorch {difference:.1e})"
    model = in_layout(backbone, layout)
    layout = layout or DEFAULT
    if path.suffix == ".safetensors":
        _write_safetensors(backbone, model, path, layout)
    else:
        _write_pth(backbone, model, path, layout)
    return f"{len(model.state_dict())} tensors of {backbone.arch} in {layout}'s layout"


def in_layout(backbone: Backbone, layout: str | None) -> nn.Module:
    """A copy of the network that gives the same embeddings under the numerics that the layout's own program has built in.

    MagFace's networks have BatchNorm eps 2e-5 and arcface_torch's 1e-5: the difference goes into the running variances.
    arcface_torch keeps the weight of the last BatchNorm at 1: it goes into the embedding layer before. Without a layout
    an iResNet gets the default's, and another network stays as it is. Raises UserError for an unknown layout, or a network
    that its program has not.
    """
    if layout is not None and layout not in EXPORT_LAYOUTS:
        raise UserError(f"--layout {layout}: expected one of {', '.join(EXPORT_LAYOUTS)}")
    if not isinstance(backbone.model, IResNet):
        if layout is None:
            return backbone.model
        raise UserError(f"{backbone.path}: {backbone.arch} has no place in {layout}'s layout, expected an iResNet")
    model, wanted = copy.deepcopy(backbone.model), EXPORT_LAYOUTS[layout or DEFAULT]
    eps = FAMILIES[wanted.family].bn_eps
    for norm in batch_norms(model):
        assert norm.running_var is not None  # all of ours track their statistics
        norm.running_var += norm.eps - eps
        norm.eps = eps
    if wanted.folds_last_weight:
        _fold_last_weight(model)
    return model


@torch.no_grad()
def _fold_last_weight(model: IResNet) -> None:
    """w * (z - mean) / s + b with z = A x + c is (z' - w * mean) / s + b with z' = w * A x + w * c."""
    last, weight = model.features, model.features.weight.clone()
    assert last.running_mean is not None
    model.fc.weight.mul_(weight[:, None])
    model.fc.bias.mul_(weight)
    last.running_mean.mul_(weight)
    last.weight.fill_(1)


def _write_safetensors(backbone: Backbone, model: nn.Module, path: Path, layout: str) -> None:
    safetensors = require("safetensors.torch", "to write .safetensors", "export")
    record = {**backbone.card(), "bn_eps": batch_norms(model)[0].eps}
    tensors = prefixed(model, EXPORT_LAYOUTS[layout].prefix)
    data = safetensors.save(tensors, {"format": "pt", OUR_KEY: json.dumps(record)})
    with replacing(path, "wb") as file:
        file.write(data)


def _write_pth(backbone: Backbone, model: nn.Module, path: Path, layout: str) -> None:
    if EXPORT_LAYOUTS[layout].bare:
        with replacing(path, "wb") as file:
            torch.save(prefixed(model, EXPORT_LAYOUTS[layout].prefix), file)
        return
    save_backbone(
        path,
        model,
        arch=backbone.arch,
        preprocessing=backbone.own_preprocessing,
        family=backbone.family,
        manifest=backbone.card(),
        layout=layout,
    )


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
