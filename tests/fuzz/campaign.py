"""Many attempts at many readers, each reader in processes that may hang, crash or be killed; and the table of what came."""

from __future__ import annotations

import multiprocessing
import os
import sys
import time
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from typing import Any

from tests.fuzz.attempt import HANG, MEMORY, SECONDS, TRACEBACK, UNCLEAR, VERDICTS, Outcome, Reader, attempt

PATIENCE = 3 * SECONDS  # seconds without a word after which a process hangs in code that no signal interrupts
_HEADINGS = {TRACEBACK: "tracebacks", HANG: "hangs", UNCLEAR: "unclear refusals", "silent change": "silent changes"}


@dataclass
class Tally:
    """What came of the attempts at one reader: how many of each verdict, and the first of each distinct fault."""

    reader: str
    counts: Counter[str] = field(default_factory=Counter)
    faults: dict[tuple[str, str, str], tuple[int, Outcome]] = field(default_factory=dict)
    repeats: Counter[tuple[str, str, str]] = field(default_factory=Counter)

    def add(self, number: int, outcome: Outcome) -> None:
        """Count one."""
        self.counts[outcome.verdict] += 1
        if outcome.is_fault:
            fault = (outcome.verdict, outcome.kind, outcome.where)
            self.faults.setdefault(fault, (number, outcome))
            self.repeats[fault] += 1

    def fault_lines(self, seed: int) -> list[str]:
        """A line for each distinct fault, the most frequent first."""
        lines = []
        for fault, times in self.repeats.most_common():
            number, outcome = self.faults[fault]
            said = (outcome.said.strip().splitlines() or [""])[-1][:160]
            lines.append(
                f"{self.reader} | {outcome.verdict} x{times} | {outcome.where} | {said} | {outcome.what} "
                f"| --reader {self.reader!r} --seed {seed} --number {number}"
            )
        return lines

    @staticmethod
    def table(tallies: Sequence[Tally]) -> str:
        """A row a reader, in straight columns, and their sum."""
        total = Tally("all readers")
        for tally in tallies:
            total.counts += tally.counts
        header = ["reader", "attempts", *(_HEADINGS.get(verdict, verdict) for verdict in VERDICTS)]
        rows = [
            [tally.reader, str(tally.counts.total()), *(str(tally.counts[verdict]) for verdict in VERDICTS)]
            for tally in [*tallies, total]
        ]
        widths = [max(len(row[column]) for row in [header, *rows]) for column in range(len(header))]
        lines = [
            "| "
            + " | ".join(
                [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
            )
            + " |"
            for row in [header, *rows]
        ]
        return "\n".join([lines[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *lines[1:]])


class Worker:
    """A process that makes the attempts [first, last) at one reader and sends (number, outcome) of each."""

    def __init__(self, reader: Reader, seed: int, first: int, last: int) -> None:
        self.reader, self.seed, self.next, self.last = reader, seed, first, last
        self.connection, theirs = multiprocessing.Pipe(duplex=False)
        # A copy of this process, which has imported everything; Python warns of threads, of which the fuzzer has none.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            self.process = multiprocessing.get_context("fork").Process(
                target=_work, args=(theirs, reader, seed, first, last)
            )
            self.process.start()
        theirs.close()
        self.heard = time.monotonic()

    def overdue(self) -> bool:
        return time.monotonic() - self.heard > PATIENCE

    def end(self) -> int | None:
        """Kill it if it lives; returns its exit code."""
        if self.overdue():
            self.process.kill()
        self.process.join()
        self.connection.close()
        return self.process.exitcode


def _work(connection: Connection, reader: Reader, seed: int, first: int, last: int) -> None:
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 2)  # libraries in C complain there
    try:
        for number in range(first, last):
            outcome = attempt(reader, seed, number)
            connection.send((number, outcome))
            if outcome.verdict == MEMORY:
                break  # a new process, whose largest size is small again
    finally:
        connection.close()


def run_all(readers: Sequence[Reader], seed: int, first: int, attempts: int, workers: int) -> list[Tally]:
    """So many attempts at each reader, `workers` readers at a time; how it goes is shown on standard error."""
    tallies = {reader.name: Tally(reader.name) for reader in readers}
    waiting = [(reader, first) for reader in readers]
    running: list[Worker] = []
    show = _Shown(attempts)
    try:
        while waiting or running:
            while waiting and len(running) < workers:
                reader, start = waiting.pop(0)
                running.append(Worker(reader, seed, start, first + attempts))
            for worker in _ended(running, tallies):
                running.remove(worker)
                if worker.next < worker.last:
                    waiting.insert(0, (worker.reader, worker.next))
            show(tallies, running)
    except KeyboardInterrupt:
        print("\ninterrupted; what follows is what there is", file=sys.stderr)
    finally:
        for worker in running:
            worker.process.kill()
    print(file=sys.stderr)
    return list(tallies.values())


def _ended(running: list[Worker], tallies: dict[str, Tally]) -> list[Worker]:
    """Hear what the workers say for a while; returns those that have ended, a broken-off attempt being counted."""
    ended = []
    ready: list[Any] = wait([worker.connection for worker in running], timeout=1.0)
    for worker in running:
        tally = tallies[worker.reader.name]
        done = False
        if worker.connection in ready:
            try:
                number, outcome = worker.connection.recv()
            except (EOFError, OSError):
                done = True
            else:
                tally.add(number, outcome)
                worker.next, worker.heard = number + 1, time.monotonic()
        if done or worker.overdue():
            hangs = worker.overdue() and not done
            code = worker.end()
            if hangs:
                tally.add(worker.next, Outcome(HANG, f"no word for {PATIENCE:g} s", "in native code"))
                worker.next += 1
            elif code:
                tally.add(
                    worker.next, Outcome(TRACEBACK, f"the process died, exit code {code}", "in native code", "crash")
                )
                worker.next += 1
            ended.append(worker)
    return ended


class _Shown:
    """How it goes, on standard error: a line that renews itself on a terminal, otherwise a line every ten seconds."""

    def __init__(self, attempts: int) -> None:
        self.attempts, self.last = attempts, 0.0

    def __call__(self, tallies: dict[str, Tally], running: list[Worker]) -> None:
        is_terminal = sys.stderr.isatty()
        if time.monotonic() - self.last < (0.1 if is_terminal else 10):
            return
        self.last = time.monotonic()
        done = sum(tally.counts.total() for tally in tallies.values())
        faults = sum(len(tally.faults) for tally in tallies.values())
        names = ", ".join(worker.reader.name for worker in running)
        line = f"{done} of {self.attempts * len(tallies)} attempts, {faults} distinct faults; at {names}"
        sys.stderr.write(f"\r{line[:118]:118}" if is_terminal else f"{line}\n")
        sys.stderr.flush()
