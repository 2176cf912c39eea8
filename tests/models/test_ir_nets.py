"""AdaFace's and CVLface's IR nets, written here as AdaFace describes them, against the iResNets that their files become."""

from __future__ import annotations

import sys
import types

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from magface_al.command.errors import UserError
from magface_al.faces.preprocess import PRESETS
from magface_al.models.checkpoint import load_backbone

UNITS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 14, 3), 101: (3, 13, 30, 3)}
OURS = {18: "iresnet18", 34: "iresnet34", 50: "iresnet50", 101: "iresnet100"}
ENTRIES = {18: 179, 34: 323, 50: 467, 101: 917}  # of AdaFace's own state dicts


class Unit(nn.Module):
    """BN, conv, BN, PReLU, conv with the stride, BN; the shortcut has parameters only where the width changes."""

    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.shortcut_layer = (
            nn.MaxPool2d(1, stride)
            if inputs == outputs
            else nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))
        )
        self.res_layer = nn.Sequential(
            nn.BatchNorm2d(inputs), nn.Conv2d(inputs, outputs, 3, 1, 1, bias=False), nn.BatchNorm2d(outputs),
            nn.PReLU(outputs), nn.Conv2d(outputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs),
        )  # fmt: skip

    def forward(self, x):
        return self.res_layer(x) + self.shortcut_layer(x)


class IRNet(nn.Module):
    """[B, 3, 112, 112] -> (unit embedding [B, 512], norm [B, 1])."""

    def __init__(self, depth):
        super().__init__()
        self.input_layer = nn.Sequential(nn.Conv2d(3, 64, 3, 1, 1, bias=False), nn.BatchNorm2d(64), nn.PReLU(64))
        units, inputs = [], 64
        for width, count in zip((64, 128, 256, 512), UNITS[depth], strict=True):
            units += [Unit(inputs, width, 2), *(Unit(width, width, 1) for _ in range(count - 1))]
            inputs = width
        self.body = nn.Sequential(*units)
        self.output_layer = nn.Sequential(
            nn.BatchNorm2d(512), nn.Dropout(0.4), nn.Flatten(), nn.Linear(512 * 49, 512), nn.BatchNorm1d(512, affine=False)
        )  # fmt: skip

    def forward(self, x):
        raw = self.output_layer(self.body(self.input_layer(x)))
        norm = raw.norm(dim=1, keepdim=True)
        return raw / norm, norm


def seeded(depth):
    """A net whose every tensor, running statistics included, differs from its initial value; each is exact in float32."""
    torch.manual_seed(depth)
    net = IRNet(depth)
    for name, value in net.state_dict().items():
        if value.is_floating_point():
            spread = torch.rand_like(value)
            value.copy_(value + 0.1 * (spread - 0.5) if "running_var" not in name else 0.5 + spread)
    return net.eval()


@pytest.fixture(scope="module")
def ir18():
    return seeded(18)


@pytest.mark.slow(3)
@pytest.mark.parametrize("depth", [18, 50, pytest.param(101, marks=pytest.mark.slow(3))])
def test_embedding_times_norm_is_the_iresnets_raw_embedding(tmp_path, depth):
    net = seeded(depth)
    assert len(net.state_dict()) == ENTRIES[depth]
    state = {f"model.{key}": value for key, value in net.state_dict().items()}
    head = {"head.kernel": torch.rand(512, 20), "head.t": torch.zeros(1), "head.batch_mean": torch.ones(1) * 20}
    torch.save({"epoch": 25, "state_dict": state | head}, tmp_path / "adaface.ckpt")
    backbone = load_backbone(tmp_path / "adaface.ckpt")
    assert (backbone.arch, backbone.family) == (OURS[depth], "adaface")
    assert backbone.ignored == list(head)

    picture = torch.rand(2, 3, 112, 112, dtype=torch.float64) * 2 - 1
    with torch.no_grad():
        unit, norm = net.double()(picture)
        found = backbone.model.double()(picture)
    assert (found / found.norm(dim=1, keepdim=True) - unit).abs().max() < 1e-6
    assert ((found - unit * norm).abs() / norm).max() < 1e-6


@pytest.mark.parametrize(
    ("prefix", "family", "convention"),
    [
        ("", "adaface", "adaface"),
        ("model.", "adaface", "adaface"),
        ("net.", "cvlface", "arcface"),
        ("model.net.", "cvlface", "arcface"),
    ],
)
def test_each_family_brings_its_convention_eps_and_flip(tmp_path, ir18, prefix, family, convention):
    state = {prefix + key: value for key, value in ir18.state_dict().items()}
    if prefix == "model.net.":  # as CVLface publishes them
        path = tmp_path / "model.safetensors"
        save_file(state, path)
    else:
        path = tmp_path / "model.pt"
        torch.save(state, path)
    backbone = load_backbone(path)
    assert (backbone.family, backbone.prefix, backbone.loaded) == (family, prefix, 187)
    assert backbone.preprocessing == PRESETS[convention]
    assert {module.eps for module in backbone.model.modules() if hasattr(module, "eps")} == {1e-5}
    assert (backbone.bn_eps, backbone.flip) == (1e-5, "sum")


