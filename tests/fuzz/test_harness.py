"""The fuzzer finds what it is for: in readers that are broken on purpose, each in one way."""

from __future__ import annotations

import contextlib
import io
import os
import random
import re
import signal
import time
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest

from magface_al.command.errors import UserError
from tests.fuzz import __main__ as command
from tests.fuzz.attempt import EXACT, HANG, MEMORY, READ, REFUSED, SILENT, TRACEBACK, UNCLEAR, WHOLE, Reader, attempt
from tests.fuzz.campaign import Tally, run_all
from tests.fuzz.mutations import KINDS, archives, damaged
from tests.fuzz.readers import READERS


def numbers():
    Path("numbers.txt").write_text("1\n2\n3\n")


def reader(read, kind="text", promise="nothing"):
    return Reader("broken on purpose", kind, "numbers.txt", numbers, read, promise)


def outcomes(read, attempts=60, **options):
    return [attempt(reader(read, **options), 1, number) for number in range(attempts)]


def careful():
    path = Path("numbers.txt")
    try:
        return [int(line) for line in path.read_text().split()]
    except ValueError as error:
        raise UserError(f"{path}: {str(error)[:50]!r}, expected whole numbers") from None


def test_a_careful_reader_has_no_fault():
    found = {outcome.verdict for outcome in outcomes(careful)}
    assert found == {READ, REFUSED}


def test_a_traceback_is_found_and_its_place_named():
    faults = [
        outcome for outcome in outcomes(lambda: [int(line) for line in Path("numbers.txt").open()]) if outcome.is_fault
    ]
    assert {outcome.verdict for outcome in faults} == {TRACEBACK}
    assert {outcome.kind for outcome in faults} == {"ValueError", "UnicodeDecodeError"}
    assert all(
        outcome.where and "Traceback" in outcome.said and "test_harness.py" in outcome.said for outcome in faults
    )


def test_a_warning_on_the_screen_is_a_traceback():
    assert {outcome.verdict for outcome in outcomes(lambda: warnings.warn("look", UserWarning, stacklevel=1), 1)} == {
        TRACEBACK
    }


def test_a_refusal_that_names_no_file_is_unclear():
    def refuse():
        raise UserError("wrong")

    assert attempt(reader(refuse), 1, 0).verdict == UNCLEAR


def test_what_the_command_line_turns_into_one_line_is_a_refusal():
    assert attempt(reader(lambda: Path("absent.txt").read_text()), 1, 0).verdict == UNCLEAR  # names another file
    assert attempt(reader(lambda: Path("numbers.txt/x").read_text()), 1, 0).verdict == REFUSED


def test_a_hang_is_found():
    def hang():
        while True:
            time.sleep(0.001)

    assert attempt(reader(hang), 1, 0, seconds=0.1).verdict == HANG


@pytest.mark.parametrize("gigabytes", [2, 64])
def test_memory_that_a_small_file_asks_for_is_found(gigabytes):
    """Also where nothing is written to it, and where the reader makes a sentence of the failure."""

    def greedy():
        with contextlib.suppress(MemoryError if gigabytes == 2 else ZeroDivisionError):
            np.empty(gigabytes << 30, np.uint8)

    assert attempt(reader(greedy), 1, 0).verdict == MEMORY


def test_a_change_in_silence_is_found_where_the_format_promises_to_tell():
    def first_byte():
        return Path("numbers.txt").read_bytes()[:1]

    silent = [outcome for outcome in outcomes(first_byte, kind="binary", promise=EXACT) if outcome.is_fault]
    assert silent and {outcome.verdict for outcome in silent} == {SILENT}
    cut = [outcome for outcome in outcomes(first_byte, kind="binary", promise=WHOLE) if outcome.is_fault]
    assert 0 < len(cut) < len(silent)  # of the damage only what cuts the file short
    assert not [outcome for outcome in outcomes(first_byte, kind="binary") if outcome.is_fault]


def test_the_same_seed_gives_the_same_files():
    data = b"1\n2\n3\n"
    first = [damaged("text", data, "x", 1, number) for number in range(100)]
    assert first == [damaged("text", data, "x", 1, number) for number in range(100)]
    assert first != [damaged("text", data, "x", 2, number) for number in range(100)]
    assert first != [damaged("text", data, "y", 1, number) for number in range(100)]


