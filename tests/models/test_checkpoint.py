"""Every layout of weights loads whole or is refused in words."""

from __future__ import annotations

import os
import pickle

import pytest
import torch
from safetensors.torch import save_file

from magface_al.command.errors import UserError
from magface_al.faces.preprocess import PRESETS, Preprocessing
from magface_al.models.backbones import build_backbone
from magface_al.models.checkpoint import load_backbone, save_backbone


@pytest.fixture(scope="module")
def trained():
    """An iResNet-18 whose last BatchNorm differs from its initial state, as a trained one's does."""
    torch.manual_seed(1)
    model = build_backbone("iresnet18").eval()
    for key in ("weight", "bias", "running_mean", "running_var"):
        getattr(model.features, key).data.uniform_(0.5, 1.5)
    return model


@pytest.fixture(scope="module")
def picture():
    return torch.rand(2, 3, 112, 112)


@pytest.mark.parametrize("prefix", ["features.module.", "module.features.", "features.", "module.", "backbone.", ""])
def test_every_layout_gives_the_same_embedding(tmp_path, trained, picture, prefix):
    """Cutting `features.` blindly would lose the last BatchNorm: `features.weight` without a prefix is that layer's."""
    state = {prefix + key: value for key, value in trained.state_dict().items()}
    if prefix:
        state |= {"fc.weight": torch.rand(50, 512), "parallel_fc.weight": torch.rand(50, 512)}  # the classifier's shard
    torch.save({"epoch": 25, "arch": "iresnet18", "state_dict": state} if prefix else state, tmp_path / "w.pth")
    backbone = load_backbone(tmp_path / "w.pth")
    assert (backbone.arch, backbone.loaded, backbone.family) == ("iresnet18", 187, "magface")
    assert "loaded 187/187" in backbone.describe()
    assert len(backbone.ignored) == (2 if prefix else 0)
    with torch.no_grad():
        assert torch.allclose(backbone.model(picture), trained(picture), atol=1e-3)


def test_arcface_torch_weights_get_their_own_convention_and_eps(tmp_path, trained):
    state = dict(trained.state_dict())
    state["features.weight"] = torch.ones(512)
    torch.save(state, tmp_path / "backbone.pth")
    backbone = load_backbone(tmp_path / "backbone.pth")
    assert backbone.family == "arcface"
    assert backbone.preprocessing == PRESETS["arcface"]
    assert backbone.model.bn1.eps == 1e-5


def test_what_we_write_keeps_magfaces_keys_and_our_convention(tmp_path, trained):
    convention = Preprocessing("RGB", 0.25, 0.5)
    save_backbone(tmp_path / "w.pth", trained, arch="iresnet18", preprocessing=convention)
    saved = torch.load(tmp_path / "w.pth", weights_only=True)
    assert set(saved["state_dict"]) == {f"features.module.{key}" for key in trained.state_dict()}
    assert load_backbone(tmp_path / "w.pth").preprocessing == convention
    assert load_backbone(tmp_path / "w.pth", preprocessing="magface-rgb").preprocessing == PRESETS["magface-rgb"]


def test_the_fingerprint_is_of_the_weights_not_of_the_file(tmp_path, trained):
    torch.save(trained.state_dict(), tmp_path / "a.pth")
    save_backbone(tmp_path / "b.pth", trained, arch="iresnet18", preprocessing=PRESETS["magface"])
    a, b = load_backbone(tmp_path / "a.pth"), load_backbone(tmp_path / "b.pth")
    assert a.weights_sha256 == b.weights_sha256
    assert a.file_sha256 != b.file_sha256


def refused(path, match, **options):
    with pytest.raises(UserError, match=match):
        load_backbone(path, **options)


def test_another_architecture_is_named(tmp_path, trained):
    torch.save(trained.state_dict(), tmp_path / "w.pth")
    refused(
        tmp_path / "w.pth", "holds weights of iresnet18, expected iresnet100; use --arch iresnet18", arch="iresnet100"
    )


def test_missing_misshapen_and_extra_tensors_are_listed(tmp_path, trained):
    state = dict(trained.state_dict())
    del state["layer1.0.bn1.bias"]
    state["fc.bias"] = torch.zeros(256)
    state["layer1.0.se.weight"] = torch.zeros(3)
    torch.save(state, tmp_path / "w.pth")
    refused(tmp_path / "w.pth", r"loaded 185/187 tensors of iresnet18: 1 missing \(layer1.0.bn1.bias\), "
            r"1 mis-shaped \(fc.bias is \[256\] instead of \[512\]\), 1 unexpected \(layer1.0.se.weight\)")  # fmt: skip


