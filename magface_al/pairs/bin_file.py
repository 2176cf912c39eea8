"""The field's `.bin` verification sets: a pickle of ([2P encoded images], [P bools]), images 2k and 2k + 1 being pair k.

A pickle can name any function of the machine to be called while it is read. This reader never looks one up: each of
the few names that real sets contain (Python 2 strings, bytes, uint8 arrays and bools of any NumPy) stands for a small
function of this file that makes bytes or bools, and every other name is refused.
Source of the format: insightface arcface_torch/eval/verification.py and src/data/lfw2pack.py @cec31e35.
"""

from __future__ import annotations

import functools
import io
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

from magface_al.command.errors import UserError
from magface_al.command.files import open_input
from magface_al.command.pickles import TooLarge, check_program
from magface_al.command.words import shown
from magface_al.pairs.pair_file import DIFFERENT, SAME, Pair, PairFile

MAX_IMAGE_BYTES = 1 << 22  # an aligned face has a few kilobytes


def read_bin(path: Path) -> PairFile:
    """Read a set; its images are named `FILE.bin#0`, `FILE.bin#1`, ... Raises UserError for anything but images and bools."""
    with open_input(path, "a .bin verification set") as file:
        data = file.read()
    try:
        check_program(io.BytesIO(data), len(data))
        content = _Reader(data).load()
    except TooLarge as error:
        raise UserError(f"{path}: refused, it {error}; copy it again") from None
    except pickle.UnpicklingError as error:
        why = " ".join(str(error).split())  # Python's own words may be two lines
        raise UserError(f"{path}: refused, {why}; a verification set holds images and bools only") from None
    except (ValueError, TypeError, KeyError, AttributeError, IndexError, EOFError, MemoryError, OverflowError) as error:
        raise UserError(
            f"{path}: truncated, or no verification set ({str(error) or type(error).__name__}); copy it again"
        ) from None
    if not isinstance(content, list | tuple) or len(content) != 2:
        raise UserError(f"{path}: expected a pair of lists, the images and whether each two of them show one person")
    images, same = _elements(content[0]), _elements(content[1])
    if images is None or same is None or not same or len(images) != 2 * len(same):
        raise UserError(f"{path}: expected a list of 2P images and one of P bools, two images for each bool")
    names = [f"{path.name}#{number}" for number in range(len(images))]
    copies: dict[int, bytes] = {}
    held = {
        name: _image(path, number, image, copies)
        for number, (name, image) in enumerate(zip(names, images, strict=True))
    }
    labels = [_label(path, number, value) for number, value in enumerate(same)]
    pairs = [Pair(names[2 * k], names[2 * k + 1], label) for k, label in enumerate(labels)]
    return PairFile(path, pairs, held=held)


class _Reader(pickle.Unpickler):
    """An unpickler to which the world consists of the names in _NAMES."""

    def __init__(self, data: bytes) -> None:
        super().__init__(io.BytesIO(data), encoding="bytes")
        # A text that is named a million times makes its bytes once.
        self._names = _NAMES | {"_codecs.encode": _Name(functools.cache(_encode))}

    def find_class(self, module: str, name: str) -> Any:
        if f"{module}.{name}" not in self._names:
            raise pickle.UnpicklingError(f"it asks for {shown(f'{module}.{name}')[1:-1]}")
        return self._names[f"{module}.{name}"]


class _Name:
    """What a pickle gets for a name: it can be called, and nothing else can be done to it."""

    __slots__ = ("_make",)

    def __init__(self, make: Callable[..., Any]) -> None:
        self._make = make

    def __call__(self, *arguments: Any) -> Any:
        return self._make(*arguments)

    def __setstate__(self, state: Any) -> None:
        raise pickle.UnpicklingError("it tries to change what a name stands for")


