"""An ONNX graph as a backbone that can be run, not trained."""

from __future__ import annotations

from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from magface_al.command.errors import UserError
from magface_al.command.extras import require
from magface_al.command.files import open_input, sha256
from magface_al.faces.preprocess import PRESETS, Preprocessing
from magface_al.models.backbone import Backbone
from magface_al.models.records import parse_record
from magface_al.models.soundness import unsound

MAX_PIXELS = 1 << 26  # a batch of 5,000 faces of 112 px


class OnnxNetwork(nn.Module):
    """float [B, 3, size, size] on any device -> raw embedding [B, D] on the CPU, for any B, by onnxruntime.

    A graph whose batch size was fixed when it was exported is fed that many images at a time, the last time with zeros
    behind them. onnxruntime uses a GPU when the images are on one and onnxruntime-gpu is installed.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self._runtime = require("onnxruntime", f"to run {path.name}", "export")
        open_input(path, "an ONNX graph").close()
        self._session = self._open("CPUExecutionProvider")
        try:
            inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
            metadata = self._session.get_modelmeta().custom_metadata_map
            ends = [f"{end.type} {end.shape}" for end in (*inputs, *outputs)]
        except UnicodeDecodeError as error:
            raise UserError(f"{path}: damaged, a text in it is not UTF-8 ({error.reason}); export it again") from None
        self.record = parse_record(path, metadata)
        if not (len(inputs) == 1 and outputs and _takes_images(inputs[0]) and len(outputs[0].shape) == 2):
            raise UserError(
                f"{path}: takes {', '.join(ends[: len(inputs)])} and gives {', '.join(ends[len(inputs) :])}, "
                "expected one float input [batch, 3, size, size] and an embedding [batch, D]"
            )
        self.input, self.output = inputs[0], outputs[0]
        batch, _, self.size, _ = self.input.shape
        self.fixed_batch: int | None = batch if isinstance(batch, int) and batch > 0 else None
        if (self.fixed_batch or 1) * self.size**2 > MAX_PIXELS:
            raise UserError(f"{path}: takes {batch} pictures of {self.size} px at a time, expected those of faces")

    def _open(self, provider: str) -> Any:
        options = self._runtime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.log_severity_level = 4  # nothing: errors are raised too, and warnings about a foreign graph of no use
        state = self._runtime.capi.onnxruntime_pybind11_state
        # UnicodeDecodeError: its own message names something in the graph that is not UTF-8
        self._errors = (state.InvalidProtobuf, state.InvalidGraph, state.InvalidArgument, state.Fail, state.NotImplemented,
                        state.RuntimeException, UnicodeDecodeError)  # fmt: skip
        try:
            return self._runtime.InferenceSession(str(self.path), options, providers=[provider])
        except self._errors as error:
            reason = " ".join(str(error).split())[:400]
            raise UserError(f"{self.path}: truncated, or no ONNX graph that onnxruntime can run ({reason})") from None

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """See the class."""
        cuda = "CUDAExecutionProvider"
        if (
            images.is_cuda
            and cuda in self._runtime.get_available_providers()
            and cuda not in self._session.get_providers()
        ):
            self._session = self._open(cuda)
        array = np.ascontiguousarray(images.cpu().numpy(), dtype=np.float32)
        step = self.fixed_batch or max(1, len(array))
        blocks = [self._run(array[start : start + step]) for start in range(0, len(array), step)]
        return torch.from_numpy(np.concatenate(blocks))

    def _run(self, block: np.ndarray) -> np.ndarray:
        absent = (self.fixed_batch or 0) - len(block)
        padded = np.pad(block, ((0, absent), (0, 0), (0, 0), (0, 0))) if absent > 0 else block
        try:
            embeddings: np.ndarray = self._session.run([self.output.name], {self.input.name: padded})[0]
        except self._errors as error:
            reason = str(error).splitlines()[0]
            raise UserError(f"{self.path}: does not take the images that it asks for ({reason})") from None
        return embeddings[: len(block)]


def _takes_images(end: Any) -> bool:
    shape = end.shape
    square = len(shape) == 4 and shape[1] == 3 and shape[2] == shape[3] and isinstance(shape[2], int) and shape[2] > 0
    return square and end.type == "tensor(float)"


def check_weights(path: Path) -> None:
    """Look for NaN and infinity in a graph that onnxruntime has opened. Raises UserError, naming the tensor.

    That takes the package onnx, which comes with the same extra; without it nothing is looked at. A single number may be
    infinite: it is no weight but a bound.
    """
    if find_spec("onnx") is None:
        return
    import onnx

    graph = onnx.load(path, load_external_data=False).graph
    constants = [
        one.t for node in graph.node if node.op_type == "Constant" for one in node.attribute if one.HasField("t")
    ]
    for tensor in (*graph.initializer, *constants):
        if tensor.data_type not in (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.DOUBLE):
            continue
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            place = {entry.key: entry.value for entry in tensor.external_data}  # it is there: onnxruntime has read it
            offset, length = int(place.get("offset", 0)), int(place.get("length", -1))
            tensor.raw_data = np.fromfile(path.parent / place["location"], np.uint8, length, offset=offset).tobytes()
            tensor.data_location = onnx.TensorProto.DEFAULT
        values = np.array(onnx.numpy_helper.to_array(tensor))
        if values.size > 1 and (wrong := unsound({tensor.name: torch.from_numpy(values)})):
            raise UserError(f"{path}: the tensor {wrong}, expected finite numbers; export an earlier epoch")


def load_onnx(path: Path, arch: str, preprocessing: str) -> Backbone:
    """Open a graph. Raises UserError for a foreign one whose input convention is not given, because a graph shows none.

    Our own exports record architecture, family and input convention as metadata.
    """
    model = OnnxNetwork(path)
    check_weights(path)
    record = model.record
    found = record.get("arch", "auto")
    if arch not in ("auto", found):
        holds = "does not say which architecture it holds" if found == "auto" else f"holds {found}"
        raise UserError(f"{path}: {holds}, expected {arch}; leave --arch out")
    if preprocessing == "auto" and "preprocessing" not in record:
        raise UserError(
            f"{path}: records no input convention, and an ONNX graph shows none; give --preprocessing ({', '.join(PRESETS)})"
        )
    asked = None if preprocessing == "auto" else replace(PRESETS[preprocessing], size=model.size)
    own = Preprocessing.of(record["preprocessing"]) if "preprocessing" in record else asked
    assert own is not None
    if own.size != model.size:
        raise UserError(f"{path}: records pictures of {own.size} px, and its input takes {model.size} px")
    digest = sha256(path)
    return Backbone(
        path=path,
        model=model.eval(),
        arch=record.get("arch", "unknown architecture"),
        preprocessing=asked or own,
        own_preprocessing=own,
        family=record.get("family", "onnx"),
        prefix="",
        loaded=None,
        ignored=[],
        weights_sha256=digest,
        file_sha256=digest,
        bn_eps=record.get("bn_eps"),
        manifest=record,
    )
