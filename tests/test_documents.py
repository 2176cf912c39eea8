"""Every command that README.md and CONTENT.md show is run, as it stands, by somebody who has nothing but the project."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from magface_al.checkpoint import load_backbone
from magface_al.iresnet import build_iresnet
from magface_al.recordio import pack, write_records
from magface_al.synthetic import draw_people

ROOT = Path(__file__).resolve().parents[1]
# make test is what runs this; make demo is tools/demo.py (below); benchmarks print tables (below, at a smaller size).
# The labeller serves until Ctrl-C: test_label_pairs.py and test_label_browser.py run it.
ELSEWHERE = ("make ", "conda ", "python benchmarks/", "python label_pairs.py --pairs_file")


def commands(document):
    """The shell commands in a document's code blocks, continued lines joined."""
    blocks = re.findall(r"```bash\n(.*?)```", (ROOT / document).read_text(), re.DOTALL)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    return [" ".join(line.split()) for line in lines if line.strip() and not line.startswith("#")]


@pytest.fixture
def workplace(tmp_path):
    """A copy of the scripts, with a seeded iResNet-100 in MagFace's own layout and a few drawn people beside them."""
    for path in ROOT.glob("*.py"):
        shutil.copy(path, tmp_path)
    shutil.copytree(ROOT / "magface_al", tmp_path / "magface_al")
    torch.manual_seed(1)
    state = {f"features.module.{key}": value for key, value in build_iresnet("iresnet100").state_dict().items()}
    state["module.fc.weight"] = torch.zeros(10, 512)  # the classifier's shard, as in the official file
    torch.save({"epoch": 25, "arch": "iresnet100", "state_dict": state}, tmp_path / "magface_epoch_00025.pth")
    return tmp_path


def write_people(folder, people, images):
    names = []
    records = {}
    for person, image, face in draw_people(people, images, seed=2):
        path = folder / "faces" / f"person_{person}" / f"{image}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), face)
        names.append(str(path.relative_to(folder)))
        records[len(records)] = pack((float(person),), len(records), cv2.imencode(".jpg", face)[1].tobytes())
    (folder / "faces.list").write_text("\n".join(names))
    (folder / "faces_webface_112x112").mkdir()
    write_records(folder / "faces_webface_112x112" / "train.rec", records)


@pytest.mark.slow
def test_the_quick_start_runs_as_written(workplace):
    write_people(workplace, people=4, images=2)
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "CUDA_VISIBLE_DEVICES": "",
    }
    shown = [line for line in commands("README.md") if not line.startswith(ELSEWHERE)]
    assert {line.split()[1] for line in shown} >= {path.name for path in ROOT.glob("*.py")}
    for line in shown:
        done = subprocess.run(
            ["bash", "-c", line], cwd=workplace, capture_output=True, text=True, check=False, env=environment
        )
        assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
    best = load_backbone(workplace / "checkpoints_feedback" / "magface_feedback_best.pth")
    assert best.arch == "iresnet100"
    assert np.load(workplace / "features.npy").shape == (8, 512)


@pytest.mark.parametrize("script", sorted(path.name for path in ROOT.glob("*.py")))
def test_every_flag_is_explained_in_the_readme(script):
    done = subprocess.run([sys.executable, ROOT / script, "--help"], capture_output=True, text=True, check=True)
    readme = (ROOT / "README.md").read_text()
    flags = set(re.findall(r"^ +(?:-h, )?(--\w+)", done.stdout, re.MULTILINE)) - {"--help"}
    assert not {flag for flag in flags if f"`{flag}`" not in readme}


@pytest.mark.slow
def test_the_demo_improves_on_people_it_never_trained_on(run_script, tmp_path):
    run_script("tools/demo.py", "--output_dir", "demo")
    target = json.loads((tmp_path / "demo" / "evaluation" / "evaluation.json").read_text())["target"]
    assert target["change_intervals_95"]["eer"][1] < 0
    assert 0.85 <= target["before"]["auc"] <= 0.98
    assert (
        "<svg" in (tmp_path / "demo" / "errors_after" / "index.html").read_text()
        or (tmp_path / "demo" / "errors_after" / "scores.png").exists()
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("benchmark", "flags", "rows"),
    [
        ("bench_features.py", ["--rows", 300, "--images", 2, "--arch", "iresnet18"], ["write, binary", "write, text", "read, text", "embed 2 faces"]),
        ("bench_mining.py", ["--images", 1000], ["hardest impostors", "random impostors"]),
        ("bench_finetune.py", ["--batch_size", 2, "--rounds", 1], ["one step"]),
    ],
)  # fmt: skip
def test_benchmarks_print_their_tables(run_script, benchmark, flags, rows):
    done = run_script(f"benchmarks/{benchmark}", *flags, "--force_cpu")
    for row in rows:
        assert re.search(rf"{row}.* s .*\d+\.\d\dx", done.stdout), done.stdout
    assert "DIFFERENT" not in done.stdout
    shown = commands("CONTENT.md")
    assert any(benchmark in line for line in shown), f"CONTENT.md does not say how to run {benchmark}"
