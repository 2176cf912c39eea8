"""Backbones from their names, and the parts of each that fine-tuning may train alone."""

from __future__ import annotations

from importlib import import_module

from torch import nn

from magface_al.models.architectures import ARCHITECTURES, TRAINABLE


def build_backbone(arch: str) -> nn.Module:
    """An untrained backbone: float [B, 3, 112, 112] -> raw embedding [B, D], also as `trunk` followed by `head`."""
    architecture = ARCHITECTURES[arch]
    network: nn.Module = import_module(f"magface_al.models.{architecture.module}").build(**architecture.options)
    return network


def trainable_modules(model: nn.Module, part: str) -> list[nn.Module]:
    """The modules that --trainable names: "all", "last_stage" (the last stage and the head) or "head"."""
    listed = TRAINABLE[part]
    return [model] if listed is None else [getattr(model, name) for name in getattr(model, listed)]