class _Dtype:
    """A NumPy dtype of one byte: "u1" (image bytes) or "b1" (bools)."""

    __slots__ = ("code",)

    def __init__(self, code: Any, *_: Any) -> None:
        self.code = code.decode("latin1") if isinstance(code, bytes) else code
        if self.code not in ("u1", "b1"):
            raise pickle.UnpicklingError(f"it holds an array of type {shown(code)}, expected uint8 or bool")

    def __setstate__(self, state: Any) -> None:
        """Byte order and alignment: of no meaning for a single byte."""


class _Array:
    """The bytes of a NumPy array of any shape, filled by the pickle's BUILD."""

    __slots__ = ("bools", "data")

    def __init__(self, data: bytes | bytearray = b"", dtype: _Dtype | None = None) -> None:
        self.data, self.bools = data, dtype is not None and dtype.code == "b1"

    def __setstate__(self, state: Any) -> None:
        _, _, dtype, _, data = state  # version, shape, dtype, Fortran order, bytes: numpy's array.__reduce__
        self.__init__(_bytes(data), _checked_dtype(dtype))  # type: ignore[misc]


def _checked_dtype(dtype: Any) -> _Dtype:
    if not isinstance(dtype, _Dtype):
        raise pickle.UnpicklingError("it holds an array without a type")
    return dtype


def _bytes(data: Any) -> bytes | bytearray:
    """The data themselves: a copy for every array that names them could be a thousand copies."""
    if not isinstance(data, bytes | bytearray):
        raise pickle.UnpicklingError(f"it holds a {type(data).__name__} where bytes belong")
    return data


def _encode(text: Any, encoding: Any) -> bytes:
    """How protocols below 3 write bytes: codecs.encode(text, "latin1")."""
    if encoding not in ("latin1", b"latin1"):
        raise pickle.UnpicklingError(f"it asks for the codec {shown(encoding)}")
    return text.encode("latin1") if isinstance(text, str) else bytes(_bytes(text))


def _scalar(dtype: Any, data: Any) -> Any:
    return _bytes(data) != b"\0" if _checked_dtype(dtype).code == "b1" else _bytes(data)


def _numpy(*names: str) -> list[str]:
    return [f"numpy.{core}.{name}" for core in ("core", "_core") for name in names]  # NumPy 1 and 2


_NAMES: dict[str, _Name] = {
    "numpy.ndarray": _Name(lambda *_: _Array()),
    "numpy.dtype": _Name(_Dtype),
    **dict.fromkeys(_numpy("multiarray._reconstruct"), _Name(lambda *_: _Array())),
    **dict.fromkeys(_numpy("multiarray.scalar"), _Name(_scalar)),
    **dict.fromkeys(
        _numpy("numeric._frombuffer"), _Name(lambda data, dtype, *_: _Array(_bytes(data), _checked_dtype(dtype)))
    ),
}


def _elements(value: Any) -> list[Any] | None:
    """A list, or an array of bools as one."""
    if isinstance(value, _Array) and value.bools:
        return [bool(byte) for byte in value.data]
    return list(value) if isinstance(value, list | tuple) else None


def _image(path: Path, number: int, value: Any, copies: dict[int, bytes]) -> bytes:
    """One image's bytes; copies holds those that had to be copied, by the id of what they were, so that none is twice."""
    data = value.data if isinstance(value, _Array) and not value.bools else value
    if not isinstance(data, bytes | bytearray) or not 0 < len(data) <= MAX_IMAGE_BYTES:
        found = f"{len(data)} bytes" if isinstance(data, bytes | bytearray) else type(value).__name__.lstrip("_")
        raise UserError(f"{path}: image {number}: {found}, expected the bytes of a JPEG or PNG of at most 4 MiB")
    if isinstance(data, bytes):
        return data
    if id(data) not in copies:
        copies[id(data)] = bytes(data)
    return copies[id(data)]


def _label(path: Path, number: int, value: Any) -> int:
    if not (isinstance(value, bool) or (type(value) is int and value in (0, 1))):
        raise UserError(f"{path}: pair {number}: label {shown(value)}, expected True or False")
    return SAME if value else DIFFERENT
