"""What export_model.py writes gives the same embeddings, wherever it is read."""

from __future__ import annotations

import sys

import numpy as np
import onnxruntime
import pytest
import torch
from safetensors.torch import load_file

from magface_al.command.errors import UserError, WorkError
from magface_al.faces.preprocess import PRESETS, Preprocessing
from magface_al.models.architectures import ARCHITECTURES
from magface_al.models.checkpoint import load_backbone, save_backbone
from magface_al.models.export import export_model, write_onnx
from tests.support.networks import reference_iresnet, seeded

TINY = "iresnet_tiny"


def embed(path, images, preprocessing="auto"):
    with torch.no_grad():
        return load_backbone(path, preprocessing=preprocessing).model(images)


@pytest.mark.slow(7)
def test_the_graph_takes_any_batch_and_agrees_to_1e_4(adaface, graph):
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    assert session.get_inputs()[0].shape[1:] == [3, 112, 112]
    assert isinstance(session.get_inputs()[0].shape[0], str)
    for batch in (1, 2, 5):
        images = torch.rand(batch, 3, 112, 112) * 2 - 1
        found = session.run(None, {"input": images.numpy()})[0]
        expected = embed(adaface, images).numpy()
        assert found.shape == expected.shape
        assert np.abs(found - expected).max() < 1e-4


@pytest.mark.slow(3)
def test_a_graph_that_differs_is_not_written(tmp_path, adaface, monkeypatch):
    monkeypatch.setattr("magface_al.models.export.ONNX_TOLERANCE", 1e-12)
    with pytest.raises(WorkError, match="not written, onnxruntime's embeddings differ from PyTorch's by"):
        write_onnx(load_backbone(adaface), tmp_path / "m.onnx")
    broken = load_backbone(adaface)
    broken.model.features.weight.data[0] = float("nan")
    with pytest.raises(WorkError, match="differ from PyTorch's by nan"):
        write_onnx(broken, tmp_path / "m.onnx")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize(
    ("layout", "prefix", "eps"), [("magface", "features.module.", 2e-5), ("insightface", "", 1e-5)]
)
def test_a_layout_gives_the_same_embeddings_under_its_own_programs_eps(tmp_path, adaface, suffix, layout, prefix, eps):
    path = tmp_path / f"w{suffix}"
    export_model(load_backbone(adaface), path, layout)
    images = torch.rand(2, 3, 112, 112, dtype=torch.float64) * 2 - 1
    backbone = load_backbone(path)
    assert (backbone.prefix, backbone.bn_eps) == (prefix, eps)
    assert backbone.preprocessing == PRESETS["adaface"] or (suffix, layout) == (".pth", "insightface")
    with torch.no_grad():
        expected = load_backbone(adaface).model.double()(images)
        found = backbone.model.double()(images)
    close = {"rtol": 0, "atol": 1e-6 * float(expected.abs().max())}
    torch.testing.assert_close(found, expected, **close)

    # ... and read by nothing of ours, as the layout's own program would
    saved = load_file(path) if suffix == ".safetensors" else torch.load(path, weights_only=True)
    state = saved.get("state_dict", saved)
    assert set(state) == {prefix + key for key in backbone.model.state_dict()}
    if layout == "magface":
        plain = {key.removeprefix(prefix): value for key, value in state.items()}
        found = reference_iresnet(plain, images, ARCHITECTURES[TINY].options["blocks"])  # which has MagFace's eps
        torch.testing.assert_close(found, expected, **close)
    else:
        assert bool((state["features.weight"] == 1).all())


def test_mobilefacenet_has_safetensors_and_onnx_but_no_iresnets_layout(tmp_path):
    model = seeded("mobilefacenet")
    save_backbone(tmp_path / "m.pth", model, arch="mobilefacenet", preprocessing=Preprocessing("RGB", 0.25, 0.5), family="mobilefacenet")  # fmt: skip
    backbone = load_backbone(tmp_path / "m.pth")
    export_model(backbone, tmp_path / "m.safetensors", None)
    again = load_backbone(tmp_path / "m.safetensors")
    assert again.weights_sha256 == backbone.weights_sha256
    assert again.preprocessing == Preprocessing("RGB", 0.25, 0.5)
    with pytest.raises(UserError, match="mobilefacenet has no place in insightface's layout"):
        export_model(backbone, tmp_path / "m.pth", "insightface")


def test_wrong_names_and_absent_packages_are_refused_in_words(tmp_path, adaface, graph, monkeypatch):
    backbone = load_backbone(adaface)
    with pytest.raises(UserError, match="expected a name that ends in .onnx, .safetensors or .pth"):
        export_model(backbone, tmp_path / "w.bin", None)
    with pytest.raises(UserError, match="--layout magface: is for .pth and .safetensors"):
        export_model(backbone, tmp_path / "w.onnx", "magface")
    export_model(backbone, tmp_path / "w.safetensors", None)
    (tmp_path / "half.safetensors").write_bytes((tmp_path / "w.safetensors").read_bytes()[:9999])
    with pytest.raises(UserError, match="half.safetensors: truncated, or no safetensors file"):
        load_backbone(tmp_path / "half.safetensors")
    for module in ("onnxruntime", "safetensors", "safetensors.torch"):
        monkeypatch.setitem(sys.modules, module, None)  # what an absent package looks like to import
    with pytest.raises(UserError, match=r"onnxruntime is not installed and is needed to run ada.onnx: pip install"):
        load_backbone(graph)
    with pytest.raises(UserError, match="safetensors is not installed"):
        load_backbone(tmp_path / "w.safetensors")
    with pytest.raises(UserError, match="safetensors is not installed and is needed to write .safetensors"):
        export_model(backbone, tmp_path / "x.safetensors", None)
