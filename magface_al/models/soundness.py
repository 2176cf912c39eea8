"""Are weights numbers that a network can compute with? The one place that looks, for what is loaded and what is saved."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch

GROWTH = 1e10  # of the largest weight over that of the start: no training needs it, and a diverging one passes it


def unsound(content: Any, limit: float = math.inf) -> str:
    """What is wrong with the tensors in `content` (dictionaries and lists of tensors, and of such, to any depth): the first
    that holds NaN, infinity, or a value of a size above the limit, in words; "" if none does.

    Whole numbers, and whatever is no tensor, always pass.
    """
    for name, tensor in tensors_in(content):
        size = largest(tensor)
        if not size <= limit or math.isinf(size):
            held = "NaN" if math.isnan(size) else "infinity" if math.isinf(size) else f"values of {size:.1e}"
            return f"{name} holds {held}"
    return ""


def tensors_in(content: Any, name: str = "") -> Iterator[tuple[str, torch.Tensor]]:
    """(where it is, tensor) of every tensor; the keys on the way to it are joined with dots."""
    if isinstance(content, torch.Tensor):
        yield name, content
    elif isinstance(content, dict | list | tuple):
        for key, item in content.items() if isinstance(content, dict) else enumerate(content):
            yield from tensors_in(item, f"{name}.{key}" if name else str(key))


def largest(tensor: torch.Tensor) -> float:
    """The largest size of a value, NaN if one is NaN; 0 of no values and of whole numbers."""
    if not (tensor.is_floating_point() and tensor.numel()):
        return 0.0
    values = tensor.detach()
    if values.dtype not in (torch.float16, torch.bfloat16, torch.float32, torch.float64):
        values = values.float()  # the types of eight bits have no order
    low, high = float(values.min()), float(values.max())  # both are NaN if one value is
    return low if math.isnan(low) else max(abs(low), abs(high))


def is_plain(value: Any) -> bool:
    """Is it a tensor of real numbers in memory: not sparse, nested or quantised, not complex, and not without content."""
    return (
        isinstance(value, torch.Tensor)
        and value.layout == torch.strided
        and not (value.is_nested or value.is_quantized or value.is_complex() or value.is_meta)
    )
