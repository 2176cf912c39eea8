"""Tensors and our record out of a file of weights (.pth, .safetensors), without ever running code from it."""

from __future__ import annotations

import errno
import pickle
import struct
import warnings
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import torch

from magface_al.command.errors import UserError
from magface_al.command.extras import require
from magface_al.command.files import open_input
from magface_al.command.pickles import TooLarge
from magface_al.models.pth_checks import check_pth
from magface_al.models.records import OUR_KEY, checked_record, parse_record
from magface_al.models.soundness import is_plain

STATE_KEYS = ("state_dict", "state_dict_backbone", "net_state_dict", "model")
# Lightning (AdaFace's trainer) stores objects of these packages beside the tensors.
TRAINER_PACKAGES = ("pytorch_lightning.", "lightning.", "argparse.Namespace")

# What Python's zipfile and pickle, and PyTorch, raise over bytes that make no sense to them.
BROKEN = (RuntimeError, EOFError, BadZipFile, ValueError, LookupError, TypeError, AttributeError, AssertionError,
          ArithmeticError, MemoryError, struct.error)  # fmt: skip

State = Mapping[str, torch.Tensor]


def read_weights(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """(the file's tensors by their keys, the `magface_al` record or an empty dictionary). Raises UserError."""
    if path.suffix == ".safetensors":
        return read_safetensors(path)
    content = read_checkpoint(path)
    ours = content.get(OUR_KEY)
    return _state_dict(path, content), checked_record(path, ours) if isinstance(ours, dict) else {}


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a .pth file without running any code in it. Raises UserError for anything but tensors in plain containers,
    and for a file that was damaged (where its format says so, see pth_checks) or announces more than it holds."""
    try:
        with open_input(path, "a checkpoint (.pth)") as file, warnings.catch_warnings():
            names = check_pth(file)
            file.seek(0)
            warnings.simplefilter("ignore", UserWarning)  # of pickle protocols: the file is read or refused
            with _placeholders(names):
                content = torch.load(file, map_location="cpu", weights_only=True)
    except TooLarge as error:
        raise UserError(f"{path}: refused, it {error}; copy or download it again") from None
    except pickle.UnpicklingError as error:
        raise UserError(f"{path}: {_why_refused(error)}") from None
    except (OSError, *BROKEN) as error:
        if isinstance(error, OSError) and error.errno != errno.EINVAL:  # that: it points before its own beginning
            raise
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise UserError(f"{path}: truncated, or no PyTorch checkpoint ({reason}); copy or download it again") from None
    if not isinstance(content, dict):
        raise UserError(
            f"{path}: holds a {type(content).__name__}, expected a dictionary of tensors or one with a state_dict"
        )
    return content


class _Placeholder:
    """What a trainer's object becomes: it remembers nothing and can do nothing."""

    def __init__(self, *arguments: Any, **named: Any) -> None: ...

    def __setstate__(self, state: Any) -> None: ...


def _placeholders(names: set[str]) -> AbstractContextManager[Any]:
    """While it is entered, PyTorch's safe unpickler makes placeholders of a trainer's objects instead of refusing the file."""
    known = [name for name in names if name.startswith(TRAINER_PACKAGES)]
    # One class a name, because the class itself may be a dictionary's key.
    return torch.serialization.safe_globals([(type(name, (_Placeholder,), {}), name) for name in known])


def _why_refused(error: pickle.UnpicklingError) -> str:
    text = str(error)
    if "GLOBAL" in text or "Unsupported global" in text or "Unsupported class" in text:
        wanted = text.split("GLOBAL ")[1].split()[0] if "GLOBAL " in text else "code"
        return f"asks to run {wanted} while loading; refused, nothing was executed. Save a plain state_dict of tensors instead"
    return "truncated, or no PyTorch checkpoint; copy or download it again"


def _state_dict(path: Path, content: dict[str, Any]) -> dict[str, torch.Tensor]:
    for key in STATE_KEYS:
        if isinstance(content.get(key), dict):
            content = content[key]
            break
    state = {key: value for key, value in content.items() if isinstance(key, str) and is_plain(value)}
    if not state:
        raise UserError(
            f"{path}: no tensors in it (keys: {', '.join(map(str, list(content)[:5]))}), expected a state_dict"
        )
    return state


def read_safetensors(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """The tensors of a .safetensors file and our record from its metadata. Raises UserError.

    The format has no checksum; the library refuses a file that is shorter or longer than its header says.
    """
    safetensors = require("safetensors", f"to read {path.name}", "export")
    open_input(path, "weights (.safetensors)").close()  # a library opens it again: so it is one at least
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            state = {key: file.get_tensor(key) for key in file.keys()}  # it is no mapping: no iteration
            metadata = file.metadata() or {}
    except safetensors.SafetensorError as error:
        raise UserError(f"{path}: truncated, or no safetensors file ({error}); copy or download it again") from None
    return {key: value for key, value in state.items() if is_plain(value)}, parse_record(path, metadata)
