"""A package that is not installed is named together with the extra that brings it."""

from __future__ import annotations

import ast
import tomllib
from pathlib import Path

import pytest

from magface_al.command.errors import UserError
from magface_al.command.extras import require

ROOT = Path(__file__).resolve().parents[2]


def extras_in_the_code():
    """What every call of `require` in the package gives as its third argument."""
    trees = [ast.parse(path.read_text()) for path in (ROOT / "magface_al").rglob("*.py")]
    calls = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return {ast.literal_eval(call.args[2]) for call in calls if getattr(call.func, "id", None) == "require"}


def test_every_extra_that_a_refusal_names_exists():
    offered = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert extras_in_the_code() == {"label", "export", "tensorboard"}
    assert extras_in_the_code() <= set(offered)


def test_the_refusal_names_the_package_and_the_extra():
    with pytest.raises(UserError, match=r"^no_such is not .* to fly: pip install no_such, or .* '\.\[wings\]'$"):
        require("no_such.module", "to fly", "wings")
