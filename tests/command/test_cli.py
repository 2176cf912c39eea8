"""What every script has in common on the command line."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from magface_al.command import cli, numbers
from magface_al.command.claims import Claim
from magface_al.command.errors import UserError, WorkError
from magface_al.command.outputs import OutputPath
from magface_al.command.signals import Stopped
from tests.support.scripts import ROOT, load_script

SCRIPTS = sorted(path.name for path in ROOT.glob("*.py"))


@pytest.mark.process
@pytest.mark.parametrize("script", SCRIPTS)
def test_help_answers_at_once_because_nothing_heavy_is_imported(script):
    probe = (
        f"import runpy, sys; sys.argv = ['{script}', '--help']\ntry: runpy.run_path('{script}', run_name='__main__')\n"
    )
    probe += "finally: print({'torch', 'cv2', 'matplotlib', 'tqdm'} & set(sys.modules), file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", probe], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "set()" in done.stderr
    assert "example" in done.stdout


@pytest.mark.parametrize(
    ("script", "flags", "message"),
    [
        (
            "visualize_errors.py",
            ["--feedback_file", "p.json", "--model", "m.pth", "--threshold", "1.5"],
            "outside [-1, 1]",
        ),
        ("visualize_errors.py", ["--feedback_file", "p.json"], "give --model to embed the images"),
        (
            "gen_features.py",
            ["--inf_list", "a", "--feat_list", "b", "--resume", "c", "--batch_size", "0"],
            "not a positive whole number",
        ),
        ("gen_features.py", ["--inf_list", "absent", "--feat_list", "b", "--resume", "c"], "absent: No such file"),
        (
            "finetune_on_feedback.py",
            ["--checkpoint", "c", "--feedback_file", "absent.json"],
            "absent.json: No such file",
        ),
        (
            "finetune_on_feedback.py",
            ["--checkpoint", "c", "--feedback_file", "f", "--val_split", "1.2"],
            "outside [0, 1)",
        ),
        (
            "build_hard_pairs.py",
            ["--features_list", "absent.npy", "--output_file", "o.json"],
            "absent.npy: no such file",
        ),
    ],
)
def test_bad_arguments_end_with_2_and_one_clear_line(run_script, script, flags, message):
    assert message in run_script(script, *flags, code=2).stderr


def test_batches_are_asked_for_only_where_there_are_any():
    plain, batches = cli.new_parser("plain"), cli.new_parser("batches")
    cli.add_device_options(plain)
    cli.add_device_options(batches, batch_size=7)
    assert vars(plain.parse_args([])) == {"debug": False, "device": "auto", "force_cpu": False}
    assert vars(batches.parse_args([])) == {
        "debug": False,
        "device": "auto",
        "force_cpu": False,
        "batch_size": 7,
        "workers": 4,
    }


ENDS = [
    (lambda args, run: None, 0, ""),
    (WorkError("half of it"), 1, "toy.py: error: half of it"),
    (UserError("no such thing"), 2, "toy.py: error: no such thing"),
    (FileNotFoundError(2, "No such file or directory", "a.json"), 2, "toy.py: error: a.json: No such file or directory"),
    (PermissionError(13, "Permission denied"), 2, "toy.py: error: a file: Permission denied"),
    (OSError(28, "No space left on device", "o.pth"), 1, "toy.py: error: o.pth: No space left on device; files written before"),
    (FileExistsError("no reason of the system's"), 2, "toy.py: error: a file: no reason of the system's"),
    (OSError("a reason"), 1, "toy.py: error: the screen, or a file: a reason; files"),
    (KeyboardInterrupt(), 130, "toy.py: error: interrupted"),
    (Stopped(signal.SIGTERM), 143, "toy.py: error: ended by SIGTERM"),
    (Stopped(signal.SIGHUP), 129, "toy.py: error: ended by SIGHUP"),
    (BrokenPipeError(32, "Broken pipe"), 141, ""),
    (MemoryError(), 1, "toy.py: error: not enough memory"),
    (KeyError("a"), 1, "toy.py: error: a bug in magface_al, please report it: KeyError: 'a'"),
]  # fmt: skip


@pytest.fixture
def toy(monkeypatch, tmp_path, capsys):
    """Run cli.run with a main of the test's own; returns the exit code and what was printed on standard error."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}

    def run(main, *flags):
        parser = cli.new_parser("toy")
        parser.prog = "toy.py"
        parser.add_argument("--output_file", type=OutputPath)
        parser.add_argument("--list", type=Path)
        monkeypatch.setattr(sys, "argv", ["toy.py", *map(str, flags)])
        with pytest.raises(SystemExit) as ended:
            cli.run(parser, main)
        for number, handler in handlers.items():
            signal.signal(number, handler)
        return ended.value.code, capsys.readouterr().err

    return run


