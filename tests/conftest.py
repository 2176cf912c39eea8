"""Shared fixtures: the scripts as a user runs them, drawn faces, small checkpoints, the real data where it is present."""

from __future__ import annotations

import functools
import json
import multiprocessing.process
import os
import shutil
import subprocess
import sys
from collections import Counter

import cv2
import numpy as np
import pytest
import torch

from magface_al.embedding.store import read_features
from magface_al.faces.drawn.people import draw_people
from magface_al.faces.preprocess import PRESETS
from magface_al.faces.recordio import pack
from magface_al.models.backbones import build_backbone
from magface_al.models.checkpoint import load_backbone, save_backbone, set_bn_eps
from magface_al.models.export import write_onnx
from magface_al.pairs.verification_sets import read_verification_set
from tests.support.networks import seeded
from tests.support.records import write_records
from tests.support.scripts import ROOT, run_apart, run_here


def pytest_collection_modifyitems(items):
    """The slowest files first, so that parallel workers end together. Marks the tests that run scripts as processes."""
    for item in items:
        if "run_process" in item.fixturenames:
            item.add_marker(pytest.mark.process)
    seconds = Counter()
    for item in items:
        slow = item.get_closest_marker("slow")
        seconds[item.path] += slow.args[0] if slow else 0
    items.sort(key=lambda item: -seconds[item.path])


@pytest.fixture(autouse=True)
def no_process_by_surprise(request, monkeypatch):
    """A test that starts Python processes, which take seconds each, is marked so: make quick leaves it out."""
    if request.node.get_closest_marker("process") is None:
        start = subprocess.Popen.__init__

        def refuse_python(self, args, *rest, **options):
            assert sys.executable not in map(str, args), "this test starts a process: mark it with pytest.mark.process"
            start(self, args, *rest, **options)

        monkeypatch.setattr(subprocess.Popen, "__init__", refuse_python)
        monkeypatch.setattr(multiprocessing.process.BaseProcess, "start", lambda _: refuse_python(_, [sys.executable]))


@pytest.fixture
def run_script(tmp_path):
    """Run a script in tmp_path, in this process; returns its exit code and what it printed."""
    return functools.partial(run_here, tmp_path)


@pytest.fixture
def run_process(tmp_path):
    """Run a script in tmp_path as a user would, where the process itself is what is tested; returns the finished process."""
    return functools.partial(run_apart, tmp_path)


@pytest.fixture(scope="session")
def shared_data():
    """The folder of real images and weights, which are never part of the project."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"real data are absent ({folder})")
    return folder


@pytest.fixture(scope="session")
def lfw(shared_data, tmp_path_factory):
    """(feature store, folder) of LFW's photos, embedded once by gen_features.py with the y1 weights; takes a minute.

    Of the 13,233 photos those that the pairs of LFW or of XQLFW name, and all of one folder in which a photo shows somebody
    else: no figure is about the others.
    """
    folder = tmp_path_factory.mktemp("lfw")
    images, lists = shared_data / "lfw" / "images", shared_data / "pairs"
    sets = [read_verification_set(lists / name) for name in ("lfw_pairs.txt", "qmagface_xqlfw_pairs.txt")]
    names = {name for pairs in sets for name in pairs.images()}
    names |= {str(path.relative_to(images)) for path in images.glob("Michael_Schumacher/*.jpg")}
    (folder / "lfw.list").write_text("\n".join(sorted(names)))
    weights = shared_data / "weights" / "mobilefacenet_y1_converted.pth"
    run_here(
        folder, "gen_features.py", "--inf_list", "lfw.list", "--root", images, "--feat_list", "lfw.npy", "--resume", weights
    )  # fmt: skip
    return read_features(folder / "lfw.npy"), folder


@pytest.fixture(scope="session")
def faces(tmp_path_factory):
    """Twelve drawn people with five images each: identity folders, and an image list of absolute paths."""
    folder = tmp_path_factory.mktemp("faces")
    paths = []
    for person, image, face in draw_people(12, 5, seed=5):
        path = folder / f"person_{person:02d}" / f"{image}.png"
        path.parent.mkdir(exist_ok=True)
        cv2.imwrite(str(path), face)
        paths.append(path)
    (folder / "images.list").write_text("".join(f"{path}\n" for path in paths))
    return folder


@pytest.fixture(scope="session")
def people(tmp_path_factory):
    """Twenty drawn people with six images each, as folders, and the first ten of them as InsightFace's RecordIO."""
    folder = tmp_path_factory.mktemp("people")
    payloads, limits = {}, []
    for person, image, face in draw_people(20, 6, seed=8):
        path = folder / "folders" / f"id{person:02d}" / f"{image}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), face)
        if person < 10:
            key = 1 + person * 6 + image
            payloads[key] = pack((float(person), 1.0), key, cv2.imencode(".jpg", face)[1].tobytes())
    for person in range(10):
        limits.append(pack((1.0 + person * 6, 7.0 + person * 6), 61 + person, b""))
    payloads |= {61 + person: payload for person, payload in enumerate(limits)}
    payloads[0] = pack((61.0, 71.0), 0, b"")
    (folder / "records").mkdir()
    write_records(folder / "records" / "train.rec", payloads)
    (folder / "records" / "property").write_text("10,112,112\n60\n")
    return folder


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory):
    """A small iResNet with seeded random weights, in our layout (which is MagFace's)."""
    torch.manual_seed(3)
    path = tmp_path_factory.mktemp("weights") / "tiny.pth"
    save_backbone(path, build_backbone("iresnet_tiny").eval(), arch="iresnet_tiny", preprocessing=PRESETS["magface"])
    return path


