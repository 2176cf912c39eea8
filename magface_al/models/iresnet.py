"""iResNet, the backbone of MagFace and ArcFace, with MagFace's state-dict keys and numerics."""

from __future__ import annotations

import torch
from torch import nn

from magface_al.models.backbone import FAMILIES

BN_EPS = FAMILIES["magface"].bn_eps  # the other families' weights get theirs by set_bn_eps in checkpoint.py
BN_MOMENTUM = 0.9  # as published: PyTorch reads it as "90 % of the new batch", so fine-tuning must freeze BatchNorm
DROPOUT = 0.4


def _bn(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=BN_EPS, momentum=BN_MOMENTUM)


class Block(nn.Module):
    """BN, 3x3 conv, BN, PReLU, 3x3 conv (with the stride), BN, plus the shortcut; nothing after the sum."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.bn1 = _bn(inputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = _bn(outputs)
        self.prelu = nn.PReLU(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, stride, 1, bias=False)
        self.bn3 = _bn(outputs)
        self.downsample = (
            nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), _bn(outputs)) if stride > 1 else None
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, inputs, H, W] -> [B, outputs, H/stride, W/stride]."""
        residual: torch.Tensor = self.bn3(self.conv2(self.prelu(self.bn2(self.conv1(self.bn1(x))))))
        return residual + (x if self.downsample is None else self.downsample(x))


class IResNet(nn.Module):
    """float [B, 3, 112, 112] -> raw embedding [B, embedding_size], whose length (magnitude) MagFace trains as quality.

    Source: MagFace models/iresnet.py @99bae614. Every stage starts with stride 2, dropout drops whole channels, and
    the last BatchNorm is itself called `features` (see checkpoint.py for what that name breaks).
    """

    HEAD_MODULES = ("bn2", "fc", "features")
    LAST_STAGE_MODULES = ("layer4", *HEAD_MODULES)

    def __init__(self, blocks: tuple[int, ...], widths: tuple[int, ...], embedding_size: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, widths[0], 3, 1, 1, bias=False)
        self.bn1 = _bn(widths[0])
        self.prelu = nn.PReLU(widths[0])
        stages = [
            nn.Sequential(Block(inputs, width, 2), *(Block(width, width, 1) for _ in range(count - 1)))
            for count, inputs, width in zip(blocks, (widths[0], *widths[:-1]), widths, strict=True)
        ]
        self.layer1, self.layer2, self.layer3, self.layer4 = stages
        self.bn2 = _bn(widths[-1])
        self.dropout = nn.Dropout2d(DROPOUT)
        self.fc = nn.Linear(widths[-1] * 7 * 7, embedding_size)
        self.features = nn.BatchNorm1d(embedding_size, eps=BN_EPS, momentum=BN_MOMENTUM)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The raw embedding: trunk, then head."""
        return self.head(self.trunk(x))

    def trunk(self, x: torch.Tensor) -> torch.Tensor:
        """float [B, 3, 112, 112] -> activations [B, C, 7, 7] before the embedding layer."""
        x = self.prelu(self.bn1(self.conv1(x)))
        activations: torch.Tensor = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return activations

    def head(self, activations: torch.Tensor) -> torch.Tensor:
        """activations [B, C, 7, 7] -> raw embedding [B, embedding_size]."""
        x = self.dropout(self.bn2(activations))
        embedding: torch.Tensor = self.features(self.fc(x.flatten(1)))
        return embedding


def build(blocks: tuple[int, ...], widths: tuple[int, ...] = (64, 128, 256, 512), embedding_size: int = 512) -> IResNet:
    """An untrained iResNet; blocks and widths of its four stages, see architectures.py."""
    return IResNet(blocks, widths, embedding_size)
