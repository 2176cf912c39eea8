"""What a run says at its end."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from magface_al.command.errors import UserError
from magface_al.command.run import Run, command_line


def test_the_next_command_can_be_pasted_whatever_the_names(capsys):
    run = Run("x.py", {})
    run.suggest("python", "y.py", "--file", Path("my pairs.json"), "--threshold", 0.25, "--set", "it's=$a;b")
    run.suggest("python", "y.py", "--file", Path("a/pairs.json"))
    run.finish(0)
    _, _, first, _, second = capsys.readouterr().out.splitlines()
    assert shlex.split(first)[3:] == ["my pairs.json", "--threshold", "0.25", "--set", "it's=$a;b"]
    assert (
        second == "  " + command_line("python", "y.py", "--file", "a/pairs.json") == "  python y.py --file a/pairs.json"
    )


def test_a_folder_is_one_runs_until_it_ends(tmp_path):
    first, second = Run("x.py", {}), Run("y.py", {})
    first.write_to(tmp_path / "out")
    with pytest.raises(UserError, match="out: another run is writing it"):
        second.write_to(tmp_path / "out")
    first.release()
    second.write_to(tmp_path / "out")
    second.release()
    assert list((tmp_path / "out").iterdir()) == []  # nor is anything left of the lock


def test_of_several_processes_with_one_task_only_the_one_that_writes_holds_the_folder(tmp_path):
    writer, silent = Run("x.py", {}), Run("x.py", {})
    writer.write_to(tmp_path)
    silent.silent = True
    silent.write_to(tmp_path)
    writer.release()
