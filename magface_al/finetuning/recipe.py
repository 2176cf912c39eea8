"""How to fine-tune: the losses by name, the recipe, and how the answers are divided. Imports no torch, so that flags can
have their choices and defaults here.

A new loss is a function of losses.py that takes (EmbeddedPairs, Recipe), and a line of LOSSES that names it
and says which numbers of the recipe it reads.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from magface_al.metrics.cosine import THRESHOLD


@dataclass(frozen=True)
class Loss:
    """function: of losses.py. meaning: a sentence for --help. uses: the fields of Recipe that it reads.

    pushes_above: the cosine above which a pair of different people has a gradient; None where every pair has one.
    """

    function: str
    meaning: str
    uses: tuple[str, ...]
    pushes_above: Callable[[Recipe], float] | None = None


LOSSES = {
    "adaptive": Loss(
        "adaptive",
        "logistic, plus a softmax over the batch, plus a pull to the original embeddings",
        ("threshold", "in_batch", "distill"),
    ),
    "logistic": Loss(
        "logistic_at_threshold",
        "log(1 + exp(-20 (c - threshold))) of the cosine c, its mirror for different people",
        ("threshold",),
    ),
    "cosine": Loss(
        "cosine_margin",
        "(1 - c)^2 and max(0, c - margin)^2, the margin being a cosine",
        ("margin",),
        lambda recipe: recipe.margin,
    ),
    "contrastive": Loss(
        "euclidean_margin",
        "the documented y d^2 + (1 - y) max(0, margin - d)^2, the margin being a Euclidean distance in [0, 2]",
        ("margin",),
        lambda recipe: 1 - recipe.margin**2 / 2,
    ),
}
BATCH_NORM = ("frozen", "train")
SPLIT_BY = ("identity", "pair")
# The validation figures that may choose the best epoch.
HIGHER_IS_BETTER = {"auc": True, "eer": False, "accuracy": True}


@dataclass(frozen=True)
class Recipe:
    """How to train; the defaults are what won in benchmarks/real_domain_shift.py."""

    loss: str = "adaptive"
    margin: float = 0.4  # contrastive: a Euclidean distance; cosine: a cosine
    threshold: float = THRESHOLD  # the cosine at which decisions are taken
    lr: float = 1e-4
    epochs: int = 10
    batch_size: int = 16
    trainable: str = "all"
    batch_norm: str = "frozen"
    in_batch: float = 1.0  # weight of the softmax over the batch
    distill: float = 1.0  # weight of the pull to the original embeddings
    replay: float = 10.0  # weight of the same pull on the replay faces, where there are any
    weight_decay: float = 0.0
    warmup: float = 0.1  # share of all steps over which the learning rate rises
    clip: float = 1.0  # largest norm of the gradient
    ema: float = 0.0  # decay of the averaged weights that are validated and kept; 0: the weights themselves
    augment: bool = True
    seed: int = 42


@dataclass(frozen=True)
class SplitRecipe:
    """How the answered pairs are divided: the shares of validation and test, what is kept whole, the seed of the draw;
    and by which validation figure the best epoch is chosen."""

    val_split: float = 0.2
    test_split: float = 0.0
    split_by: str = "identity"
    seed: int = Recipe.seed
    select_by: str = "auc"

    def shares(self) -> list[float]:
        """Of training, validation and test; they sum to 1."""
        return [1 - self.val_split - self.test_split, self.val_split, self.test_split]