def test_the_first_bytes_are_those_of_every_machine():
    """What a report of last year names must still be what it was. A change here makes all known numbers void."""
    found = [damaged("text", b"a 1\nb 2\n", "x", 1, number).data[:12] for number in (0, 1, 2, 3)]
    assert found == FIRST_BYTES


FIRST_BYTES = [b"", b"a qH\xb5N2\n", b"a", b"?\x06Z\xd9\xd6\x1e\x17|3\xa15%"]


def test_few_attempts_meet_every_kind_of_damage():
    for kind, mutations in KINDS.items():
        done = " ".join(damaged(kind, b"x 1\n" * 40, "x", 0, number).what for number in range(50))
        assert all(mutation.__name__ in done for mutation in mutations), kind


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_damage_never_fails_on_damage(kind):
    """A second mutation gets what the first has left, which may be nothing."""
    rng = random.Random(1)
    for data in (b"", b"\0", b"[", b"\xff" * 40, b"PK\x03\x04", b"{}", rng.randbytes(2000)):
        for mutation in KINDS[kind]:
            assert isinstance(mutation(data, rng), bytes)


def test_a_damaged_record_keeps_its_directory(tmp_path):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("x/data/0", bytes(1000))
    damaged_archive = zipfile.ZipFile(io.BytesIO(archives.damage_weights(buffer.getvalue(), random.Random(1))))
    assert damaged_archive.namelist() == ["x/data/0"]
    with pytest.raises(zipfile.BadZipFile, match="CRC"):
        damaged_archive.read("x/data/0")


def test_the_bomb_is_a_sound_archive_that_grows():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("x/data/0", b"abc")
        archive.writestr("x/data/1", b"def")
    packed = archives.bomb(buffer.getvalue(), random.Random(1))
    assert len(packed) < 8 << 20
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        assert sum(info.file_size for info in archive.infolist()) == archives.BOMB + 3
        grown = next(info for info in archive.infolist() if info.file_size == archives.BOMB)
        with archive.open(grown) as file:
            assert file.read(1 << 20) == bytes(1 << 20)


@pytest.mark.process
def test_a_campaign_outlives_readers_that_hang_crash_and_eat_memory(monkeypatch, capsys):
    monkeypatch.setattr("tests.fuzz.campaign.PATIENCE", 2.0)

    def stuck():  # in code that no signal interrupts
        re.match(r"(a*)*b", "a" * 40)

    def crash():
        os.kill(os.getpid(), signal.SIGKILL)

    def greedy():
        np.empty(2 << 30, np.uint8)

    broken = {"stuck": stuck, "crash": crash, "greedy": greedy, "careful": careful}
    readers = [Reader(name, "text", "numbers.txt", numbers, read) for name, read in broken.items()]
    tallies = {tally.reader: tally for tally in run_all(readers, 1, 0, 2, 4)}
    assert tallies["stuck"].counts == {HANG: 2}
    assert tallies["crash"].counts == {TRACEBACK: 2}
    assert tallies["greedy"].counts == {MEMORY: 2}
    assert sum(tallies["careful"].counts.values()) == 2
    table = Tally.table(list(tallies.values()))
    assert len({len(line) for line in table.splitlines()}) == 1
    assert re.search(r"all readers +\| +8 \|", table)


@pytest.mark.process
def test_the_command_prints_a_table_and_repeats_one_attempt(monkeypatch, capsys, tmp_path):
    flags = ["--reader", READERS[0].name, "--attempts", "3", "--report", str(tmp_path / "faults.md")]
    monkeypatch.setattr("sys.argv", ["fuzz", *flags])
    code = command.main()
    assert f"| {READERS[0].name} " in capsys.readouterr().out
    assert code == bool((tmp_path / "faults.md").read_text().strip())
    monkeypatch.setattr(
        "sys.argv", ["fuzz", "--reader", READERS[0].name, "--number", "2", "--keep", str(tmp_path / "file")]
    )
    command.main()
    shown = capsys.readouterr().out
    assert repr((tmp_path / "file").read_bytes()[:50])[2:-1] in shown
