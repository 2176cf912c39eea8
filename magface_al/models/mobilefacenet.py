"""MobileFaceNet, the edge backbone: about 1 M parameters, 128-d (Chen et al. 2018, arXiv 1804.07573).

State-dict keys follow the MobileFaceNet of TreB1eN/InsightFace_Pytorch, the layout in which its weights circulate.
"""

from __future__ import annotations

import torch
from torch import nn


class ConvBlock(nn.Module):
    """Convolution without bias, BatchNorm and, unless linear, PReLU."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        stride: int = 1,
        padding: int = 0,
        groups: int = 1,
        linear: bool = False,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, padding, groups=groups, bias=False)
        self.bn = nn.BatchNorm2d(outputs)
        self.prelu = None if linear else nn.PReLU(outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, inputs, H, W] -> [B, outputs, H/stride, W/stride]."""
        x = self.bn(self.conv(x))
        return x if self.prelu is None else self.prelu(x)


class Bottleneck(nn.Module):
    """1x1 expansion, 3x3 depthwise convolution (with the stride), linear 1x1 projection; residual if asked."""

    def __init__(self, inputs: int, outputs: int, hidden: int, stride: int, residual: bool) -> None:
        super().__init__()
        self.conv = ConvBlock(inputs, hidden, 1)
        self.conv_dw = ConvBlock(hidden, hidden, 3, stride, 1, groups=hidden)
        self.project = ConvBlock(hidden, outputs, 1, linear=True)
        self.residual = residual

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, inputs, H, W] -> [B, outputs, H/stride, W/stride]."""
        y: torch.Tensor = self.project(self.conv_dw(self.conv(x)))
        return x + y if self.residual else y


class Residuals(nn.Module):
    """Several residual bottlenecks of one width, called `model` in the state dict."""

    def __init__(self, channels: int, hidden: int, count: int) -> None:
        super().__init__()
        self.model = nn.Sequential(*(Bottleneck(channels, channels, hidden, 1, True) for _ in range(count)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, channels, H, W] -> the same shape."""
        y: torch.Tensor = self.model(x)
        return y


class MobileFaceNet(nn.Module):
    """float [B, 3, 112, 112] -> raw embedding [B, embedding_size]."""

    HEAD_MODULES = ("conv_6_sep", "conv_6_dw", "linear", "bn")
    LAST_STAGE_MODULES = ("conv_45", "conv_5", *HEAD_MODULES)

    def __init__(self, embedding_size: int = 128) -> None:
        super().__init__()
        self.conv1 = ConvBlock(3, 64, 3, 2, 1)
        self.conv2_dw = ConvBlock(64, 64, 3, 1, 1, groups=64)
        self.conv_23 = Bottleneck(64, 64, 128, 2, False)
        self.conv_3 = Residuals(64, 128, 4)
        self.conv_34 = Bottleneck(64, 128, 256, 2, False)
        self.conv_4 = Residuals(128, 256, 6)
        self.conv_45 = Bottleneck(128, 128, 512, 2, False)
        self.conv_5 = Residuals(128, 256, 2)
        self.conv_6_sep = ConvBlock(128, 512, 1)
        self.conv_6_dw = ConvBlock(512, 512, 7, groups=512, linear=True)
        self.linear = nn.Linear(512, embedding_size, bias=False)
        self.bn = nn.BatchNorm1d(embedding_size)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The raw embedding: trunk, then head."""
        return self.head(self.trunk(x))

    def trunk(self, x: torch.Tensor) -> torch.Tensor:
        """float [B, 3, 112, 112] -> activations [B, 128, 7, 7]."""
        x = self.conv_3(self.conv_23(self.conv2_dw(self.conv1(x))))
        activations: torch.Tensor = self.conv_5(self.conv_45(self.conv_4(self.conv_34(x))))
        return activations

    def head(self, activations: torch.Tensor) -> torch.Tensor:
        """activations [B, 128, 7, 7] -> raw embedding [B, embedding_size]."""
        x = self.conv_6_dw(self.conv_6_sep(activations))
        embedding: torch.Tensor = self.bn(self.linear(x.flatten(1)))
        return embedding


def build() -> MobileFaceNet:
    """An untrained MobileFaceNet of 128 values."""
    return MobileFaceNet()
