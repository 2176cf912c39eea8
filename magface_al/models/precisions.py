"""The precisions a network may compute in, by name. Imports no torch, so that flags can list them; device.py applies them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Precision:
    """gpu, cpu: the number's name in torch, None for float32. scaled: gradients underflow unless the loss is scaled."""

    gpu: str | None
    cpu: str | None
    scaled: bool = False


PRECISIONS = {
    "auto": Precision("bfloat16", None),
    "fp32": Precision(None, None),
    "bf16": Precision("bfloat16", "bfloat16"),
    "fp16": Precision("float16", "float16", scaled=True),
}
