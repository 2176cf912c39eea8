"""The backbones by name, and the parts of each that fine-tuning may train alone."""

from __future__ import annotations

from torch import nn

from magface_al.models import iresnet, mobilefacenet

ARCHITECTURES = (*iresnet.BLOCKS_PER_STAGE, "mobilefacenet")


def build_backbone(arch: str) -> nn.Module:
    """An untrained backbone: float [B, 3, 112, 112] -> raw embedding [B, D], also as `trunk` followed by `head`."""
    return mobilefacenet.MobileFaceNet() if arch == "mobilefacenet" else iresnet.build_iresnet(arch)


def trainable_modules(model: nn.Module, part: str) -> list[nn.Module]:
    """The modules that --trainable names: "all", "last_stage" (the last stage and the head) or "head"."""
    if part == "all":
        return [model]
    owner = mobilefacenet if isinstance(model, mobilefacenet.MobileFaceNet) else iresnet
    names = owner.HEAD_MODULES if part == "head" else owner.LAST_STAGE_MODULES
    return [getattr(model, name) for name in names]