@pytest.fixture(scope="session")
def adaface(tmp_path_factory):
    """Weights of another eps and convention than either layout's own."""
    path = tmp_path_factory.mktemp("weights") / "ada.pth"
    model = seeded("iresnet_tiny")
    set_bn_eps(model, 3e-5)
    save_backbone(path, model, arch="iresnet_tiny", preprocessing=PRESETS["adaface"], family="adaface")
    return path


@pytest.fixture(scope="session")
def graph(adaface):
    """The ONNX graph of the weights `adaface`."""
    path = adaface.with_suffix(".onnx")
    write_onnx(load_backbone(adaface), path)
    return path


@pytest.fixture(scope="session")
def features(faces, tiny_checkpoint, tmp_path_factory):
    """A binary feature store of the drawn faces."""
    folder = tmp_path_factory.mktemp("store")
    flags = ["--inf_list", faces / "images.list", "--feat_list", "features.npy", "--resume", tiny_checkpoint]
    run_here(folder, "gen_features.py", *flags)
    return folder / "features.npy"


@pytest.fixture
def pairs(run_script, tmp_path, features):
    """pairs.json: the 60 hardest pairs of one drawn person and the 60 hardest of two."""
    run_script(
        "build_hard_pairs.py",
        "--features_list",
        features,
        "--output_file",
        "pairs.json",
        "--pos_target",
        60,
        "--neg_target",
        60,
    )
    return tmp_path / "pairs.json"


@pytest.fixture
def questions(tmp_path, faces):
    """A folder with pairs.json: 60 unanswered pairs of drawn people (the file keeps who they are) and further keys."""
    images = sorted(str(path.relative_to(faces)) for path in faces.glob("person_*/*.png"))
    shutil.copytree(faces, tmp_path / "faces")
    rng = np.random.default_rng(1)
    chosen = {tuple(sorted(rng.choice(len(images), 2, replace=False).tolist())) for _ in range(80)}
    pairs = [{"image1": f"faces/{images[i]}", "image2": f"faces/{images[j]}", "label": None, "similarity": 0.25,
              "identity1": images[i].split("/")[0], "identity2": images[j].split("/")[0], "holdout": k % 2 == 0, "mine": [k]}
             for k, (i, j) in enumerate(sorted(chosen)[:60])]  # fmt: skip
    (tmp_path / "pairs.json").write_text(json.dumps({"pairs": pairs, "strategy": "random"}))
    return tmp_path


@pytest.fixture
def write_pairs_file(tmp_path):
    """Write a pairs JSON and return its path."""

    def write(content, name="pairs.json"):
        path = tmp_path / name
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return path

    return write


os.environ.setdefault("PYTHONWARNINGS", "default")
