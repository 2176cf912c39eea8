"""A script as a process of its own without the seconds that importing takes: a copy of this process, which has imported."""

from __future__ import annotations

import faulthandler
import importlib
import os
import pkgutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from pathlib import Path

import torch

import magface_al
from magface_al.command import cli, replacing
from tests.support.scripts import ROOT, Ended, load_script

PATIENCE = 120  # seconds


def import_everything():
    """What scripts import while they run, so that no copy has to. Packages that are not installed are left out."""
    for module in pkgutil.walk_packages(magface_al.__path__, "magface_al."):
        importlib.import_module(module.name)
    for name in ("matplotlib.backends.backend_agg", "torchvision.transforms", "uvicorn", "safetensors.torch"):
        importlib.import_module(name)


class Forked:
    """The running script, in a process group of its own. stdout and stderr go to files in `folder`, called as `log` says."""

    def __init__(self, folder, script, *flags, before=lambda: None, log="log"):
        self.logs = [Path(folder) / f"{log}.{name}" for name in ("out", "err")]
        self.started = time.monotonic()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of threads beside a fork: the copy has none of them
            self.pid = os.fork()
        if self.pid == 0:
            _become(folder, script, list(map(str, flags)), before, self.logs)
        os.setpgid(self.pid, self.pid)  # both do it, whoever comes first
        self.code = None

    def wait(self, seconds=PATIENCE):
        """How it ended; it is killed, and the test fails, where it has not after so many seconds."""
        while self.code is None and time.monotonic() - self.started < seconds:
            done, status = os.waitpid(self.pid, os.WNOHANG)
            if done:
                self.seconds = time.monotonic() - self.started
                self.code = os.waitstatus_to_exitcode(status)
            else:
                time.sleep(0.002)
        if self.code is None:
            self.send(signal.SIGKILL)
            os.waitpid(self.pid, 0)
            raise AssertionError(f"still running after {seconds} s: {self.ended()}")
        return self.ended()

    def ended(self):
        return Ended(self.code, *(path.read_text(errors="replace") if path.exists() else "" for path in self.logs))

    def send(self, number):
        os.killpg(self.pid, number)


def _become(folder, script, flags, before, logs):
    """In the copy: everything that a new process has of its own, then the script, and the end."""
    code = 70
    try:
        os.setpgid(0, 0)
        torch.set_num_threads(1)  # the copy has none of the threads that would share the work
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
        os.chdir(folder)
        for number, path in enumerate(logs, 1):
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
            os.dup2(descriptor, number)
            os.close(descriptor)
        sys.stdout = os.fdopen(1, "w", encoding="utf-8", closefd=False)
        sys.stderr = os.fdopen(2, "w", encoding="utf-8", closefd=False, buffering=1)
        faulthandler.dump_traceback_later(PATIENCE - 10, file=sys.stderr)  # says where it hangs
        tempfile.tempdir = str(Path(folder).parent)  # tracebacks and lent homes go with the test
        sys.argv = [str(ROOT / script), *flags]
        replacing._swept.clear()
        module = load_script(script)
        before()
        cli.run(module.build_parser(), module.main)
    except SystemExit as ended:
        code = ended.code or 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
