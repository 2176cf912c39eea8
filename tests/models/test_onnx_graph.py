"""An ONNX graph as a network: run, refused, and its input convention."""

from __future__ import annotations

import json

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from magface_al.command.errors import UserError
from magface_al.embedding.embedder import Embedder, read_batch
from magface_al.embedding.store import read_features
from magface_al.faces.preprocess import PRESETS, to_input
from magface_al.models.checkpoint import load_backbone

TINY = "iresnet_tiny"


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
    assert by_graph.origin.entries["checkpoint"]["arch"] == TINY
    assert (by_graph.flip(), by_torch.flip()) == ("sum", "sum")


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
    with pytest.raises(UserError, match="absent.onnx: No such file"):
        load_backbone(tmp_path / "absent.onnx")
    with pytest.raises(UserError, match=r"expected one float input \[batch, 3, size, size\] and an embedding"):
        load_backbone(shared_data / "weights" / "yunet_n_dynamic.onnx", preprocessing="arcface")


@pytest.fixture
def changed(graph, tmp_path):
    """Write the graph again, changed by a function, its weights in a file of their own or not."""

    def write(change, apart=False):
        model = onnx.load(graph)
        change(model)
        options = {"save_as_external_data": True, "location": "weights.data", "size_threshold": 1024} if apart else {}
        onnx.save(model, tmp_path / "changed.onnx", **options)
        return tmp_path / "changed.onnx"

    return write


def spoil(model):
    tensor = next(one for one in model.graph.initializer if one.name == "fc.weight")
    values = np.array(onnx.numpy_helper.to_array(tensor))
    values[3, 5] = np.nan
    tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))


@pytest.mark.parametrize("apart", [False, True], ids=["inside", "beside"])
def test_weights_that_are_not_finite_are_named(changed, apart):
    load_backbone(changed(lambda model: None, apart))
    with pytest.raises(UserError, match=r"changed\.onnx: the tensor fc\.weight holds NaN, expected finite numbers"):
        load_backbone(changed(spoil, apart))


def record(**values):
    def change(model):
        found = next(entry for entry in model.metadata_props if entry.key == "magface_al")
        found.value = json.dumps(json.loads(found.value) | values)

    return change


def resize(model):
    for axis in (2, 3):
        model.graph.input[0].type.tensor_type.shape.dim[axis].dim_value = 1 << 20


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (record(preprocessing={"mean": 1.0}), "says preprocessing {'mean': 1.0}, expected channel_order"),
        (record(preprocessing={"channel_order": "RGB", "mean": 0, "std": 1, "size": 96}), "records pictures of 96 px, and its input takes 112"),
        (resize, "changed.onnx: "),
    ],
    ids=["preprocessing", "size", "giant"],
)  # fmt: skip
def test_a_record_and_an_input_without_a_meaning_are_refused(changed, change, message):
    with pytest.raises(UserError, match=message):
        load_backbone(changed(change))


@pytest.mark.parametrize("harm", ["cut", "gone", "folder", "elsewhere"])
def test_weights_beside_a_graph_that_are_not_there_are_refused_in_one_line(changed, tmp_path, harm, capfd):
    path, data = changed(lambda model: None, apart=True), tmp_path / "weights.data"
    content = data.read_bytes()
    data.unlink()
    if harm == "cut":
        data.write_bytes(content[: len(content) // 2])
    elif harm == "folder":
        data.mkdir()
    elif harm == "elsewhere":
        model = onnx.load(path, load_external_data=False)
        for tensor in model.graph.initializer:
            for entry in tensor.external_data:
                entry.value = f"../{entry.value}" if entry.key == "location" else entry.value
        (tmp_path / "inside").mkdir()
        path = tmp_path / "inside" / "changed.onnx"
        path.write_bytes(model.SerializeToString())
        data.write_bytes(content)
    with pytest.raises(
        UserError, match=r"changed\.onnx: truncated, or no ONNX graph that onnxruntime can run"
    ) as refused:
        load_backbone(path)
    assert "\n" not in str(refused.value)
    assert capfd.readouterr().err == ""
