"""One line about what nobody foresaw, and the traceback in a file."""

from __future__ import annotations

import re
import stat
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch

from magface_al.command.last_resort import explain
from magface_al.command.numbers import whole


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


def caught(work):
    try:
        work()
    except Exception as error:
        return error
    raise AssertionError("it raised nothing")


def no_number():
    whole("x\ny")


def not_square():
    np.linalg.inv(np.zeros((2, 3)))


def no_memory():
    raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes")


def no_module():
    import no_such_module  # noqa: F401


def in_no_file():
    exec(compile("{}['a']", "<string>", "exec"))


@pytest.mark.parametrize(
    ("work", "line"),
    [
        (no_number, r"a bug in magface_al, please report it: ValueError: 'x\\ny' is no whole number; "),
        (not_square, r"_linalg\.py could not go on: LinAlgError: Last 2 dimensions of the array must be square; "),
        (no_memory, r"not enough memory \(DefaultCPUAllocator"),
        (lambda: np.empty(1 << 56), r"not enough memory \(Unable to allocate"),
        (lambda: torch.empty(1 << 60), r"not enough memory \(.*alloc"),
        (no_module, r"No module named 'no_such_module': .*python.* is not the Python that was installed into; "),
        (in_no_file, r"<string> could not go on: KeyError: 'a'; "),
    ],
)
def test_who_raised_it_decides_whose_fault_it_is(work, line):
    said = explain(caught(work), "x.py", debug=False)
    assert re.match(line, said), said
    assert "\n" not in said
    kept = Path(re.search(r"the traceback is in (\S+), --debug prints it$", said)[1])
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert "Traceback" in kept.read_text()


def test_debug_prints_it_and_keeps_no_file(capsys, tmp_path):
    said = explain(caught(no_number), "x.py", debug=True)
    assert said.endswith("the traceback is above")
    assert "in no_number" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_where_no_file_can_be_had_the_line_is_said_all_the_same(monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", "/proc")
    assert "the traceback could not be kept (" in explain(caught(no_number), "x.py", debug=False)


def test_the_environment_inside_the_project_is_not_the_project(monkeypatch, tmp_path):
    """A .venv in the checkout holds libraries, and a checkout may lie in a folder called site-packages."""
    from magface_al.command import last_resort

    monkeypatch.setattr(last_resort, "_PROJECT", tmp_path / "site-packages")
    assert last_resort._is_ours(str(tmp_path / "site-packages" / "magface_al" / "x.py"))
    assert not last_resort._is_ours(
        str(tmp_path / "site-packages" / ".venv" / "lib" / "site-packages" / "torch" / "x.py")
    )
    assert not last_resort._is_ours(str(tmp_path / "other.py"))


def test_memory_that_is_gone_for_good_is_still_one_line(monkeypatch):
    from magface_al.command import last_resort

    def gone(*_):
        raise MemoryError

    monkeypatch.setattr(last_resort, "_explained", gone)
    assert explain(MemoryError(), "x.py", debug=False).startswith("not enough memory, not even to keep the traceback")
