"""docs/extending.md as somebody follows it: its code goes into a copy of the project, and its commands run there."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import zipfile

import pytest
import torch

from magface_al.models.backbones import build_backbone
from magface_al.pairs.pair_file import read_pairs
from tests.support.documents import commands
from tests.support.scripts import ROOT

PAGE = "docs/extending.md"
pytestmark = [pytest.mark.process, pytest.mark.slow(4)]


@pytest.fixture(scope="module")
def extended(tmp_path_factory, faces):
    """A copy of the project with every block of the page in its file, drawn people in a .zip, and what each command printed."""
    folder = tmp_path_factory.mktemp("extended")
    for path in ROOT.glob("*.py"):
        shutil.copy(path, folder)
    shutil.copytree(ROOT / "magface_al", folder / "magface_al", ignore=shutil.ignore_patterns("__pycache__"))
    blocks = re.findall(r"```python\n# (\S+)\n(.*?)```", (ROOT / PAGE).read_text(), re.DOTALL)
    assert len(blocks) == 10
    for name, code in blocks:
        with (folder / name).open("a") as file:
            file.write(f"\n\n{code}")
    images = sorted(faces.glob("*/*.png"))
    with zipfile.ZipFile(folder / "people.zip", "w") as archive:
        for image in images:
            archive.write(image, f"{image.parent.name}/{image.name}")
    (folder / "faces.list").write_text("".join(f"{image}\n" for image in images))
    state = {f"student.{key}": value for key, value in build_backbone("iresnet_tiny").state_dict().items()}
    torch.save(state, folder / "distilled.pth")
    printed = {}
    for command in commands(PAGE):
        words = [sys.executable, *command.split()[1:]]
        done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        printed[words[1]] = done.stdout
    return folder, printed


def test_a_new_head_backbone_and_source_train_together(extended):
    folder, printed = extended
    assert "found 60 images of 12 people in people.zip" in printed["train.py"]
    manifest = json.loads((folder / "trained" / "manifest.json").read_text())
    assert (manifest["arch"], manifest["recipe"]["head"]) == ("plainnet", "quality-cosface")
    assert manifest["recipe"]["head_options"] == {"best": 20.0}
    epochs = json.loads((folder / "trained" / "history.json").read_text())["epochs"]
    assert epochs[1]["loss"] < epochs[0]["loss"]


def test_a_new_prefix_is_read(extended):
    assert "iresnet_tiny" in extended[1]["inspect_checkpoint.py"]
    assert "loaded 115/115" in extended[1]["inspect_checkpoint.py"]


def test_a_new_strategy_asks_about_the_poorest_pictures(extended):
    folder, _ = extended
    chosen = [pair.extra for pair in read_pairs(folder / "ask.json").pairs if pair.extra["strategy"] == "poorest"]
    assert len(chosen) == 8  # of ten, two are the random slice
    poorest = max(min(extra["magnitude1"], extra["magnitude2"]) for extra in chosen)
    drawn = [pair.extra for pair in read_pairs(folder / "ask.json").pairs if pair.extra["strategy"] != "poorest"]
    assert all(min(extra["magnitude1"], extra["magnitude2"]) >= 0.9 * poorest for extra in drawn)


def test_a_new_picture_stands_on_the_page_and_beside_it(extended):
    folder, _ = extended
    page = (folder / "errors" / "index.html").read_text()
    assert "similarity of every pair over its poorer picture&#x27;s magnitude" in page
    assert (folder / "errors" / "magnitudes.png").read_bytes().startswith(b"\x89PNG")


def test_a_new_script_has_what_all_scripts_have(extended):
    folder, printed = extended
    assert json.loads((folder / "counts.json").read_text()) == {f"person_{person:02d}": 5 for person in range(12)}
    assert re.search(r"^done in \d", printed["count_faces.py"], re.MULTILINE)


def test_what_was_added_shows_in_help(extended):
    folder, _ = extended
    for script, names in (
        ("train.py", ("quality-cosface", "plainnet_wide")),
        ("choose_pairs.py", ("poorest", "the poorest pictures first")),
    ):
        done = subprocess.run(
            [sys.executable, script, "--help"], cwd=folder, capture_output=True, text=True, check=True
        )
        assert all(name in " ".join(done.stdout.split()) for name in names), script