@pytest.mark.parametrize(("end", "code", "line"), ENDS, ids=lambda value: type(value).__name__)
def test_every_end_has_its_code_and_one_line(toy, end, code, line):
    def main(args, run):
        if isinstance(end, BaseException):
            raise end

    got, said = toy(main)
    assert got == code
    assert said.startswith(line)
    assert said.count("\n") == bool(line)


def test_a_stray_rank_turns_no_lock_off(toy, tmp_path, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    with Claim(tmp_path / "out"):
        assert toy(lambda args, run: None, "--output_file", "out") == (
            2,
            "toy.py: error: out: another run is writing it; wait for its end, or choose another name\n",
        )


def test_debug_prints_the_traceback(toy):
    code, said = toy(lambda args, run: {}["a"], "--debug")
    assert (code, "Traceback" in said) == (1, True)


def test_a_library_that_turns_a_signal_into_its_own_error_does_not_hide_it(toy):
    def main(args, run):
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        except KeyboardInterrupt:
            raise ImportError("initialization failed") from None

    assert toy(main) == (143, "toy.py: error: ended by SIGTERM\n")


def test_the_manifest_is_written_under_the_same_guard_as_the_output(toy, tmp_path):
    """It is an output like others: private, and never an input."""
    (tmp_path / "l.json").write_text("[]")

    def main(args, run):
        run.path = Path("l.json")

    code, said = toy(main, "--list", "l.json")
    assert (code, (tmp_path / "l.json").read_text()) == (2, "[]")
    assert "l.json: would be written over, and is an input (--list)" in said

    def other(args, run):
        run.path = Path("m.json")

    wide = os.umask(0)
    try:
        assert toy(other)[0] == 0
    finally:
        os.umask(wide)
    assert (tmp_path / "m.json").stat().st_mode & 0o777 == 0o600


def test_a_sub_command_takes_debug_on_either_side():
    parser = load_script("prepare_data.py").build_parser()
    words = ["bin2folder", "--bin", "a", "--output_dir", "b"]
    assert [parser.parse_args(line).debug for line in ([*words, "--debug"], ["--debug", *words], words)] == [
        True,
        True,
        False,
    ]


@pytest.mark.process
@pytest.mark.parametrize("second", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize(("first", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_second_signal_while_python_ends_changes_no_exit_code(first, second, code):
    """At the very last of what Python calls, when the error has been said."""
    probe = (
        "import atexit, os\nfrom magface_al.command import cli\n"
        f"atexit.register(lambda: (os.kill(os.getpid(), {int(second)}), print('still here')))\n"
        f"cli.run(cli.new_parser('toy'), lambda args, run: os.kill(os.getpid(), {int(first)}))\n"
    )
    done = subprocess.run([sys.executable, "-c", probe], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (code, "still here\n"), done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("size", ["", " 1", "01", " "])
def test_one_process_is_one_however_it_is_written(toy, monkeypatch, size):
    monkeypatch.setenv("WORLD_SIZE", size)
    assert toy(lambda args, run: None) == (0, "")


@pytest.mark.parametrize("size", ["0", "-1", "two", "1.0"])
def test_a_number_of_processes_that_is_none_is_refused(toy, monkeypatch, size):
    monkeypatch.setenv("WORLD_SIZE", size)
    code, said = toy(lambda args, run: None)
    assert (code, said.count("\n")) == (2, 1)
    assert f"WORLD_SIZE is {size!r} in the environment, expected a whole number from 1" in said


@pytest.mark.parametrize("script", SCRIPTS)
def test_every_seed_is_checked_at_the_door(script):
    parser = load_script(script).build_parser()
    for action in parser._actions:
        if action.dest == "seed":
            assert action.type is numbers.seed
