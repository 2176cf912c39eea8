"""The backbones by name. Imports no torch, so that flags can list them; backbones.py builds them.

A new size of a known network is a line here. A new network is a module beside this one, with a class that has `trunk`,
`head`, HEAD_MODULES and LAST_STAGE_MODULES, and a function `build`; and a line here that names it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Architecture:
    """module: of magface_al.models, whose `build(**options)` makes the network.

    family: of backbone.FAMILIES, where every file of this architecture has the same; None where the tensors tell.
    """

    module: str
    options: Mapping[str, Any] = field(default_factory=dict)
    family: str | None = None


ARCHITECTURES = {
    "iresnet18": Architecture("iresnet", {"blocks": (2, 2, 2, 2)}),
    "iresnet34": Architecture("iresnet", {"blocks": (3, 4, 6, 3)}),
    "iresnet50": Architecture("iresnet", {"blocks": (3, 4, 14, 3)}),
    "iresnet100": Architecture("iresnet", {"blocks": (3, 13, 30, 3)}),
    "iresnet_tiny": Architecture(
        "iresnet", {"blocks": (1, 1, 1, 1), "widths": (16, 32, 64, 96), "embedding_size": 128}
    ),  # for demos and tests on a CPU
    "mobilefacenet": Architecture("mobilefacenet", family="mobilefacenet"),
}
# What --trainable names -> the attribute of a network's class that lists those modules; None for all of them.
TRAINABLE = {"all": None, "last_stage": "LAST_STAGE_MODULES", "head": "HEAD_MODULES"}
DEFAULT = "iresnet50"  # of a network that is trained from scratch
