"""The two operations that let each process hold a part of the classes and still compute the exact softmax.

MagFace's parallel head loses the margin's radial gradient wherever an image and its class live on different processes
(its gathered magnitudes are not summed in the backward pass). Here the embeddings are gathered once, everything is
computed from them, and their gradients are summed over the processes, so nothing can be left out.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import distributed as dist
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from magface_al.training.distributed import gather, rank


class _GatherRows(Function):
    @staticmethod
    def forward(ctx: Any, rows: torch.Tensor) -> torch.Tensor:
        ctx.count = len(rows)
        return gather(rows)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
        total = gradient.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total[rank() * ctx.count : (rank() + 1) * ctx.count]


def gather_rows(rows: torch.Tensor) -> torch.Tensor:
    """[B, D] of each process -> [world B, D] on all. The gradient is the sum of what all processes make of it."""
    gathered: torch.Tensor = _GatherRows.apply(rows)
    return gathered


class _SoftmaxCrossEntropy(Function):
    @staticmethod
    def forward(
        ctx: Any, cosine: torch.Tensor, local: torch.Tensor, scale: float, split: bool
    ) -> tuple[torch.Tensor, torch.Tensor]:
        rows = torch.nonzero(local >= 0).flatten()
        probability = cosine * scale
        largest = probability.max(1).values
        target = probability.new_full((len(probability),), -torch.inf)
        target[rows] = probability[rows, local[rows]]
        if split:
            dist.all_reduce(largest, dist.ReduceOp.MAX)
            dist.all_reduce(target, dist.ReduceOp.MAX)
        probability.sub_(largest[:, None]).exp_()
        total = probability.sum(1)
        if split:
            dist.all_reduce(total)
        probability.div_(total[:, None])
        ctx.save_for_backward(probability, rows, local)
        ctx.scale = scale
        won = target >= largest
        ctx.mark_non_differentiable(won)
        return total.log() + largest - target, won

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor, _: torch.Tensor) -> tuple[torch.Tensor, None, None, None]:
        probability, rows, local = ctx.saved_tensors
        weight = gradient * ctx.scale
        result = probability * weight[:, None]
        result[rows, local[rows]] -= weight[rows]
        return result, None, None, None


def softmax_cross_entropy(
    cosine: torch.Tensor, local: torch.Tensor, scale: float, split: bool
) -> tuple[torch.Tensor, torch.Tensor]:
    """(loss [B], won bool [B]) of logits scale * cosine, cosine float [B, C]; won: no class is above the target.

    local int64 [B] is the target's column, or -1 where it is not among these columns. split: every process holds other
    columns of the same rows, and each target is a column of exactly one of them; all return the loss over all columns.
    """
    result: tuple[torch.Tensor, torch.Tensor] = _SoftmaxCrossEntropy.apply(cosine, local, scale, split)
    return result
