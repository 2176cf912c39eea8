"""What a person asks choose_pairs.py for. Imports no torch, so --help is instant."""

from __future__ import annotations

from dataclasses import dataclass

from magface_al.choosing.strategies import MIXED
from magface_al.metrics.cosine import THRESHOLD


@dataclass(frozen=True)
class Wishes:
    """The flags of the same names. strategy: MIXED, or one of strategies.STRATEGIES; random_share: of the budget, for the
    random slice; max_per_image: questions that one image may be in, 0 for no limit."""

    budget: int = 200
    strategy: str = MIXED
    threshold: float = THRESHOLD
    random_share: float = 0.15
    max_per_image: int = 4
