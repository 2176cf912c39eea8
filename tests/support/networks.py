"""Networks of seeded weights, and the iResNet written out without modules."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from magface_al.models.backbones import build_backbone


def seeded(arch):
    """A network whose every tensor, running statistics included, differs from its initial value."""
    torch.manual_seed(0)
    model = build_backbone(arch)
    for name, value in model.state_dict().items():
        if value.is_floating_point():
            spread = torch.rand_like(value)
            value.copy_(value + 0.1 * (spread - 0.5) if "running_var" not in name else 0.5 + spread)
    return model.eval()


def reference_iresnet(state, x, blocks):
    """MagFace's network written out without modules: BN eps 2e-5, every stage begins with stride 2."""
    state = {key: value.double() for key, value in state.items()}

    def bn(x, name):
        shape = (1, -1, *[1] * (x.ndim - 2))
        mean, var = state[f"{name}.running_mean"].view(shape), state[f"{name}.running_var"].view(shape)
        return (x - mean) / (var + 2e-5).sqrt() * state[f"{name}.weight"].view(shape) + state[f"{name}.bias"].view(
            shape
        )

    def prelu(x, name):
        return torch.where(x > 0, x, x * state[f"{name}.weight"].view(1, -1, 1, 1))

    x = prelu(bn(F.conv2d(x, state["conv1.weight"], padding=1), "bn1"), "prelu")
    for stage, count in enumerate(blocks, 1):
        for block in range(count):
            name = f"layer{stage}.{block}"
            stride = 2 if block == 0 else 1
            y = prelu(
                bn(F.conv2d(bn(x, f"{name}.bn1"), state[f"{name}.conv1.weight"], padding=1), f"{name}.bn2"),
                f"{name}.prelu",
            )
            y = bn(F.conv2d(y, state[f"{name}.conv2.weight"], stride=stride, padding=1), f"{name}.bn3")
            if block == 0:
                x = bn(F.conv2d(x, state[f"{name}.downsample.0.weight"], stride=2), f"{name}.downsample.1")
            x = x + y
    return bn(bn(x, "bn2").flatten(1) @ state["fc.weight"].T + state["fc.bias"], "features")
