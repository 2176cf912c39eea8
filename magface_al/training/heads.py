"""Margin heads: what is taken off the cosine between an embedding and its own class before the softmax.

recipe.HEADS names them. A new head is a class here and a line there.

A head sees the target cosines only, so what it computes cannot spoil any other logit, and costs nothing at a million
classes. Tensors are float32 or float64: under autocast a cosine above 0.9998 is rounded to 1, where sqrt(1 - cos^2)
has no finite derivative, and that is how half-precision training reaches NaN.
"""

from __future__ import annotations

import math

import torch
from torch import nn

from magface_al.training.recipe import HEADS, TrainingRecipe

COSINE_LIMIT = 1 - 1e-7  # the largest cosine whose sine still has a finite derivative in float32
ADAFACE_LIMIT = 1e-3  # AdaFace head.py @c60eaa78


class Head(nn.Module):
    """The plain softmax: no margin, no regulariser. scale multiplies every cosine."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.scale = scale

    def observe(self, magnitude: torch.Tensor) -> None:
        """See the magnitudes [B] of a whole training batch, of all processes, before `target` is asked."""

    def target(self, cosine: torch.Tensor, magnitude: torch.Tensor) -> torch.Tensor:
        """Target cosines [B] in [-1, 1] and magnitudes [B] of the embeddings -> what enters the softmax instead [B]."""
        return cosine

    def regulariser(self, magnitude: torch.Tensor) -> torch.Tensor:
        """What is added to the loss for each embedding, [B]."""
        return torch.zeros_like(magnitude)


class CosFace(Head):
    """cos - m (Wang et al. 2018, arXiv 1801.09414)."""

    def __init__(self, scale: float, margin: float) -> None:
        super().__init__(scale)
        self.margin = margin

    def target(self, cosine: torch.Tensor, magnitude: torch.Tensor) -> torch.Tensor:
        """See Head."""
        return cosine - self.margin


class ArcFace(Head):
    """cos(theta + m) (Deng et al. 2019, arXiv 1801.07698), continued as cos - m sin m where theta + m exceeds pi."""

    def __init__(self, scale: float, margin: float) -> None:
        super().__init__(scale)
        self.margin = margin

    def target(self, cosine: torch.Tensor, magnitude: torch.Tensor) -> torch.Tensor:
        """See Head."""
        return added_angle(cosine, torch.full_like(cosine, self.margin), easy=False)


class InsightFaceArcFace(ArcFace):
    """arcface_torch's own ArcFace (losses.py): cos(theta + m) without the continuation, and a gradient that ignores the
    margin, because its arccos runs under no_grad. Published insightface models were trained with it."""

    def target(self, cosine: torch.Tensor, magnitude: torch.Tensor) -> torch.Tensor:
        """See Head."""
        pushed = torch.cos(torch.arccos(cosine.detach().clamp(-1, 1)) + self.margin)
        return cosine + (pushed - cosine.detach())


class MagFace(Head):
    """The margin grows with the magnitude, and magnitude is rewarded (Meng et al. 2021, arXiv 2103.06627, eqs. 3 and 4).

    With a the magnitude clamped to [l_a, u_a]: margin l_m + (u_m - l_m) / (u_a - l_a) (a - l_a), regulariser
    lambda_g (a / u_a^2 + 1 / a). arc: cos(theta + m), otherwise cos - m (Mag-CosFace). easy_margin: no margin where
    cos <= 0, as in every official run.
    """

    def __init__(
        self,
        scale: float,
        l_a: float,
        u_a: float,
        l_m: float,
        u_m: float,
        lambda_g: float,
        arc: bool,
        easy_margin: bool,
    ) -> None:
        super().__init__(scale)
        self.l_a, self.u_a, self.l_m, self.u_m, self.lambda_g = l_a, u_a, l_m, u_m, lambda_g
        self.arc, self.easy_margin = arc, easy_margin

    def margin(self, magnitude: torch.Tensor) -> torch.Tensor:
        """The margin of each embedding, [B]."""
        slope = (self.u_m - self.l_m) / (self.u_a - self.l_a)
        return self.l_m + slope * (magnitude.clamp(self.l_a, self.u_a) - self.l_a)

    def target(self, cosine: torch.Tensor, magnitude: torch.Tensor) -> torch.Tensor:
        """See Head."""
        margin = self.margin(magnitude)
        return added_angle(cosine, margin, self.easy_margin) if self.arc else cosine - margin

    def regulariser(self, magnitude: torch.Tensor) -> torch.Tensor:
        """See Head."""
        a = magnitude.clamp(self.l_a, self.u_a)
        return self.lambda_g * (a / self.u_a**2 + 1 / a)

    def lambda_bound(self) -> float:
        """The lambda_g below which larger magnitudes need not pay off: s k u^2 l^2 / (u^2 - l^2), k the margin's slope.

        Source: MagFace run/trainer.py:95, where s is fixed at 64.
        """
        slope = (self.u_m - self.l_m) / (self.u_a - self.l_a)
        return self.scale * slope * self.u_a**2 * self.l_a**2 / (self.u_a**2 - self.l_a**2)


class AdaFace(Head):
    """A margin between additive and angular by the image's quality (Kim et al. 2022, arXiv 2204.00964, eqs. 14 to 17).

    Quality is z, the magnitude standardised by running batch statistics, times h, in [-1, 1]; no gradient flows through
    it. target = cos(theta - m z) - (m + m z). Source: AdaFace head.py @c60eaa78. A batch of one has no standard
    deviation; upstream stores NaN for good, here such a batch leaves the statistics as they are.
    """

    batch_mean: torch.Tensor
    batch_std: torch.Tensor

    def __init__(self, scale: float, margin: float, h: float, t_alpha: float) -> None:
        super().__init__(scale)
        self.margin, self.h, self.t_alpha = margin, h, t_alpha
        self.register_buffer("batch_mean", torch.tensor(20.0))
        self.register_buffer("batch_std", torch.tensor(100.0))

    @torch.no_grad()
    def observe(self, magnitude: torch.Tensor) -> None:
        """See Head."""
        if self.training and len(magnitude) > 1:
            seen = magnitude.clamp(0.001, 100)
            self.batch_mean.lerp_(seen.mean().to(self.batch_mean.dtype), self.t_alpha)
            self.batch_std.lerp_(seen.std().to(self.batch_std.dtype), self.t_alpha)

    def target(self, cosine: torch.Tensor, magnitude: torch.Tensor) -> torch.Tensor:
        """See Head."""
        quality = (magnitude.detach().clamp(0.001, 100) - self.batch_mean) / (self.batch_std + 1e-3)
        z = (quality * self.h).clamp(-1, 1)
        theta = torch.arccos(cosine.clamp(-1 + ADAFACE_LIMIT, 1 - ADAFACE_LIMIT))
        turned = (theta - self.margin * z).clamp(ADAFACE_LIMIT, math.pi - ADAFACE_LIMIT)
        return turned.cos() - (self.margin + self.margin * z)


def added_angle(cosine: torch.Tensor, margin: torch.Tensor, easy: bool) -> torch.Tensor:
    """cos(theta + margin) of cosines [B] and margins [B] in radians.

    Where theta + margin would exceed pi, the cosine would rise again: there it is cos - margin sin(margin). easy: the
    cosine itself is kept wherever it is not above 0.
    """
    c = cosine.clamp(-COSINE_LIMIT, COSINE_LIMIT)
    pushed = c * margin.cos() - (1 - c * c).sqrt() * margin.sin()
    if easy:
        return torch.where(cosine > 0, pushed, cosine)
    return torch.where(cosine > -margin.cos(), pushed, cosine - margin * margin.sin())


def build_head(recipe: TrainingRecipe) -> Head:
    """The head that a recipe names, with its numbers."""
    kind = HEADS[recipe.head]
    given = {name: getattr(recipe, name) for name in kind.from_recipe}
    head: Head = globals()[kind.of](recipe.scale, **recipe.head_values(), **kind.fixed, **given)
    return head
