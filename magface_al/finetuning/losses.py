"""Losses on pairs of embeddings. Every margin and threshold says in its name which space it lives in.

First the formulas: embeddings are unit vectors, float32 [B, D]; `same` is bool [B], True where a pair shows one person. All
return a scalar. On the unit sphere the Euclidean distance d and the cosine c are tied by d^2 = 2 - 2c. At the end stand the
losses that recipe.LOSSES names: each takes the embedded pairs of a step and the recipe.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch.nn import functional as F  # noqa: N812 (the field's name for it)

from magface_al.finetuning.recipe import Recipe

LOGISTIC_SCALE = 20.0  # how sharply a pair's loss fades as its cosine leaves the threshold
TEMPERATURE = 0.07  # of the softmax over the batch, as in MoCo (He et al. 2020)


def contrastive_euclidean(
    e1: torch.Tensor, e2: torch.Tensor, same: torch.Tensor, euclidean_margin: float
) -> torch.Tensor:
    """Mean of y d^2 + (1 - y) max(0, margin - d)^2: Hadsell et al. 2006, eq. 4, without the factor 1/2.

    A margin of 0.4 stops pushing different people apart at cosine 0.92, so most such pairs have no gradient.
    """
    squared = (e1 - e2).pow(2).sum(1)
    distance = squared.clamp_min(1e-12).sqrt()  # the root has no finite gradient at 0
    return torch.where(same, squared, (euclidean_margin - distance).clamp_min(0).pow(2)).mean()


def contrastive_cosine(e1: torch.Tensor, e2: torch.Tensor, same: torch.Tensor, cosine_margin: float) -> torch.Tensor:
    """Mean of y (1 - c)^2 + (1 - y) max(0, c - margin)^2; the margin is the cosine above which different people are pushed."""
    c = (e1 * e2).sum(1)
    return torch.where(same, (1 - c).pow(2), (c - cosine_margin).clamp_min(0).pow(2)).mean()


def logistic(e1: torch.Tensor, e2: torch.Tensor, same: torch.Tensor, cosine_threshold: float) -> torch.Tensor:
    """Mean of log(1 + exp(-s (c - threshold))) with s = +-20: what is clearly right already hardly pulls any more."""
    logit = LOGISTIC_SCALE * ((e1 * e2).sum(1) - cosine_threshold)
    return F.binary_cross_entropy_with_logits(logit, same.to(logit.dtype))


def in_batch(embeddings: torch.Tensor, groups: torch.Tensor) -> torch.Tensor:
    """Softmax cross-entropy of each image against all others of the batch (InfoNCE, van den Oord et al. 2018).

    embeddings [M, D] unit vectors of the batch's images; groups int64 [M], equal where images are known to show one
    person. Every image with a partner must find it among the images of other groups; further partners are left out of
    the sum instead of being pushed away.
    """
    scores = embeddings @ embeddings.T / TEMPERATURE
    partner = groups[:, None] == groups[None, :]
    self_pair = torch.eye(len(groups), dtype=torch.bool, device=groups.device)
    others = scores.masked_fill(partner, -1e4).logsumexp(1, keepdim=True)
    # log(1 + exp(others - score)): each partner on its own against all strangers
    losses = F.softplus(others - scores)
    wanted = partner & ~self_pair
    return losses[wanted].mean() if wanted.any() else scores.sum() * 0.0


def distillation(raw: torch.Tensor, teacher: torch.Tensor) -> torch.Tensor:
    """Mean of 1 - cos to the original model's embedding, plus the squared difference of the log magnitudes.

    raw and teacher [M, D] are not normalised. The second term keeps the magnitude a quality score.
    """
    turned = 1 - F.cosine_similarity(raw, teacher)
    scaled = (raw.norm(dim=1).clamp_min(1e-6).log() - teacher.norm(dim=1).clamp_min(1e-6).log()).pow(2)
    mean: torch.Tensor = (turned + scaled).mean()
    return mean


@dataclass(frozen=True)
class EmbeddedPairs:
    """The B pairs of a step, the first images of all before the second ones of all.

    raw float32 [2B, D], not normalised, with gradients; teacher [2B, D], the original model's; groups int64 [2B], equal
    where two images are known to show one person; same bool [B].
    """

    raw: torch.Tensor
    teacher: torch.Tensor
    groups: torch.Tensor
    same: torch.Tensor

    @cached_property
    def directions(self) -> torch.Tensor:
        """Unit vectors [2B, D]."""
        return F.normalize(self.raw)

    @property
    def sides(self) -> tuple[torch.Tensor, torch.Tensor]:
        """The unit vectors [B, D] of the first and of the second images."""
        first, second = self.directions.chunk(2)
        return first, second


def logistic_at_threshold(pairs: EmbeddedPairs, recipe: Recipe) -> torch.Tensor:
    """The logistic formula at the recipe's threshold."""
    return logistic(*pairs.sides, pairs.same, recipe.threshold)


def adaptive(pairs: EmbeddedPairs, recipe: Recipe) -> torch.Tensor:
    """The same, plus the softmax over the batch, plus the pull to the original embeddings, by the recipe's weights."""
    loss = logistic_at_threshold(pairs, recipe)
    loss = loss + recipe.in_batch * in_batch(pairs.directions, pairs.groups)
    return loss + recipe.distill * distillation(pairs.raw, pairs.teacher)


def cosine_margin(pairs: EmbeddedPairs, recipe: Recipe) -> torch.Tensor:
    """contrastive_cosine at the recipe's margin."""
    return contrastive_cosine(*pairs.sides, pairs.same, recipe.margin)


def euclidean_margin(pairs: EmbeddedPairs, recipe: Recipe) -> torch.Tensor:
    """contrastive_euclidean at the recipe's margin."""
    return contrastive_euclidean(*pairs.sides, pairs.same, recipe.margin)