def test_a_truncated_file_is_refused(tmp_path, trained):
    torch.save(trained.state_dict(), tmp_path / "w.pth")
    whole = (tmp_path / "w.pth").read_bytes()
    (tmp_path / "w.pth").write_bytes(whole[: len(whole) // 2])
    refused(tmp_path / "w.pth", "truncated, or no PyTorch checkpoint")


class Malicious:
    """Unpickling this would create a file."""

    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return os.mkdir, (str(self.target),)


@pytest.mark.parametrize("legacy", [True, False])
def test_a_pickle_that_runs_code_is_refused_and_nothing_runs(tmp_path, legacy):
    path = tmp_path / "w.pth"
    if legacy:
        path.write_bytes(pickle.dumps({"state_dict": Malicious(tmp_path / "ran")}, protocol=2))
    else:
        torch.save({"state_dict": Malicious(tmp_path / "ran")}, path)
    refused(path, "w.pth: ")
    assert not (tmp_path / "ran").exists()


def test_unknown_and_absent_files_are_refused_in_words(tmp_path, shared_data):
    refused(tmp_path / "absent.pth", "No such file")
    refused(shared_data / "weights" / "foamliu_mobilefacenet.pt", "no known architecture")


@pytest.fixture
def tiny(tiny_checkpoint):
    return torch.load(tiny_checkpoint, weights_only=True)


@pytest.mark.parametrize(("value", "held"), [(float("nan"), "NaN"), (float("inf"), "infinity")])
@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
def test_weights_that_are_not_finite_are_named(tmp_path, tiny, value, held, suffix):
    tiny["state_dict"]["features.module.layer1.0.bn1.weight"][2] = value
    path = tmp_path / f"w.{suffix}"
    torch.save(tiny, path) if suffix == "pth" else save_file(tiny["state_dict"], path)
    refused(path, f"w.{suffix}: the tensor features.module.layer1.0.bn1.weight holds {held}, expected finite numbers")


def test_large_weights_and_a_classifier_that_is_left_aside_pass(tmp_path, tiny):
    tiny["state_dict"] |= {"module.fc.weight": torch.full((3, 5), torch.nan)}
    tiny["state_dict"]["features.module.layer1.0.bn1.weight"][2] = 1e37
    torch.save(tiny, tmp_path / "w.pth")
    assert load_backbone(tmp_path / "w.pth").ignored == ["module.fc.weight"]


def test_tensors_of_another_kind_are_missing(tmp_path, tiny):
    key = "features.module.fc.weight"
    for odd in (tiny["state_dict"][key].to_sparse(), tiny["state_dict"][key] * 1j, tiny["state_dict"][key].to("meta")):
        torch.save(tiny["state_dict"] | {key: odd, 7: torch.ones(3)}, tmp_path / "w.pth")
        refused(tmp_path / "w.pth", r"loaded 114/115 tensors of iresnet_tiny: 1 missing \(fc.weight\)")


GOOD = {"channel_order": "RGB", "mean": 0.5, "std": 0.5, "size": 112}


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"arch": "iresnet_huge"}, "says arch 'iresnet_huge', expected one of iresnet18"),
        ({"family": "somebody"}, "says family 'somebody', expected one of magface"),
        ({"family": ["magface"]}, r"says family \['magface'\], expected one of"),
        ({"bn_eps": "2e-5"}, "says bn_eps '2e-5', expected a positive number"),
        ({"bn_eps": -1.0}, "says bn_eps -1.0"),
        ({"preprocessing": "magface"}, "says preprocessing 'magface', expected channel_order BGR or RGB, mean, std"),
        ({"preprocessing": GOOD | {"smze": 1}}, "says preprocessing"),
        ({"preprocessing": GOOD | {"std": 0.0}}, "says preprocessing"),
        ({"preprocessing": GOOD | {"mean": None}}, "says preprocessing"),
        ({"preprocessing": {"mean": 0.5, "std": 0.5}}, "says preprocessing"),
        ({"preprocessing": GOOD | {"size": 1 << 20}}, "says preprocessing"),
        ({"notes": torch.ones(2)}, "is not plain JSON"),
        ({"notes": {b"a": 1}}, "is not plain JSON"),
    ],
)
def test_a_record_without_a_meaning_is_refused_in_one_line(tmp_path, tiny, record, message):
    torch.save(tiny | {"magface_al": tiny["magface_al"] | record}, tmp_path / "w.pth")
    with pytest.raises(UserError, match=f"w.pth: .*{message}") as error:
        load_backbone(tmp_path / "w.pth")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("harm", ["longer", "shorter", "header", "giant header"])
def test_a_safetensors_file_of_another_length_than_its_header_says_is_refused(tmp_path, tiny, harm):
    path = tmp_path / "w.safetensors"
    save_file(tiny["state_dict"], path)
    whole = path.read_bytes()
    changed = {"longer": whole + b"\0" * 4, "shorter": whole[:-4], "header": whole[:200], "giant header": b"\xff" * 7 + b"\0" + whole[8:]}  # fmt: skip
    path.write_bytes(changed[harm])
    refused(path, r"w\.safetensors: truncated, or no safetensors file")


@pytest.mark.parametrize("suffix", ["pth", "safetensors", "onnx"])
def test_what_is_no_file_is_said_to_be_none(tmp_path, suffix):
    path = tmp_path / f"w.{suffix}"
    path.mkdir()
    refused(path, f"w.{suffix}: Is a directory, expected ")
    path.rmdir()
    os.mkfifo(path)
    refused(path, f"w.{suffix}: Is a device, pipe or socket, expected ")
