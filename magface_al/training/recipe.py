"""How recognition is trained: every choice that changes the weights, with its default. Imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass, field

# Sources: MagFace run/run.sh and run/run_dist_cos.sh @99bae614 (its argparse defaults are another, infeasible set);
# arcface_torch/losses.py and configs/base.py; AdaFace scripts/run_ir101_ms1mv2.sh @c60eaa78 (again not its argparse).
HEADS: dict[str, dict[str, float]] = {
    "magface": {"l_a": 10.0, "u_a": 110.0, "l_m": 0.45, "u_m": 0.8, "lambda_g": 35.0},
    "mag-cosface": {"l_a": 10.0, "u_a": 110.0, "l_m": 0.35, "u_m": 0.8, "lambda_g": 150.0},
    "arcface": {"margin": 0.5},
    "arcface-insightface": {"margin": 0.5},
    "cosface": {"margin": 0.4},
    "adaface": {"margin": 0.4, "h": 0.333, "t_alpha": 0.01},
}
SCHEDULES = ("multistep", "cosine", "linear")
PRECISIONS = ("auto", "fp32", "bf16", "fp16")


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
    head_options: dict[str, float] = field(default_factory=dict)  # over HEADS[head]
    scale: float = 64.0
    easy_margin: bool = True  # magface: no margin for targets behind the class centre's horizon
    epochs: int = 25
    batch_size: int = 512  # images an optimizer step, over all processes and parts together
    accumulate: int = 1  # parts that a step's images are taken in
    optimizer: str = "sgd"
    lr: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 5e-4
    decay: str = "all"  # "all" parameters, or "weights" only: no BatchNorm, PReLU or bias
    schedule: str = "multistep"
    milestones: tuple[int, ...] = (10, 18, 22)  # finished epochs after which the rate drops
    gamma: float = 0.1
    warmup_epochs: float = 0.0
    clip: float = 5.0  # largest norm of the backbone's gradient, as in arcface_torch
    ema: float = 0.0
    precision: str = "auto"
    batch_norm: str = "train"
    bn_momentum: float = 0.1
    dropout: float = 0.4
    split_fc: bool = False
    sample_rate: float = 1.0
    augmentation: Augmentation = Augmentation()
    seed: int = 42

    def head_values(self) -> dict[str, float]:
        """The head's own numbers: its defaults, overridden by head_options."""
        return HEADS[self.head] | self.head_options
