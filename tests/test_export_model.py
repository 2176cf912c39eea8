"""export_model.py, and what its files are good for."""

from __future__ import annotations

import json
import re

from magface_al.faces.preprocess import PRESETS
from magface_al.models.checkpoint import load_backbone


def test_a_graph_can_be_inspected_but_not_trained_or_exported(run_script, graph, write_pairs_file):
    shown = run_script("inspect_checkpoint.py", "--checkpoint", graph).stdout
    assert re.search(r"BatchNorm eps +3e-05\n +flip rule +sum", shown), shown
    write_pairs_file({"pairs": [{"image1": "a", "image2": "b", "label": 1}]})
    message = "an ONNX graph can be run but not trained"
    assert message in run_script("finetune_on_feedback.py", "--checkpoint", graph, "--feedback_file", "pairs.json", code=2).stderr  # fmt: skip
    assert message in run_script("export_model.py", "--checkpoint", graph, "--output_file", "o.pth", code=2).stderr


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