def test_cvlfaces_copy_of_arcface_torchs_network_is_cvlfaces(tmp_path, ir18):
    torch.save({f"net.{key}": value for key, value in ir18.state_dict().items()}, tmp_path / "ir.pt")
    plain = load_backbone(tmp_path / "ir.pt").model.state_dict()
    torch.save({f"net.{key}": value for key, value in plain.items()}, tmp_path / "model.pt")
    backbone = load_backbone(tmp_path / "model.pt")
    assert (backbone.family, backbone.bn_eps, backbone.prefix) == ("cvlface", 1e-5, "net.")


def refused(path, state, match):
    torch.save(state, path)
    with pytest.raises(UserError, match=match):
        load_backbone(path)


def test_other_nets_with_these_names_are_refused_by_what_they_are(tmp_path, ir18):
    state, path = dict(ir18.state_dict()), tmp_path / "w.pth"
    squeeze = {"body.0.res_layer.5.fc1.weight": torch.zeros(4, 64, 1, 1)}
    refused(path, state | squeeze, "an IR-SE net .*squeeze-and-excitation layers, body.0.res_layer.5.fc1.weight")
    refused(path, state | {"body.1.res_layer.se_block.fc2.weight": torch.zeros(1)}, "an IR-SE net")

    # FaceX-Zoo's unit: BN, conv, PReLU, conv, BN
    move = {"0": "0", "1": "1", "3": "2", "4": "3", "5": "4"}
    zoo = {}
    for key, value in state.items():
        unit, middle, rest = key.partition(".res_layer.")
        if not middle:
            zoo[f"backbone.{key}"] = value
        elif (layer := rest.split(".")[0]) in move:
            zoo[f"backbone.{unit}.res_layer.{move[layer]}.{rest.partition('.')[2]}"] = value
    refused(path, {"state_dict": zoo}, "a FaceX-Zoo .* no BatchNorm between the two convolutions of a unit")

    deep = state | {"body.0.res_layer.7.weight": torch.zeros(256, 64, 1, 1)}
    refused(path, deep, "three-convolution units")
    refused(path, {key: value for key, value in state.items() if not key.startswith("body.7.")}, "7 units, expected 8")
    refused(path, state | {"body.0.extra.weight": torch.zeros(1)}, "body.0.extra.weight has no place in iresnet18")


def test_what_is_missing_is_named_as_in_any_other_file(tmp_path, ir18):
    state = dict(ir18.state_dict())
    del state["body.2.shortcut_layer.0.weight"], state["output_layer.3.bias"]
    refused(
        tmp_path / "w.pth", state, r"loaded 1\d\d/187 .*fc.bias.*"
    )  # without the bias the synthesised tensors cannot fit
    state = dict(ir18.state_dict())
    del state["body.2.shortcut_layer.0.weight"]
    refused(
        tmp_path / "w.pth", state, r"loaded 186/187 tensors of iresnet18: 1 missing \(layer2.0.downsample.0.weight\)"
    )


def test_lightnings_objects_beside_the_tensors_do_not_get_in_the_way(tmp_path, ir18, monkeypatch):
    """AdaFace's trainer stores a callback's class as a key and its settings as an object; neither is made when it is read."""
    made = []
    module = types.ModuleType("pytorch_lightning.callbacks.model_checkpoint")

    class ModelCheckpoint:
        def __setstate__(self, state):
            made.append(state)

    ModelCheckpoint.__module__, ModelCheckpoint.__qualname__ = module.__name__, "ModelCheckpoint"
    module.ModelCheckpoint = ModelCheckpoint
    callback = ModelCheckpoint()
    callback.best = "x"
    state = {f"model.{key}": value for key, value in ir18.state_dict().items()}
    with monkeypatch.context() as patch:
        for name in ("pytorch_lightning", "pytorch_lightning.callbacks", module.__name__):
            patch.setitem(sys.modules, name, module if name == module.__name__ else types.ModuleType(name))
        torch.save({"state_dict": state, "callbacks": {ModelCheckpoint: callback}}, tmp_path / "a.ckpt")
    assert load_backbone(tmp_path / "a.ckpt").family == "adaface"
    assert not made
