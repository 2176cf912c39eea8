"""The rules that keep the code in one piece, checked on the source itself."""

from __future__ import annotations

import ast
import re

import pytest

from tests.support.scripts import ROOT

PACKAGE = ROOT / "magface_al"
# A folder imports from its own floor and from those before it; on one floor one way only. docs/architecture.md draws them.
FLOORS = [
    ["command"],
    ["faces", "pairs", "metrics"],
    ["models", "labelling", "conversion"],
    ["embedding"],
    ["choosing", "evaluation", "compare"],
    ["pictures"],
    ["training"],
    ["finetuning"],
]
FLOOR = {folder: number for number, folders in enumerate(FLOORS) for folder in folders}
# "pairs.splits", "labelling.web.server", ...; a subpackage's own file is "pairs"
MODULES = {
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__"): path
    for path in PACKAGE.rglob("*.py")
}
SOURCES = [path for folder in ("", "tools", "benchmarks") for path in (ROOT / folder).glob("*.py")]
SOURCES += MODULES.values()


def imports(path):
    """The magface_al modules that a file imports, inside functions and for types alone too."""
    tree = ast.parse(path.read_text())
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "magface_al":
            module = node.module.partition(".")[2]
            found |= {module} | {f"{module}.{alias.name}".removeprefix(".") for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[2] for alias in node.names if alias.name.split(".")[0] == "magface_al"}
    return found & set(MODULES) - {""}


def folder_of(module):
    return module.split(".")[0]


def test_every_folder_has_a_floor():
    assert {folder_of(name) for name in MODULES if name not in ("", "__init__")} == set(FLOOR)


@pytest.mark.parametrize("name", sorted(set(MODULES) - {"", "__init__"}))
def test_no_import_leads_to_a_higher_floor(name):
    higher = {module for module in imports(MODULES[name]) if FLOOR[folder_of(module)] > FLOOR[folder_of(name)]}
    assert not higher, f"{name} (floor {FLOOR[folder_of(name)] + 1}) imports {', '.join(sorted(higher))}"


def test_folders_of_one_floor_import_one_way_only():
    arrows = {(folder_of(name), folder_of(other)) for name, path in MODULES.items() if name for other in imports(path)}
    both = {(a, b) for a, b in arrows if a < b and (b, a) in arrows}
    assert not both


def test_an_arrow_against_the_floors_is_seen_inside_functions_too(tmp_path):
    source = "def f():\n    if True:\n        from magface_al.finetuning import tuner\n"
    (tmp_path / "module.py").write_text(source)
    assert imports(tmp_path / "module.py") == {"finetuning", "finetuning.tuner"}


def test_the_package_has_no_import_cycle():
    graph = {name: imports(path) for name, path in MODULES.items()}
    done = set()
    while ready := {name for name in graph if name not in done and graph[name] <= done}:
        done |= ready
    assert done == set(graph), f"in a cycle, or importing one: {set(graph) - done}"


def test_only_the_web_server_needs_the_web_packages():
    for name, path in MODULES.items():
        text = path.read_text()
        assert name in ("labelling.web.server", "labelling.web.connections") or not re.search(
            r"^(import|from) (uvicorn|starlette)", text, re.MULTILINE
        ), path


def test_of_the_labeller_the_package_knows_its_words_only():
    for name, path in MODULES.items():
        if not name.startswith("labelling"):
            known = {module for module in imports(path) if module.startswith("labelling")}
            assert known <= {"labelling", "labelling.answer_words"}, path


@pytest.mark.parametrize("path", sorted(ROOT.glob("*.py")), ids=lambda path: path.stem)
def test_a_script_is_one_stage_and_short(path):
    """Under 150 lines, and not by dense formatting; only messages, which stay whole, are longer than 120 characters."""
    lines = path.read_text().splitlines()
    assert len(lines) < 150
    assert "fmt: " + "skip" not in path.read_text()
    messages = {
        number
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str))
        for number in range(node.lineno, node.end_lineno + 1)
        if node.lineno == node.end_lineno
    }
    assert not [number for number, line in enumerate(lines, 1) if len(line) > 120 and number not in messages]


def test_the_package_never_sees_the_parsed_flags():
    """But for cli, which parses them."""
    seen = {
        name
        for name, path in MODULES.items()
        if re.search(r": argparse\.Namespace|\[argparse\.Namespace", path.read_text())
    }
    assert seen == {"command.cli"}


def test_no_script_imports_another():
    scripts = {path.stem for path in ROOT.glob("*.py")}
    for path in SOURCES:
        names = {
            alias.name.split(".")[0]
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Import)
            for alias in node.names
        }
        names |= {node.module for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ImportFrom)}
        assert not names & scripts, path


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_checkpoints_are_read_safely_and_whole(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            given = {word.arg: ast.unparse(word.value) for word in node.keywords}
            if ast.unparse(node.func) == "torch.load":
                assert given.get("weights_only") == "True", f"{path}:{node.lineno}"
            assert given.get("strict") != "False" or ast.unparse(node.func) == "zip", f"{path}:{node.lineno}"
        assert not (isinstance(node, ast.ExceptHandler) and node.type is None), f"{path}:{node.lineno}"
