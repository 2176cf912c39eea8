"""Which point of a ROC stands for a FAR: ours never exceeds it, upstream's is the nearest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from magface_al.metrics.roc import FAR_TARGETS, nearest_operating_point, operating_point

Point = tuple[float, float]  # TAR, FMR attained


@dataclass(frozen=True)
class FarRule:
    """read: FMR and TAR of a ROC, the FAR and the number of impostor pairs -> the point, None where they are too few.

    meaning: for --help.
    """

    meaning: str
    read: Callable[[np.ndarray, np.ndarray, float, int], Point | None]


# The first is the default.
FAR_RULES = {
    "at_most": FarRule("the highest FAR not above the target", operating_point),
    "nearest": FarRule(
        "the nearest, as upstream reads it, which may exceed the target",
        lambda fmr, tar, far, impostors: nearest_operating_point(fmr, tar, far),
    ),
}


def at_fars(fmr: np.ndarray, tar: np.ndarray, impostors: int, rule: FarRule) -> dict[str, float | None]:
    """tar_at_far_F and far_attained_F of every target."""
    found: dict[str, float | None] = {}
    for far in FAR_TARGETS:
        point = rule.read(fmr, tar, far, impostors)
        found[f"tar_at_far_{far:g}"], found[f"far_attained_{far:g}"] = point or (None, None)
    return found
