"""The classifier that recognition is trained with: one direction a person, a margin head, the softmax's loss."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812 (the field's name for it)

from magface_al.training.distributed import gather, rank, share_of, world_size
from magface_al.training.heads import Head
from magface_al.training.split_fc import gather_rows, softmax_cross_entropy

_ROWS_AT_ONCE = 16384
FIGURES = ("loss", "cross_entropy", "regulariser", "accuracy", "cosine", "magnitude")


class Classifier(nn.Module):
    """Class directions float32 [classes, D], or with `split` this process's share of them, under a margin head.

    sample_rate below 1 leaves, at every step, only the classes of the batch and a random rest of the others in the
    softmax (Partial FC: An et al. 2022, arXiv 2203.15565). The first directions follow from the seed alone, whatever
    the number of processes. Put a classifier that is not split into DistributedDataParallel, a split one never.
    """

    def __init__(
        self, head: Head, dimensions: int, classes: int, *, seed: int, split: bool = False, sample_rate: float = 1.0
    ) -> None:
        super().__init__()
        self.head, self.classes, self.seed, self.sample_rate = head, classes, seed, sample_rate
        self.split = split and world_size() > 1
        self.first, self.last = share_of(classes, rank(), world_size()) if self.split else (0, classes)
        self.weight = nn.Parameter(_directions(classes, dimensions, seed, self.first, self.last))

    def forward(self, raw: torch.Tensor, label: torch.Tensor, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        """raw embeddings [B, D] of any precision, label int64 [B] -> (loss to go backward from, figures [6], see FIGURES).

        step seeds the sampling. Split: the figures are of the images of all processes together, and the gradient that
        reaches raw is world_size times its own, because DistributedDataParallel divides the backbone's by world_size.
        """
        with torch.autocast(raw.device.type, enabled=False):
            own = raw.float() if raw.dtype in (torch.float16, torch.bfloat16) else raw
            everyone, labels = own, label
            if self.split:
                own = _times(own, world_size())
                everyone, labels = gather_rows(own), gather(label)
            magnitude = everyone.norm(dim=1)
            self.head.observe(magnitude.detach() if self.split else gather(magnitude.detach()))
            weight, local = self._rows(labels, step)
            cosine = F.linear(F.normalize(everyone), F.normalize(weight))
            rows = torch.nonzero(local >= 0).flatten()
            target = cosine[rows, local[rows]].clamp(-1, 1)
            cosine[rows, local[rows]] = self.head.target(target, magnitude[rows])
            losses, won = softmax_cross_entropy(cosine, local, self.head.scale, self.split)
            # Of the regulariser each process differentiates its own images' part; the gather would count it repeatedly.
            loss = losses.mean() + self.head.regulariser(own.norm(dim=1)).sum() / len(everyone)
            return loss, self._figures(losses.detach(), won, target.detach(), magnitude.detach())

    def _figures(
        self, losses: torch.Tensor, won: torch.Tensor, target: torch.Tensor, magnitude: torch.Tensor
    ) -> torch.Tensor:
        cross_entropy, regulariser = losses.mean(), self.head.regulariser(magnitude).mean()
        cosine = target.sum() / len(magnitude)
        if self.split:
            torch.distributed.all_reduce(cosine)
        return torch.stack(
            [
                cross_entropy + regulariser,
                cross_entropy,
                regulariser,
                won.float().mean().to(cosine.dtype),
                cosine,
                magnitude.mean(),
            ]
        )

    def _rows(self, label: torch.Tensor, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        """(class directions of this step [C, D], column of each target int64 [B], -1 where another process has it)."""
        here = (label >= self.first) & (label < self.last)
        local = torch.where(here, label - self.first, -1)
        if self.sample_rate >= 1:
            return self.weight, local
        wanted = torch.unique(local[here])
        generator = torch.Generator(label.device).manual_seed(
            ((self.seed * 1_000_003 + step) * 1_000_003 + self.first) % 2**63
        )
        order = torch.rand(len(self.weight), generator=generator, device=label.device)
        order[wanted] = 2.0
        count = max(len(wanted), round(self.sample_rate * len(self.weight)), 1)
        kept = order.topk(count).indices.sort().values
        return self.weight[kept], torch.where(here, torch.searchsorted(kept, local.clamp_min(0)), -1)


def _directions(classes: int, dimensions: int, seed: int, first: int, last: int) -> torch.Tensor:
    """Rows first..last of random unit vectors float32 [classes, dimensions], without ever holding the others."""
    generator = torch.Generator().manual_seed(seed)
    kept = torch.empty(last - first, dimensions)
    for start in range(0, last, _ROWS_AT_ONCE):
        drawn = torch.randn(min(_ROWS_AT_ONCE, classes - start), dimensions, generator=generator)
        mine = F.normalize(drawn[max(first - start, 0) : max(last - start, 0)])
        at = max(start - first, 0)
        kept[at : at + len(mine)] = mine
    return kept


def _times(tensor: torch.Tensor, factor: int) -> torch.Tensor:
    """The tensor itself, with its gradient multiplied by factor."""
    same = tensor.view_as(tensor)
    if same.requires_grad:
        same.register_hook(lambda gradient: gradient * factor)
    return same
