"""Kill every stage at random moments, and see whether a file is half, a rerun differs, or an answer is lost.

A round starts a stage on small drawn data, sends SIGKILL to it at a moment drawn from an undisturbed run's duration, and asks:

- whole: is every file under a final name byte for byte that of the undisturbed run, or the old one, or (where it holds
  times) readable?
- taken up: does the same command, given again, end well, with the undisturbed run's files and no others?

`make kill N=100` prints a table and ends with 1 if anything was lost. The rounds follow from the seed but for the
machine's speed.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import torch

from magface_al.labelling.events import pair_id
from magface_al.pairs.pair_file import read_pairs
from tests.support.forked import PATIENCE, Forked, import_everything
from tests.support.labeller_process import Client, wait_until
from tests.support.stages import RESUMABLE, STAGES, Stage, differences, files_of, halves, is_half, prepare, ran


@dataclass
class Count:
    """What came of a stage's rounds."""

    kills: int = 0
    too_late: int = 0  # the stage had ended before it could be killed
    taken_up: int = 0
    left: Counter[str] = field(default_factory=Counter)  # kinds of files that a kill left, and the rerun removed
    losses: list[str] = field(default_factory=list)


class Rounds:
    """One stage, its undisturbed run, and its rounds."""

    def __init__(self, folder: Path, stage: Stage) -> None:
        self.folder, self.stage = folder, stage
        self.count = Count()
        self.before: dict[str, bytes] = {}
        self.old = folder / "old"
        clean(self.old)
        if stage.old:
            ran(self.old, stage.old)
            self.before = files_of(self.old)
        self.work = folder / "work"
        self._begin()
        self.seconds = ran(self.work, stage.command)
        self.whole = files_of(self.work)

    def _begin(self) -> None:
        shutil.rmtree(self.work, ignore_errors=True)
        shutil.copytree(self.old, self.work)

    def round(self, rng: random.Random) -> None:
        """One kill and what came of it."""
        killed, window = False, self.seconds
        while not killed and window > 0.2 * self.seconds:  # the machine may be faster than it was
            self._begin()
            process = Forked(self.work, *self.stage.command)
            time.sleep(rng.uniform(0, window))
            process.send(signal.SIGKILL)
            killed, window = self._reap(process), 0.8 * window
        self.count.kills += killed
        self.count.too_late += not killed
        losses = halves(files_of(self.work), [self.before, self.whole])
        self.count.left.update(kind_of(name) for name in files_of(self.work) if is_half(name))
        again = list(self.stage.command)
        if self.stage.resume and (self.work / self.stage.state).exists():
            again.append(self.stage.resume)
        done = Forked(self.work, *again).wait()
        if done.returncode:
            losses.append(f"the same command ends with {done.returncode}: {done.stderr.strip().splitlines()[-1:]}")
        else:
            losses += differences(files_of(self.work), self.whole)
        self.count.taken_up += killed and not losses
        self.count.losses += losses

    def _reap(self, process: Forked) -> bool:
        code = os.waitstatus_to_exitcode(os.waitpid(process.pid, 0)[1])
        assert code in (0, -signal.SIGKILL), process.ended()
        return code != 0


