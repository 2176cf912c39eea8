"""Damage to files of numbers: .npy, bare float32, .safetensors, ONNX graphs. Headers that lie, numbers that are none."""

from __future__ import annotations

import ast
import io
import json
import random
import struct
import warnings
from collections.abc import Callable

import numpy as np

from tests.fuzz.mutations import documents
from tests.fuzz.mutations.plain import Mutation, flip_bit

BAD_FLOATS = (float("nan"), float("inf"), -float("inf"), 1e37, -3e38, 1e-45, -0.0, 0.0, 3.0e38)
_DESCRIPTIONS = (
    "|O", "<U5", "|S4", "<f2", "<f8", ">f4", "<f16", "<c8", "|b1", "<i8", "<u2", "<M8[s]", "<m8", "|V4", "x", "", "<f99", "=f4", [("a", "<f4")],
    [("a", "<f4", (3,))], [("a", "|O")], None, 4, "<f4,<f4", ["<f4"],
)  # fmt: skip
_SHAPES = (
    (), (0,), (0, 8), (8, 0), (6,), (48,), (8, 6), (6, 8, 1), (2, 3, 8), (7, 8), (5, 8), (6, 7), (-1, 8), (6, -8), (1 << 40, 8), (1 << 62, 1 << 62),
    (1 << 31, 1), (10**30, 1), (6, 8.0), ("6", 8), (True, 48), 6, None, [6, 8],
)  # fmt: skip


def _npy_parts(data: bytes) -> tuple[dict[str, object], bytes]:
    """(header, array bytes); where the file is broken already, a plausible header and what is there."""
    try:
        length = struct.unpack("<H", data[8:10])[0]
        return dict(ast.literal_eval(data[10 : 10 + length].decode("latin-1"))), data[10 + length :]
    except (ValueError, SyntaxError, struct.error, TypeError, MemoryError, RecursionError):
        return {"descr": "<f4", "fortran_order": False, "shape": (6, 8)}, data[128:]


def _npy(header: str, content: bytes, version: bytes = b"\x01\x00") -> bytes:
    text = header.encode("latin-1", "replace")
    text += b" " * (-(11 + len(text)) % 64) + b"\n"
    length = struct.pack("<H" if version == b"\x01\x00" else "<I", len(text))
    return b"\x93NUMPY" + version + length + text + content


def npy_type(data: bytes, rng: random.Random) -> bytes:
    """Another type of numbers, or no numbers at all."""
    header, content = _npy_parts(data)
    return _npy(repr(header | {"descr": rng.choice(_DESCRIPTIONS)}), content)


def npy_shape(data: bytes, rng: random.Random) -> bytes:
    """Another shape than the file has room for, or than anybody expects."""
    header, content = _npy_parts(data)
    return _npy(repr(header | {"shape": rng.choice(_SHAPES)}), content)


def npy_header(data: bytes, rng: random.Random) -> bytes:
    """A header that is no dictionary, lacks a key, has one more, or is of another version."""
    header, content = _npy_parts(data)
    texts = (
        "", "{}", "None", "[1]", "{'descr': '<f4'}", repr(header)[:-1], repr(header | {"x": 1}), "(" * 1000, "1" * 9000, "{'a': " * 200,
        repr(header | {"fortran_order": True}), repr(header | {"fortran_order": 2}), "__import__('os')", "\x00",
    )  # fmt: skip
    return _npy(
        rng.choice((repr(header), *texts)), content, rng.choice((b"\x01\x00", b"\x02\x00", b"\x03\x00", b"\x09\x09"))
    )


