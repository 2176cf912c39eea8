"""One attempt: a damaged file is put into a fresh folder and read as the scripts read it, and what comes of it is judged.

What may come of it: the file is read, or refused as a script refuses (one line that names a file). Everything else is a fault
of the reader: a traceback, an unclear refusal, time or memory without bound, values that changed without a word.
"""

from __future__ import annotations

import contextlib
import functools
import io
import os
import resource
import signal
import tempfile
import traceback
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

from magface_al.command import run as account
from magface_al.command.errors import UserError, WorkError
from magface_al.models.architectures import ARCHITECTURES, Architecture
from tests.fuzz.mutations import Damage, damaged

READ, REFUSED = "read", "refused"
TRACEBACK, UNCLEAR, HANG, MEMORY, SILENT = "traceback", "unclear", "hang", "over memory", "silent change"
VERDICTS = (READ, REFUSED, TRACEBACK, UNCLEAR, HANG, MEMORY, SILENT)
SECONDS = 20.0  # one attempt; most take milliseconds
MEMORY_BOUND = (
    1 << 30
)  # bytes that reading a file of some kilobytes may ask for; threads reserve some hundred MiB of it
MEMORY_LIMIT = 5 << 30  # bytes at which the attempt is stopped

# What a file's format lets a reader promise. NOTHING: text and JSON hold no checksum, so another value is another file.
# WHOLE: lengths are known, so a file that was cut short is refused. EXACT: every byte is covered by a checksum.
NOTHING, WHOLE, EXACT = "nothing", "whole", "exact"
CUTS = ("cut_short", "cut_start", "nothing", "tiny")

# Where attempts take place: in memory, because most of an attempt is waiting for the disk that answers are written to.
SCRATCH = next((folder for folder in ("/dev/shm",) if os.access(folder, os.W_OK)), None)


@dataclass(frozen=True)
class Reader:
    """Something of the package that reads a file of the user.

    seed: writes small valid files into the working directory.  file: the one of them that is damaged, of a kind of KINDS.
    read: reads it there as the scripts do, uses all of it, and returns what must not change in silence.
    """

    name: str
    kind: str
    file: str
    seed: Callable[[], None]
    read: Callable[[], Any]
    promise: str = NOTHING


@dataclass(frozen=True)
class Outcome:
    """What came of an attempt: of VERDICTS; the message or the traceback; the innermost place in the package."""

    verdict: str
    said: str = ""
    where: str = ""
    kind: str = ""  # of the exception
    what: str = ""  # was done to the file

    @property
    def is_fault(self) -> bool:
        return self.verdict not in (READ, REFUSED)


class Hang(BaseException):
    """An attempt took more than its time."""


@functools.cache
def seed_files(seed: Callable[[], None]) -> dict[str, bytes]:
    """Relative path -> contents of the valid files, made once a process."""
    with tempfile.TemporaryDirectory(prefix="fuzz-", dir=SCRATCH) as name:
        folder = Path(name)
        with surroundings(folder):
            seed()
        return {
            str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
        }


@contextlib.contextmanager
def fresh_folder(files: dict[str, bytes]) -> Iterator[Path]:
    """A folder with these files, for a while."""
    with tempfile.TemporaryDirectory(prefix="fuzz-", dir=SCRATCH, ignore_cleanup_errors=True) as name:
        for place in {Path(name, path).parent for path in files}:
            place.mkdir(parents=True, exist_ok=True)
        for path, content in files.items():
            Path(name, path).write_bytes(content)
        yield Path(name)


@functools.cache
def sound_value(reader: Reader) -> str:
    """What reading the valid file gives. Raises what the reader raises, which is a fault of the seed."""
    with fresh_folder(seed_files(reader.seed)) as folder, surroundings(folder):
        return repr(reader.read())


def damage_of(reader: Reader, seed: int, number: int) -> Damage:
    """Attempt `number` of `seed`: the damaged file."""
    return damaged(reader.kind, seed_files(reader.seed)[reader.file], reader.name, seed, number)


def attempt(reader: Reader, seed: int, number: int, seconds: float = SECONDS) -> Outcome:
    """Read the file with damage `number` of `seed`. Never raises, whatever the reader does."""
    damage = damage_of(reader, seed, number)
    cut = all(name in CUTS for name in damage.what.split(" and "))
    promised = not damage.honest and (reader.promise == EXACT or (reader.promise == WHOLE and cut))
    wanted = sound_value(reader) if promised else None
    with fresh_folder({**seed_files(reader.seed), reader.file: damage.data}) as folder:
        return judge(reader.read, folder, wanted, seconds, damage.what)


