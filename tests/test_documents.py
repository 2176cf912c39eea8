"""Every command that README.md and CONTENT.md show is run, as it stands, by somebody who has nothing but the project."""

from __future__ import annotations

import json
import os
import pickle
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from magface_al.faces.drawn.people import draw_people
from magface_al.faces.recordio import pack, write_records
from magface_al.models.checkpoint import load_backbone
from magface_al.models.iresnet import build_iresnet
from tests.support.documents import commands
from tests.support.scripts import ROOT

# make test is what runs this; make demo is tools/demo.py (tests/tools); benchmarks print tables (tests/benchmarks, at a smaller size).
# The labeller serves until Ctrl-C: test_label_pairs.py and labelling/web/test_browser.py run it.
ELSEWHERE = ("make ", "conda ", "python benchmarks/", "python label_pairs.py --pairs_file")


@pytest.fixture
def workplace(tmp_path):
    """A copy of the scripts and a few drawn people."""
    for path in ROOT.glob("*.py"):
        shutil.copy(path, tmp_path)
    shutil.copytree(ROOT / "magface_al", tmp_path / "magface_al")
    write_people(tmp_path, people=4, images=2)
    return tmp_path


def write_weights(path, arch):
    """Seeded weights in MagFace's own layout, with a classifier's shard as in the official file."""
    torch.manual_seed(1)
    state = {f"features.module.{key}": value for key, value in build_iresnet(arch).state_dict().items()}
    state["module.fc.weight"] = torch.zeros(10, 512)
    torch.save({"epoch": 25, "arch": arch, "state_dict": state}, path)


def write_people(folder, people, images):
    names = []
    records = {}
    for person, image, face in draw_people(people, images, seed=2):
        path = folder / "faces" / f"person_{person}" / f"{image}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), face)
        names.append(str(path.relative_to(folder)))
        records[len(records)] = pack((float(person),), len(records), cv2.imencode(".jpg", face)[1].tobytes())
    (folder / "faces.list").write_text("\n".join(names))  # for the owner's recipe; the README makes its own
    (folder / "faces_webface_112x112").mkdir()
    write_records(folder / "faces_webface_112x112" / "train.rec", records)
    write_test_sets(folder, names)


def write_test_sets(folder, names):
    """agedb_30.bin and IJBC/ of the drawn faces: a template for each image, all pairs of them."""
    data = [(folder / name).read_bytes() for name in names]
    people = [name.split("/")[1] for name in names]
    pairs = [(i, j) for i in range(len(names)) for j in range(i)]
    same = [people[i] == people[j] for i, j in pairs]
    (folder / "agedb_30.bin").write_bytes(pickle.dumps(([data[k] for pair in pairs for k in pair], same)))
    (folder / "IJBC" / "meta").mkdir(parents=True)
    for k, image in enumerate(data):
        (folder / "IJBC" / f"{k}.png").write_bytes(image)
    meta = {
        "face_tid_mid": [f"{k}.png {k} {k}" for k in range(len(names))],
        "template_pair_label": [f"{i} {j} {int(label)}" for (i, j), label in zip(pairs, same, strict=True)],
    }
    for name, lines in meta.items():
        (folder / "IJBC" / "meta" / f"ijbc_{name}.txt").write_text("\n".join(lines))
    (folder / "ijbc.list").write_text("\n".join(f"IJBC/{k}.png" for k in range(len(names))))