def npy_other(data: bytes, rng: random.Random) -> bytes:
    """What NumPy writes under this name too: an archive, text, objects, another type with the numbers of the file."""
    buffer = io.BytesIO()
    _, content = _npy_parts(data)
    values = np.frombuffer(content[: len(content) // 32 * 32], "<f4").reshape(-1, 8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        others: tuple[Callable[[], object], ...] = (
            lambda: np.savez(buffer, a=values),
            lambda: np.savez_compressed(buffer, values),
            lambda: np.save(buffer, np.array(["a", "b"] * 3)),
            lambda: np.save(buffer, np.array([{}, None] * 3, dtype=object), allow_pickle=True),
            lambda: np.save(buffer, values.astype(np.complex64)),
            lambda: np.save(buffer, values.astype(np.float64)),
            lambda: np.save(buffer, np.nan_to_num(values, posinf=0, neginf=0).clip(-100, 100).astype(np.int8)),
            lambda: np.save(buffer, values > 0),
            lambda: np.save(buffer, values.astype("<U8")),
            lambda: np.save(buffer, np.asfortranarray(values)),
            lambda: np.save(buffer, values.astype("M8[s]") if not len(values) else np.zeros(values.shape, "M8[s]")),
            lambda: np.savetxt(buffer, values),
        )
        rng.choice(others)()
    return buffer.getvalue()


def npy_values(data: bytes, rng: random.Random) -> bytes:
    """Numbers that are none, or too large or small to be squared."""
    header, content = _npy_parts(data)
    return _npy(repr(header), bad_floats(content, rng))


def bad_floats(data: bytes, rng: random.Random) -> bytes:
    """One float32, eight of them, or all become such a number."""
    count = len(data) // 4
    if not count:
        return data
    value = struct.pack("<f", rng.choice(BAD_FLOATS))
    first = rng.randrange(count)
    number = rng.choice((1, 8, count))
    last = min(count, first + number) if number < count else count
    first = 0 if number == count else first
    return data[: 4 * first] + value * (last - first) + data[4 * last :]


NPY: list[Mutation] = [
    npy_type,
    npy_shape,
    npy_header,
    npy_other,
    npy_values,
    npy_type,
    npy_shape,
    npy_values,
    npy_other,
]
FLOATS: list[Mutation] = [bad_floats]


def _tensors(data: bytes) -> tuple[bytes, bytes]:
    """The JSON and the numbers of a .safetensors file; whatever is there of them."""
    length = struct.unpack("<Q", data[:8].ljust(8, b"\0"))[0]
    length = min(length, len(data))
    return data[8 : 8 + length], data[8 + length :]


def tensors_header(data: bytes, rng: random.Random) -> bytes:
    """A well-formed header that says something else."""
    header, numbers = _tensors(data)
    header = rng.choice(documents.JSON)(header, rng)
    return struct.pack("<Q", len(header)) + header + numbers


def tensors_record(data: bytes, rng: random.Random) -> bytes:
    """Our own record in the metadata says something else."""
    header, numbers = _tensors(data)
    try:
        found = json.loads(header)
        metadata = found["__metadata__"]
        key = rng.choice(list(metadata))
        metadata[key] = rng.choice(documents.JSON)(metadata[key].encode(), rng).decode("utf-8", "replace")
        header = json.dumps(found).encode()
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError):
        pass
    return struct.pack("<Q", len(header)) + header + numbers


def tensors_length(data: bytes, rng: random.Random) -> bytes:
    """A header of another length than it has."""
    lengths = (0, 1, 1 << 20, 1 << 31, 1 << 40, 1 << 63, (1 << 64) - 1, len(data), len(data) - 8)
    return struct.pack("<Q", max(0, rng.choice(lengths))) + data[8:]


def tensors_values(data: bytes, rng: random.Random) -> bytes:
    """Weights that are no numbers."""
    header, numbers = _tensors(data)
    return struct.pack("<Q", len(header)) + header + bad_floats(numbers, rng)


SAFETENSORS: list[Mutation] = [
    tensors_header, tensors_record, tensors_length, tensors_values, tensors_record, tensors_header, tensors_record,
]  # fmt: skip


def graph_record(data: bytes, rng: random.Random) -> bytes:
    """Our own record in the metadata says something else."""
    import onnx
    from google.protobuf.message import DecodeError

    try:
        graph = onnx.load_model_from_string(data)
    except (DecodeError, ValueError, TypeError):
        return flip_bit(data, rng)
    for entry in graph.metadata_props:
        value = entry.value if isinstance(entry.value, bytes) else entry.value.encode()  # bytes: damaged before
        entry.value = rng.choice(documents.JSON)(value, rng).decode("utf-8", "replace")
    return bytes(graph.SerializeToString())


def graph_shapes(data: bytes, rng: random.Random) -> bytes:
    """Dimensions of inputs, outputs or weights become others; or a weight is said to lie in another file."""
    import onnx
    from google.protobuf.message import DecodeError

    try:
        model = onnx.load_model_from_string(data)
    except (DecodeError, ValueError, TypeError):
        return flip_bit(data, rng)
    graph = model.graph
    number = rng.choice((0, 1, 2, 3, 113, 1 << 20, 1 << 31, 1 << 40, (1 << 62), -1))
    value = rng.choice([*graph.input, *graph.output, *graph.initializer] or [None])
    if isinstance(value, onnx.TensorProto):
        if rng.random() < 0.3:
            value.data_location = onnx.TensorProto.EXTERNAL
            place = value.external_data.add()
            place.key, place.value = (
                "location",
                rng.choice(("absent.bin", "../x", "/dev/zero", "/etc/hostname", "", ".")),
            )
            value.ClearField("raw_data")
        elif value.dims:
            value.dims[rng.randrange(len(value.dims))] = number
    elif value is not None and value.type.tensor_type.shape.dim:
        rng.choice(list(value.type.tensor_type.shape.dim)).dim_value = number
    return bytes(model.SerializeToString())


ONNX: list[Mutation] = [graph_record, graph_shapes, graph_record, graph_shapes, graph_record]
HONEST: list[Mutation] = [*NPY, *FLOATS, *SAFETENSORS, *ONNX]
