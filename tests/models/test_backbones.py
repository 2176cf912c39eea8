"""The networks against an independent forward pass in float64, straight from the state dict."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from magface_al.models.architectures import ARCHITECTURES
from magface_al.models.backbones import build_backbone
from magface_al.models.checkpoint import load_backbone
from tests.support.networks import reference_iresnet, seeded


@pytest.mark.parametrize("arch", ["iresnet_tiny", "iresnet18"])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_iresnet_agrees_with_a_float64_forward(arch, layout):
    model = seeded(arch)
    x = torch.rand(2, 3, 112, 112)
    with torch.no_grad():
        expected = reference_iresnet(model.state_dict(), x.double(), ARCHITECTURES[arch].options["blocks"])
        found = model.to(memory_format=layout)(x.to(memory_format=layout))
    assert F.cosine_similarity(found.double(), expected).min() > 1 - 1e-6
    assert (found - expected).abs().max() < 1e-4 * expected.abs().max()


def reference_mobilefacenet(state, x):
    """TreB1eN's network written out without modules: BN eps 1e-5, (groups, stride, residual) as in its Learner's model."""
    state = {key: value.double() for key, value in state.items()}

    def bn(x, name):
        shape = (1, -1, *[1] * (x.ndim - 2))
        mean, var = state[f"{name}.running_mean"].view(shape), state[f"{name}.running_var"].view(shape)
        scale, shift = state[f"{name}.weight"].view(shape), state[f"{name}.bias"].view(shape)
        return (x - mean) / (var + 1e-5).sqrt() * scale + shift

    def block(x, name, stride=1, padding=0, depthwise=False, linear=False):
        x = F.conv2d(
            x, state[f"{name}.conv.weight"], stride=stride, padding=padding, groups=x.shape[1] if depthwise else 1
        )
        x = bn(x, f"{name}.bn")
        return x if linear else torch.where(x > 0, x, x * state[f"{name}.prelu.weight"].view(1, -1, 1, 1))

    def bottleneck(x, name, stride):
        y = block(block(x, f"{name}.conv"), f"{name}.conv_dw", stride, 1, depthwise=True)
        return block(y, f"{name}.project", linear=True)

    x = block(x, "conv1", 2, 1)
    x = block(x, "conv2_dw", 1, 1, depthwise=True)
    for down, same, count in (("conv_23", "conv_3", 4), ("conv_34", "conv_4", 6), ("conv_45", "conv_5", 2)):
        x = bottleneck(x, down, 2)
        for number in range(count):
            x = x + bottleneck(x, f"{same}.model.{number}", 1)
    x = block(block(x, "conv_6_sep"), "conv_6_dw", depthwise=True, linear=True)
    return bn(x.flatten(1) @ state["linear.weight"].T, "bn")


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_mobilefacenet_agrees_with_a_float64_forward(layout):
    model = seeded("mobilefacenet")
    assert len(model.state_dict()) == 333
    x = torch.rand(2, 3, 112, 112)
    with torch.no_grad():
        expected = reference_mobilefacenet(model.state_dict(), x.double())
        found = model.to(memory_format=layout)(x.to(memory_format=layout))
    assert (found - expected).abs().max() < 1e-4 * expected.abs().max()


@pytest.mark.parametrize(
    ("arch", "entries"), [("iresnet18", 187), ("iresnet34", 331), ("iresnet50", 475), ("iresnet100", 925)]
)
def test_iresnets_have_magfaces_entries(arch, entries):
    with torch.device("meta"):
        assert len(build_backbone(arch).state_dict()) == entries


@pytest.mark.parametrize("arch", ["iresnet_tiny", "mobilefacenet"])
def test_trunk_and_head_are_the_whole(arch):
    model = seeded(arch)
    x = torch.rand(2, 3, 112, 112)
    with torch.no_grad():
        assert torch.equal(model(x), model.head(model.trunk(x)))


def test_mobilefacenet_reproduces_published_embeddings(shared_data):
    stored = np.load(shared_data / "features" / "lfw_y1_128d_f16.npz")
    backbone = load_backbone(shared_data / "weights" / "mobilefacenet_y1_converted.pth")
    from magface_al.embedding.embedder import Embedder, read_batch

    names = [str(name) for name in stored["files"][::700]]
    batch = read_batch([(name, shared_data / "lfw" / "images" / name) for name in names], 112)
    found = Embedder(backbone.model, backbone.preprocessing, torch.device("cpu"))(batch.faces)
    expected = stored["features"][::700].astype(np.float32)
    cosine = (found * expected).sum(1) / np.linalg.norm(found, axis=1) / np.linalg.norm(expected, axis=1)
    assert cosine.min() > 0.98  # the stored features are of the pictures before their last JPEG compression
