"""Fifty damaged files for every reader: each is read, or refused in one line that names it. `make fuzz` tries more."""

from __future__ import annotations

import ast
import gc
import sys
import threading

import pytest

from tests.fuzz.attempt import attempt, seed_files, sound_value
from tests.fuzz.mutations import KINDS
from tests.fuzz.readers import READERS
from tests.support.scripts import ROOT

ATTEMPTS, SEED = 50, 0
PACKAGE = ROOT / "magface_al"

# What brings a file's contents into the package. A call of one of the package's own readers is none: it has an entry itself.
READING = {
    "open_regular", "open_input", "read_lines", "read_json", "read_bytes", "read_text", "np.load", "np.loadtxt", "np.fromfile", "torch.load", "sqlite3.connect", "json.loads",
    "json.load", "yaml.compose", "yaml.safe_load", "safe_open", "InferenceSession", "cv2.imdecode", "cv2.imread", "np.genfromtxt", "pickle.load",
}  # fmt: skip
NOT_OF_THE_USER = {
    "command/files.py: sha256": "any bytes have a fingerprint",
    "faces/drawn/cameras.py: Camera.take": "its own JPEG",
    "labelling/answer_store.py: AnswerStore._rescue": "its own copy of an open database",
    "models/export.py: onnx_difference": "its own graph",
    "pictures/error_page.py: error_page": "a file of the package",
    "labelling/web/server.py: _text": "a file of the package",
}


@pytest.mark.slow(0.5)
@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.name)
def test_damaged_files_are_read_or_refused(reader):
    faults = []
    for number in range(ATTEMPTS):
        outcome = attempt(reader, SEED, number)
        if outcome.is_fault:
            faults.append(f"attempt {number}, {outcome.what}: {outcome.verdict} {outcome.where}\n{outcome.said}")
    gc.collect()  # files that a traceback held open are closed here, and not in some other test
    again = f"python -m tests.fuzz --reader {reader.name!r} --seed {SEED} --number K"
    assert not faults, f"{len(faults)} of {ATTEMPTS}; {again}\n" + "\n".join(faults[:5])


@pytest.mark.slow(3)
def test_every_reader_reads_the_valid_file():
    for reader in READERS:
        sound_value(reader)


@pytest.mark.slow(5)
def test_the_valid_files_are_the_same_on_every_run():
    """Or else the number of an attempt would name another file in another process: no times, addresses, random secrets."""
    for seed in {reader.seed for reader in READERS}:
        assert seed_files.__wrapped__(seed) == seed_files.__wrapped__(seed), seed


def test_every_kind_of_damage_is_used():
    assert {reader.kind for reader in READERS} | {"binary"} == set(KINDS)


def functions_that_read(path):
    """The qualified names of a file's functions that bring a file's contents in."""
    found = set()

    def visit(node, name, function):
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                inner = f"{name}.{child.name}" if name else child.name
                is_class = isinstance(child, ast.ClassDef)
                visit(child, inner if is_class else f"{inner}.<locals>", function if is_class else inner)
            else:
                if isinstance(child, ast.Call) and reads(child):
                    found.add(function)
                visit(child, name, function)

    visit(ast.parse(path.read_text()), "", "<module>")
    return found


def reads(call):
    called = ast.unparse(call.func)
    if called in READING or called.rpartition(".")[2] in READING:
        return True
    if called.rpartition(".")[2] != "open" or called in ("os.open", "webbrowser.open"):
        return False
    modes = [value.value for value in call.args if isinstance(value, ast.Constant)]
    return not modes or not set(str(modes[-1])) & set("wax")


@pytest.mark.slow(5)
def test_no_reader_is_forgotten():
    """Every function of the package that opens a file to read it is run by some entry, on its valid file."""
    wanted = {
        f"{path.relative_to(PACKAGE).as_posix()}: {name}"
        for path in PACKAGE.rglob("*.py")
        for name in functions_that_read(path)
    }
    run = set()

    def note(frame, event, _):
        code = frame.f_code
        if event == "call" and code.co_filename.startswith(str(PACKAGE)):
            run.add((code.co_filename, code.co_qualname))

    sound_value.cache_clear()
    threading.setprofile(note)
    sys.setprofile(note)
    try:
        for reader in READERS:
            sound_value(reader)
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    done = {f"{file.removeprefix(str(PACKAGE))[1:]}: {name}" for file, name in run}
    assert wanted - done - set(NOT_OF_THE_USER) == set(), (
        "these read files, and no entry of tests/fuzz/readers.py runs them"
    )
    assert set(NOT_OF_THE_USER) <= wanted, "these read nothing any more"


def test_a_function_that_reads_is_seen(tmp_path):
    source = (
        "class A:\n    def f(self):\n        return [np.load(p) for p in q]\ndef g():\n    p.open('wb'); os.open(p)\n"
    )
    source += "async def h():\n    def inner():\n        with path.open() as file:\n            pass\n"
    (tmp_path / "module.py").write_text(source)
    assert functions_that_read(tmp_path / "module.py") == {"A.f", "h.<locals>.inner"}
