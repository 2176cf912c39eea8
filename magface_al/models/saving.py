"""Weights on their way to a file: whole, or the old file stays as it was."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from magface_al.command.replacing import replacing


def save_torch(path: Path, content: Any) -> None:
    """torch.save. Raises OSError that names the file, of a full disk for example."""
    with replacing(path, "wb", durable=True) as file:
        torch.save(content, file)


def save_bytes(path: Path, data: bytes) -> None:
    """The same for a file that is bytes already."""
    with replacing(path, "wb", durable=True) as file:
        file.write(data)