def clean(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()


def kind_of(name: str) -> str:
    """A leftover's kind, for the table."""
    if any(part.startswith(".magface_al-") for part in Path(name).parts):
        return "private .part"
    return next(ending for ending in RESUMABLE[::-1] if name.endswith(ending))


class LabellerRounds:
    """label_pairs.py killed again and again while clients answer; what was called saved must be in the last export, and is not asked again."""

    stage = Stage("label_pairs", [])

    def __init__(self, folder: Path) -> None:
        self.work = folder / "labels"
        clean(self.work)
        content = {"pairs": [{"image1": f"{k}.png", "image2": f"{k}b.png", "label": None} for k in range(4000)]}
        (self.work / "pairs.json").write_text(json.dumps(content))
        self.files = ["label_pairs.py", "--pairs_file", "pairs.json", "--feedback_file", "feedback.json"]
        self.saved: dict[str, str] = {}
        self.count = Count()
        self.port = 0

    def round(self, rng: random.Random) -> None:
        """One kill while two people answer, and an export by the next process."""
        process = Forked(self.work, *self.files, "--port", 0)
        address = self._address(process)
        self.port, self.token = int(address.split(":")[2].split("/")[0]), address.partition("token=")[2]
        self.clients = []
        before = set(self.saved)
        people = [threading.Thread(target=self._answer, args=(f"ann{k}", k, before)) for k in range(2)]
        for person in people:
            person.start()
        time.sleep(rng.uniform(0, 1.5))
        process.send(signal.SIGKILL)
        os.waitpid(process.pid, 0)
        for person in people:
            person.join(PATIENCE)
            assert not person.is_alive()
        for client in self.clients:
            client.connection.close()
        self.count.kills += 1
        done = Forked(self.work, *self.files, "--export_only").wait()
        if done.returncode:
            self.count.losses.append(f"the export ends with {done.returncode}: {done.stderr.strip()}")
            return
        exported = {pair_id(pair): pair.extra.get("answer") for pair in read_pairs(self.work / "feedback.json").pairs}
        lost = [pair for pair, answer in self.saved.items() if exported.get(pair) != answer]
        self.count.losses += [f"{len(lost)} of {len(self.saved)} saved answers are lost"] if lost else []
        self.count.taken_up += not lost
        self.count.left["answers called saved"] = len(self.saved)

    def _address(self, process: Forked) -> str:
        """Where the page is, once the labeller serves it."""
        out = process.logs[0]

        def serves() -> bool:
            assert os.waitpid(process.pid, os.WNOHANG)[0] == 0, process.ended()
            return out.exists() and "Ctrl-C" in out.read_text()

        if not wait_until(serves):
            process.send(signal.SIGKILL)
            raise AssertionError(f"no page: {process.ended()}")
        return next(line.split()[1] for line in out.read_text().splitlines() if line.startswith("open "))

    def _answer(self, name: str, number: int, before: set[str]) -> None:
        """Answer until the labeller is gone; `before` are the pairs whose answers an earlier process has called saved."""
        try:
            client = Client(self, name)
            while questions := client.questions(5):
                if again := before & {question["pair"] for question in questions}:
                    self.count.losses.append(f"{len(again)} saved answers are asked for again")
                for question in questions:
                    answer = "same" if (len(self.saved) + number) % 2 else "different"
                    client.answer(question["pair"], answer)
                    self.saved[question["pair"]] = answer
        except (OSError, http.client.HTTPException):
            pass  # the labeller is gone


def kill(rounds: int, seed: int, folder: Path, names: str = "", say: Callable[[str], None] = print) -> dict[str, Count]:
    """So many kills over all stages (those whose name holds `names`), at least one of each. Returns what came of them."""
    rng = random.Random(seed)
    import_everything()
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    prepare(folder)
    stages = [stage for stage in [*STAGES, LabellerRounds.stage] if names in stage.name]
    counts: dict[str, Count] = {}
    for place, stage in enumerate(stages):
        share = max(1, rounds // len(stages) + (place < rounds % len(stages)))
        running = LabellerRounds(folder) if stage is LabellerRounds.stage else Rounds(folder, stage)
        for _ in range(share):
            running.round(rng)
        counts[stage.name] = running.count
        say(row(stage.name, running.count))
        for loss in running.count.losses:
            say(f"    {loss}")
    return counts


def row(name: str, count: Count) -> str:
    left = ", ".join(f"{kind} {number}" for kind, number in sorted(count.left.items())) or "-"
    return f"{name:<26} {count.kills:>5} {count.too_late:>8} {count.taken_up:>8} {len(count.losses):>6}  {left}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=100, help="kills in all")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--only", default="", metavar="TEXT", help="stages whose name holds this")
    args = parser.parse_args()
    print(
        f"{'stage':<26} {'kills':>5} {'too late':>8} {'taken up':>8} {'losses':>6}  left by kills (gone after the rerun)"
    )
    with tempfile.TemporaryDirectory() as folder:
        counts = kill(args.rounds, args.seed, Path(folder), args.only, lambda line: print(line, flush=True))
    total = Count(
        *(sum(getattr(count, name) for count in counts.values()) for name in ("kills", "too_late", "taken_up"))
    )
    total.losses = [loss for count in counts.values() for loss in count.losses]
    print(row("all", total))
    sys.exit(bool(total.losses))


if __name__ == "__main__":
    main()
