"""What a run says at its end."""

from __future__ import annotations

import shlex
from pathlib import Path

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
