"""Training curves for TensorBoard, which is an extra; without it nothing is written."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from magface_al.command.extras import require


class Events:
    """Scalars on their way to a writer, or nowhere."""

    def __init__(self, writer: Any) -> None:
        self._writer = writer

    def add(self, group: str, values: Mapping[str, float], step: int) -> None:
        """Add one point to the curve `group/name` of each value."""
        if self._writer is not None:
            for name, value in values.items():
                self._writer.add_scalar(f"{group}/{name}", value, step)

    def close(self) -> None:
        """Write what is left."""
        if self._writer is not None:
            self._writer.close()


def open_events(folder: Path, wanted: bool) -> Events:
    """Events that go to `folder` if wanted. Raises UserError when TensorBoard is not installed."""
    if not wanted:
        return Events(None)
    writer = require("torch.utils.tensorboard", "for --tensorboard", "tensorboard").SummaryWriter
    return Events(writer(str(folder)))
