"""A script as the tests run it: called in this process, or as a process of its own."""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import io
import os
import signal
import subprocess
import sys
import warnings
from pathlib import Path
from typing import NamedTuple
from unittest import mock

import pytest
import torch

from magface_al.command import cli

ROOT = Path(__file__).resolve().parents[2]


class Ended(NamedTuple):
    """How a script ended, with the names that subprocess.CompletedProcess has."""

    returncode: int
    stdout: str
    stderr: str


@functools.cache
def load_script(name):
    """The script as a module, read once a session. Its own folder is where it looks for modules beside it."""
    path = ROOT / name
    spec = importlib.util.spec_from_file_location(f"script_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@contextlib.contextmanager
def as_in_a_process(folder, name, flags):
    """What a new process has of its own, for a while: command line, folder, environment, random numbers, threads, signals."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    threads = torch.get_num_threads()
    with (
        mock.patch.object(sys, "argv", [str(ROOT / name), *map(str, flags)]),
        mock.patch.object(sys, "path", [str((ROOT / name).parent), *sys.path]),
        mock.patch.dict(os.environ),
        contextlib.chdir(folder),
        torch.random.fork_rng(devices=[]),
        warnings.catch_warnings(),
    ):
        torch.manual_seed(0)
        try:
            yield
        finally:
            torch.set_num_threads(threads)
            for number, handler in handlers.items():
                signal.signal(number, handler)


def run_here(folder, name, *flags, code=0):
    """Run a script in this process, in `folder`. A warning or an exception it does not expect fails the test."""
    stdout, stderr = io.StringIO(), io.StringIO()
    with as_in_a_process(folder, name, flags), contextlib.redirect_stdout(stdout), contextlib.redirect_stderr(stderr):
        script = load_script(name)
        with pytest.raises(SystemExit) as ended:
            cli.run(script.build_parser(), script.main)
    done = Ended(ended.value.code or 0, stdout.getvalue(), stderr.getvalue())
    return checked(done, code)


def run_apart(folder, name, *flags, code=0, timeout=600, **options):
    """Run a script as a process of its own, in `folder`; options are those of subprocess.run."""
    command = [sys.executable, str(ROOT / name), *map(str, flags)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=timeout, **options)
    assert "Traceback" not in done.stderr, done.stderr
    return checked(done, code)


def checked(done, code):
    """The result, if it has the exit code (None: any)."""
    assert "please report it" not in done.stderr, done.stderr
    assert code is None or done.returncode == code, (
        f"exit {done.returncode}, expected {code}\n{done.stdout}\n{done.stderr}"
    )
    return done