def run_lines(lines, folder):
    """Run shell commands one after the other, as somebody who pastes them does, on a machine without a GPU."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    for line in lines:
        done = subprocess.run(["bash", "-c", line], cwd=folder, capture_output=True, text=True, check=False,
                              env={**os.environ, "PATH": path, "CUDA_VISIBLE_DEVICES": ""})  # fmt: skip
        assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"


@pytest.mark.process
@pytest.mark.slow(90)
def test_the_quick_start_runs_as_written(workplace):
    write_weights(workplace / "magface_epoch_00025.pth", "iresnet18")  # a hundred layers would take ten times as long
    shown = [line for line in commands("README.md") if not line.startswith(ELSEWHERE)]
    assert {line.split()[1] for line in shown} >= {path.name for path in ROOT.glob("*.py")}
    run_lines(shown, workplace)
    for block in re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL):
        subprocess.run([sys.executable, "-c", block], cwd=workplace, check=True, capture_output=True)
    best = load_backbone(workplace / "checkpoints_feedback" / "magface_feedback_best.pth")
    assert best.arch == "iresnet18"
    assert np.load(workplace / "features.npy").shape == (8, 512)


# The recipe that this project was asked to keep running: its flags and file names, text features, nothing else.
OWNERS_RECIPE = """
python gen_features.py --arch iresnet100 --inf_list faces.list --feat_list megaface/feature_out/facescrub_features.list \
  --resume magface_epoch_00025.pth --batch_size 128 --workers 8
python build_hard_pairs.py --features_list megaface/feature_out/facescrub_features.list \
  --output_file megaface/pairs_data/hard_pairs_12k.json --pos_target 6000 --neg_target 6000 --candidate_mult 6 --seed 42
CUDA_VISIBLE_DEVICES=0 python visualize_errors.py --model magface_epoch_00025.pth \
  --feedback_file megaface/pairs_data/hard_pairs_12k.json --threshold 0.4 --output_dir megaface/error_vis_hard_12k \
  --features_list megaface/feature_out/facescrub_features.list --max_fp 500 --max_fn 500
CUDA_VISIBLE_DEVICES=0 python finetune_on_feedback.py --checkpoint magface_epoch_00025.pth \
  --feedback_file megaface/pairs_data/hard_pairs_12k.json --output_dir checkpoints_feedback_hard_12k \
  --epochs 5 --batch_size 32 --lr 0.00001 --margin 0.4 --val_split 0.2 --seed 42
"""


@pytest.mark.process
@pytest.mark.slow(60)
def test_the_owners_recipe_runs_with_its_file_names(workplace):
    write_weights(workplace / "magface_epoch_00025.pth", "iresnet100")
    run_lines(OWNERS_RECIPE.replace("\\\n", " ").strip().splitlines(), workplace)
    errors = workplace / "megaface" / "error_vis_hard_12k"
    summary = json.loads((errors / "error_summary.json").read_text())
    counts = [summary[f"{truth}_{kind}"] for truth in ("true", "false") for kind in ("positives", "negatives")]
    assert sum(counts) == summary["pairs"] == 28  # 4 pairs of one person, 24 of two
    assert summary["accuracy"] == pytest.approx(sum(counts[:2]) / 28)
    assert (errors / "false_positives").is_dir()
    assert (errors / "false_negatives").is_dir()
    epochs = sorted(path.name for path in (workplace / "checkpoints_feedback_hard_12k").glob("*.pth"))
    assert epochs == [
        "magface_feedback_best.pth",
        *(f"magface_feedback_epoch{k}.pth" for k in range(1, 6)),
        "training_state.pth",
    ]


def test_both_environments_name_the_same_packages():
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    listed = re.findall(r"^ +- ([\w-]+>=.*)$", (ROOT / "environment.yml").read_text(), re.MULTILINE)
    assert set(listed) >= set(packages)


@pytest.mark.process
@pytest.mark.parametrize("script", sorted(path.name for path in ROOT.glob("*.py")))
def test_every_flag_is_explained_in_the_readme(script):
    done = subprocess.run([sys.executable, ROOT / script, "--help"], capture_output=True, text=True, check=True)
    readme = (ROOT / "README.md").read_text()
    pages = [done.stdout]
    for command in re.findall(r"^ {4}(\w+)\b", done.stdout, re.MULTILINE):  # sub-commands stand deeper than arguments
        pages.append(subprocess.run([sys.executable, ROOT / script, command, "--help"], capture_output=True, text=True, check=True).stdout)  # fmt: skip
    flags = set(re.findall(r"^ +(?:-h, )?(--\w+)", "\n".join(pages), re.MULTILINE)) - {"--help"}
    assert not {flag for flag in flags if f"`{flag}`" not in readme}