def judge(read: Callable[[], Any], folder: Path, wanted: str | None, seconds: float, what: str) -> Outcome:
    """Call `read` in the folder and judge what comes of it; wanted: the repr of its result if that is promised."""
    with _peak_memory() as grown, warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # a file that an exception leaves open is closed soon after
        try:
            with surroundings(folder), _limited(seconds):
                found = repr(read())
        except UserError as error:
            outcome = _refusal(error, str(error), folder, what)
        except WorkError as error:  # says what failed, which need not be a file
            outcome = Outcome(REFUSED, str(error), what=what)
        except OSError as error:
            outcome = _refusal(error, f"{error.filename}: {error.strerror}", folder, what)
        except SystemExit as error:  # of argparse, which has said why
            outcome = Outcome(REFUSED if error.code == 2 else TRACEBACK, f"exit code {error.code}", what=what)
        except Hang as error:
            outcome = _fault(HANG, error, what)
        except MemoryError as error:
            outcome = _fault(MEMORY, error, what)
        except (Exception, KeyboardInterrupt) as error:
            is_memory = any(
                words in str(error) for words in ("not enough memory", "can't allocate memory", "bad_alloc")
            )
            outcome = _fault(MEMORY if is_memory else TRACEBACK, error, what)
        else:
            silent = wanted is not None and found != wanted
            said = f"read {found[:300]}\nexpected {(wanted or '')[:300]}"
            outcome = Outcome(SILENT, said, what=what) if silent else Outcome(READ, what=what)
    if grown() > MEMORY_BOUND and outcome.verdict != MEMORY:
        said = f"{grown() / 2**30:.1f} GiB were asked for; then: {outcome.verdict} {outcome.said}"
        return Outcome(MEMORY, said, outcome.where, outcome.kind, what)
    return outcome


def _refusal(error: Exception, message: str, folder: Path, what: str) -> Outcome:
    """A refusal in one line that names one of the files that are there; otherwise an unclear one."""
    clear = "\n" not in message and any(path.name in message for path in folder.rglob("*"))
    return Outcome(REFUSED, message, what=what) if clear else _fault(UNCLEAR, error, what)


def _fault(verdict: str, error: BaseException, what: str) -> Outcome:
    return Outcome(verdict, "".join(traceback.format_exception(error)), _place(error), type(error).__name__, what)


def _place(error: BaseException) -> str:
    """module.py:line in function of the innermost frame in the package, or of the innermost of all."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if "magface_al" in Path(frame.filename).parts]
    frame = (ours or frames)[-1]
    parts = Path(frame.filename).parts
    start = parts.index("magface_al") if "magface_al" in parts else -1
    return f"{'/'.join(parts[start:])}:{frame.lineno} in {frame.name}"


@contextlib.contextmanager
def surroundings(folder: Path) -> Iterator[None]:
    """What a script has around it: its folder, a terminal that takes UTF-8, and a tiny architecture to be quick.

    A warning is an error, as everywhere in the tests: nobody wants one on the screen in place of a sentence. (With fewer
    than 16 channels the backward pass of PyTorch 2.14 on CPUs crashes.)
    """
    tiny = Architecture("iresnet", {"blocks": (1, 1, 1, 1), "widths": (16, 16, 16, 16), "embedding_size": 8})
    with (
        contextlib.chdir(folder),
        contextlib.redirect_stdout(io.TextIOWrapper(io.BytesIO(), "utf-8")),
        contextlib.redirect_stderr(io.TextIOWrapper(io.BytesIO(), "utf-8", "backslashreplace")),
        mock.patch.dict(ARCHITECTURES, {"fuzz": tiny}),
        mock.patch.object(
            account, "_version", str
        ),  # of packages, for manifests: looking them up takes longer than all else
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", ResourceWarning)
        yield


@contextlib.contextmanager
def _limited(seconds: float) -> Iterator[None]:
    """Raise Hang after so many seconds, and let no allocation go beyond MEMORY_LIMIT."""

    def ring(number: int, frame: object) -> None:
        raise Hang

    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    before = signal.signal(signal.SIGALRM, ring)
    resource.setrlimit(resource.RLIMIT_DATA, (_status("VmData") + MEMORY_LIMIT, hard))
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


@contextlib.contextmanager
def _peak_memory() -> Iterator[Callable[[], int]]:
    """A function that says by how many bytes the address space grew, at its largest.

    Address space, because memory that is asked for and not touched counts too. The kernel remembers the largest ever, so
    what stays below an earlier attempt's is not seen: `make fuzz` begins a new process after each such attempt.
    """
    size, peak = _status("VmSize"), _status("VmPeak")
    yield lambda: (_status("VmPeak") - size) if _status("VmPeak") > peak else 0


def _status(name: str) -> int:
    """A figure of this process in bytes, from /proc."""
    with open("/proc/self/status", "rb") as file:  # noqa: PTH123 - twice an attempt
        for line in file:
            if line.startswith(name.encode()):
                return int(line.split()[1]) << 10
    return 0


assert os.name == "posix", "the fuzzer measures memory and time as Linux has them"
