"""Seconds, memory, ratios and the lines about machine and versions that stand above every benchmark's table."""

from __future__ import annotations

import contextlib
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch


def seconds(work: Callable[[], object], rounds: int = 3, device: torch.device | None = None) -> float:
    """The shortest of `rounds` runs: other processes can only make a run longer."""
    best = float("inf")
    for _ in range(rounds):
        started = time.perf_counter()
        work()
        if device is not None and device.type == "cuda":
            torch.cuda.synchronize(device)
        best = min(best, time.perf_counter() - started)
    return best


def watched(command: list[str], quiet: bool = False) -> tuple[float, float, float]:
    """(seconds, highest resident memory, highest resident memory without mapped files, in GiB) of a command, on Linux."""
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL if quiet else None)
    resident = own = 0.0
    while process.poll() is None:
        with contextlib.suppress(OSError):  # it may end between the two lines
            status = Path(f"/proc/{process.pid}/status").read_text()
            rows = (line.split() for line in status.splitlines())
            sizes = {words[0]: int(words[1]) / 2**20 for words in rows if words[-1:] == ["kB"]}
            resident, own = max(resident, sizes.get("VmHWM:", 0.0)), max(own, sizes.get("RssAnon:", 0.0))
        time.sleep(0.05)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return time.perf_counter() - started, resident, own


def heading() -> None:
    """Print the command, the machine and the versions."""
    gpu = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    print(f"$ python {' '.join(sys.argv)}")
    versions = f"Python {platform.python_version()}, torch {torch.__version__}, NumPy {np.__version__}"
    print(f"{platform.machine()}, {os.cpu_count()} cores{gpu}; {versions}")


def row(what: str, plain: float, ours: float, expected: str = "") -> None:
    """One line: how long the plain reference and the project's code took, and how many times faster the latter is."""
    print(f"{what:<44} {plain:9.3f} s {ours:9.3f} s {plain / ours:8.2f}x  {expected}", flush=True)


def header() -> None:
    """The columns of `row`."""
    print(f"{'':<44} {'plain':>11} {'magface-al':>11} {'faster':>9}  {'expected':>8}")
