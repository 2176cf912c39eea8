"""What export_model.py writes gives the same embeddings, wherever it is read."""

from __future__ import annotations

import json
import re
import sys

import numpy as np
import onnxruntime
import pytest
import torch
from safetensors.torch import load_file
from test_backbones import reference_iresnet, seeded

from magface_al.command.errors import UserError, WorkError
from magface_al.embedding.embedder import Embedder, read_batch
from magface_al.embedding.store import read_features
from magface_al.faces.preprocess import PRESETS, Preprocessing, to_input
from magface_al.models.architectures import ARCHITECTURES
from magface_al.models.checkpoint import load_backbone, save_backbone, set_bn_eps
from magface_al.models.export import export_model, write_onnx

TINY = "iresnet_tiny"


@pytest.fixture(scope="module")
def adaface(tmp_path_factory):
    """Weights of another eps and convention than either layout's own."""
    path = tmp_path_factory.mktemp("weights") / "ada.pth"
    model = seeded(TINY)
    set_bn_eps(model, 3e-5)
    save_backbone(path, model, arch=TINY, preprocessing=PRESETS["adaface"], family="adaface")
    return path


@pytest.fixture(scope="module")
def graph(adaface):
    """The file that the script writes for it."""
    path = adaface.with_suffix(".onnx")
    write_onnx(load_backbone(adaface), path)
    return path


def embed(path, images, preprocessing="auto"):
    with torch.no_grad():
        return load_backbone(path, preprocessing=preprocessing).model(images)


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


def test_the_graphs_metadata_are_enough_to_use_it(graph):
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    record = json.loads(session.get_modelmeta().custom_metadata_map["magface_al"])
    assert record["preprocessing"] == {"channel_order": "BGR", "mean": 0.5, "std": 0.5, "size": 112}
    assert (record["arch"], record["family"], record["bn_eps"], record["flip"]) == (TINY, "adaface", 3e-5, "sum")
    backbone = load_backbone(graph)
    assert backbone.preprocessing == PRESETS["adaface"]
    assert backbone.weights_sha256 == backbone.file_sha256
    assert "ONNX graph, run by onnxruntime" in backbone.describe()
    assert load_backbone(graph, preprocessing="arcface").preprocessing == PRESETS["arcface"]


def test_gen_features_runs_a_graph(run_script, tmp_path, faces, adaface, graph):
    """... and --flip auto is AdaFace's rule, for the graph as for the weights."""
    (tmp_path / "few.list").write_text("".join(f"{path}\n" for path in sorted(faces.glob("*/*.png"))[:7]))
    for name, weights, flip in (("onnx", graph, "auto"), ("pth", adaface, "sum")):
        run_script("gen_features.py", "--inf_list", "few.list", "--feat_list", f"{name}.npy", "--resume", weights, "--flip", flip)  # fmt: skip
    by_graph, by_torch = read_features(tmp_path / "onnx.npy"), read_features(tmp_path / "pth.npy")
    assert by_graph.names == by_torch.names
    np.testing.assert_allclose(by_graph.embeddings, by_torch.embeddings, atol=1e-4)
    assert by_graph.manifest["checkpoint"]["arch"] == TINY
    assert (by_graph.flip(), by_torch.flip()) == ("sum", "sum")


def test_a_graph_can_be_inspected_but_not_trained_or_exported(run_script, graph, write_pairs_file):
    shown = run_script("inspect_checkpoint.py", "--checkpoint", graph).stdout
    assert re.search(r"BatchNorm eps +3e-05\n +flip rule +sum", shown), shown
    write_pairs_file({"pairs": [{"image1": "a", "image2": "b", "label": 1}]})
    message = "an ONNX graph can be run but not trained"
    assert message in run_script("finetune_on_feedback.py", "--checkpoint", graph, "--feedback_file", "pairs.json", code=2).stderr  # fmt: skip
    assert message in run_script("export_model.py", "--checkpoint", graph, "--output_file", "o.pth", code=2).stderr


def test_a_graph_that_differs_is_not_written(tmp_path, adaface, monkeypatch):
    monkeypatch.setattr("magface_al.models.export.ONNX_TOLERANCE", 1e-12)
    with pytest.raises(WorkError, match="not written, onnxruntime's embeddings differ from PyTorch's by"):
        write_onnx(load_backbone(adaface), tmp_path / "m.onnx")
    broken = load_backbone(adaface)
    broken.model.features.weight.data[0] = float("nan")
    with pytest.raises(WorkError, match="differ from PyTorch's by nan"):
        write_onnx(broken, tmp_path / "m.onnx")
    assert not list(tmp_path.iterdir())


def test_a_foreign_graph_needs_its_convention_and_any_batch_is_cut_to_its_own(shared_data):
    path = shared_data / "weights" / "foamliu_MobileFaceNet.onnx"
    with pytest.raises(UserError, match="records no input convention, .* give --preprocessing"):
        load_backbone(path)
    with pytest.raises(UserError, match="does not say which architecture it holds, expected iresnet18"):
        load_backbone(path, arch="iresnet18", preprocessing="arcface")
    backbone = load_backbone(path, preprocessing="arcface")
    images = shared_data / "lfw" / "images" / "George_W_Bush"
    batch = read_batch([(str(k), images / f"George_W_Bush_{k:04d}.jpg") for k in (1, 2, 3)], 112)
    found = Embedder(backbone.model, backbone.preprocessing, torch.device("cpu"))(batch.faces)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    for row, face in enumerate(to_input(torch.from_numpy(batch.faces), PRESETS["arcface"])):
        alone = session.run(None, {name: face[None].contiguous().numpy()})[0][0]
        np.testing.assert_allclose(found[row], alone, atol=1e-5)


def test_broken_absent_and_unsuitable_graphs_are_refused(tmp_path, graph, shared_data):
    (tmp_path / "half.onnx").write_bytes(graph.read_bytes()[:5000])
    with pytest.raises(UserError, match="half.onnx: truncated, or no ONNX graph"):
        load_backbone(tmp_path / "half.onnx")
    with pytest.raises(UserError, match="absent.onnx: no such file"):
        load_backbone(tmp_path / "absent.onnx")
    with pytest.raises(UserError, match=r"expected one float input \[batch, 3, size, size\] and an embedding"):
        load_backbone(shared_data / "weights" / "yunet_n_dynamic.onnx", preprocessing="arcface")


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


def test_only_a_bare_file_forgets_its_convention_and_the_script_says_so(run_script, tmp_path, adaface):
    for name, layout, given, found in (("a.pth", "magface", "magface-rgb", "magface-rgb"), ("b.pth", "insightface", "auto", "arcface")):  # fmt: skip
        flags = ("--checkpoint", adaface, "--output_file", name, "--layout", layout, "--preprocessing", given)
        done = run_script("export_model.py", *flags)
        assert load_backbone(tmp_path / name).preprocessing == PRESETS[found]
        assert f"these weights want {'adaface' if given == 'auto' else given}" in done.stderr
        assert ("give --preprocessing wherever it is used" in done.stderr) == (name == "b.pth")
        assert ("--preprocessing adaface" in done.stdout) == (name == "b.pth")
    manifest = json.loads((tmp_path / "b.pth.json").read_text())
    assert manifest["checkpoint"]["family"] == "adaface"


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
