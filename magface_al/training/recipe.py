"""How recognition is trained: every choice that changes the weights, with its default. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class HeadKind:
    """A margin head.

    of: its class in heads.py. numbers: its own, each a flag, with their defaults. fixed: what else the class is given.
    from_recipe: the fields of TrainingRecipe that it is given too. remark: what --help says of it.
    """

    of: str
    numbers: Mapping[str, float]
    fixed: Mapping[str, Any] = field(default_factory=dict)
    from_recipe: tuple[str, ...] = ()
    remark: str = ""


@dataclass(frozen=True)
class OptimizerKind:
    """An optimizer. of: its class in torch.optim. from_recipe: the fields that it is given besides lr and weight_decay."""

    of: str
    from_recipe: tuple[str, ...] = ()


# Sources: MagFace run/run.sh and run/run_dist_cos.sh @99bae614 (its argparse defaults are another, infeasible set);
# arcface_torch/losses.py and configs/base.py; AdaFace scripts/run_ir101_ms1mv2.sh @c60eaa78 (again not its argparse).
HEADS = {
    "magface": HeadKind(
        "MagFace",
        {"l_a": 10.0, "u_a": 110.0, "l_m": 0.45, "u_m": 0.8, "lambda_g": 35.0},
        fixed={"arc": True},
        from_recipe=("easy_margin",),
    ),
    "mag-cosface": HeadKind(
        "MagFace",
        {"l_a": 10.0, "u_a": 110.0, "l_m": 0.35, "u_m": 0.8, "lambda_g": 150.0},
        fixed={"arc": False},
        from_recipe=("easy_margin",),
    ),
    "arcface": HeadKind("ArcFace", {"margin": 0.5}, remark="has the formula's own gradient"),
    "arcface-insightface": HeadKind("InsightFaceArcFace", {"margin": 0.5}, remark="repeats arcface_torch's"),
    "cosface": HeadKind("CosFace", {"margin": 0.4}),
    "adaface": HeadKind("AdaFace", {"margin": 0.4, "h": 0.333, "t_alpha": 0.01}),
}
HEAD_NUMBERS = {  # of all heads together, and what --help says of them
    "l_a": "MagFace: lowest magnitude that matters",
    "u_a": "MagFace: highest",
    "l_m": "MagFace: margin at l_a",
    "u_m": "MagFace: margin at u_a",
    "lambda_g": "MagFace: weight of the regulariser that rewards magnitude",
    "margin": "ArcFace, CosFace, AdaFace",
    "h": "AdaFace: how far quality moves the margin",
    "t_alpha": "AdaFace: share of a batch in the running statistics of magnitudes",
}
OPTIMIZERS = {"sgd": OptimizerKind("SGD", ("momentum",)), "adamw": OptimizerKind("AdamW")}
DECAYED = ("all", "weights")
BATCH_NORMS = ("train", "frozen")


@dataclass(frozen=True)
class Augmentation:
    """Probabilities of what may happen to a training face, in this order; see augment.py."""

    crop: float = 0.0
    low_resolution: float = 0.0
    photometric: float = 0.0
    adaface_luminance: bool = False
    mirror: float = 0.5


@dataclass(frozen=True)
class TrainingRecipe:
    """The defaults are MagFace's official ones, except bn_momentum (MagFace: 0.9, which keeps the last batches only)."""

    head: str = "magface"
    head_options: dict[str, float] = field(default_factory=dict)  # over HEADS[head].numbers
    scale: float = 64.0
    easy_margin: bool = True  # magface: no margin for targets behind the class centre's horizon
    epochs: int = 25
    batch_size: int = 512  # images an optimizer step, over all processes and parts together
    accumulate: int = 1  # parts that a step's images are taken in
    optimizer: str = "sgd"  # of OPTIMIZERS
    lr: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 5e-4
    decay: str = "all"  # "all" parameters, or "weights" only: no BatchNorm, PReLU or bias
    schedule: str = "multistep"  # of schedules.SCHEDULES
    milestones: tuple[int, ...] = (10, 18, 22)  # finished epochs after which the rate drops
    gamma: float = 0.1
    warmup_epochs: float = 0.0
    clip: float = 5.0  # largest norm of the backbone's gradient, as in arcface_torch
    ema: float = 0.0
    precision: str = "auto"  # of models.precisions.PRECISIONS
    batch_norm: str = "train"
    bn_momentum: float = 0.1
    dropout: float = 0.4
    split_fc: bool = False
    sample_rate: float = 1.0
    augmentation: Augmentation = Augmentation()
    seed: int = 42

    def head_values(self) -> dict[str, float]:
        """The head's own numbers: its defaults, overridden by head_options."""
        return {**HEADS[self.head].numbers, **self.head_options}
