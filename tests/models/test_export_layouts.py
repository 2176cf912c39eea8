"""A layout of exported weights is added in one table."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
import torch

import export_model as script
from magface_al.command.errors import UserError
from magface_al.models import export_layouts
from magface_al.models.backbone import FAMILIES
from magface_al.models.checkpoint import batch_norms, load_backbone
from magface_al.models.export import export_model
from magface_al.models.export_layouts import EXPORT_LAYOUTS, ExportLayout
from magface_al.models.layouts import PREFIXES

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def sister(monkeypatch):
    """A third layout: MagFace's file under another prefix, with CVLface's numerics."""
    monkeypatch.setitem(EXPORT_LAYOUTS, "sister", ExportLayout("backbone.", "cvlface"))


def test_a_new_layout_is_in_the_help_and_in_every_refusal(sister, capsys, tiny_checkpoint, tmp_path):
    parser = script.build_parser()
    assert "--layout {magface,insightface,sister}" in parser.format_help()
    with pytest.raises(SystemExit, match="2"):
        parser.parse_args(["--checkpoint", "m.pth", "--output_file", "o.pth", "--layout", "brother"])
    assert "sister" in capsys.readouterr().err
    with pytest.raises(UserError, match="--layout brother: expected one of magface, insightface, sister"):
        export_model(load_backbone(tiny_checkpoint), tmp_path / "o.pth", "brother")


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_new_layout_is_written_and_read_again(sister, tiny_checkpoint, tmp_path, suffix):
    path, start = tmp_path / f"o{suffix}", load_backbone(tiny_checkpoint)
    assert export_model(start, path, "sister").endswith("in sister's layout")
    again = load_backbone(path)
    assert (again.prefix, batch_norms(again.model)[0].eps) == ("backbone.", FAMILIES["cvlface"].bn_eps)
    assert again.preprocessing == start.preprocessing
    images = torch.rand(2, 3, 112, 112)
    with torch.no_grad():
        torch.testing.assert_close(again.model(images), start.model(images), rtol=1e-4, atol=1e-4)


def test_every_layout_can_be_read_again():
    assert all(layout.prefix in PREFIXES and layout.family in FAMILIES for layout in EXPORT_LAYOUTS.values())


def test_no_other_file_has_a_table_of_layouts():
    """Both names in one dictionary, list or tuple would be one (of a template's poolings the names are others' too)."""
    for path in {ROOT / "export_model.py", *Path(export_layouts.__file__).parent.glob("*.py")} - {
        Path(export_layouts.__file__)
    }:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Dict | ast.List | ast.Tuple):
                items = node.keys if isinstance(node, ast.Dict) else node.elts
                names = {item.value for item in items if isinstance(item, ast.Constant)}
                assert not set(EXPORT_LAYOUTS) <= names, path
