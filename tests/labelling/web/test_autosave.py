"""The exporter outlives whatever it meets."""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import suppress

from magface_al.command.run import Run
from magface_al.labelling.answer_store import AnswerStore
from magface_al.labelling.labeller import Labeller
from magface_al.labelling.web import autosave
from magface_al.pairs.pair_file import Pair, PairFile


async def until(condition):
    while not condition():
        await asyncio.sleep(0.01)


def test_a_failed_export_is_said_once_a_minute_shown_all_the_time_and_tried_again(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(autosave, "LOOK_EVERY", 0.01)
    feedback = tmp_path / "f.json"
    pair_file = PairFile(tmp_path / "pairs.json", [Pair("a", "b", None)])
    labeller = Labeller(pair_file, feedback, AnswerStore(tmp_path / "f.sqlite"), note=Run("label_pairs.py", {}).note)
    feedback.mkdir()

    async def serve():
        async with autosave.Autosave(labeller).running(None):
            for _ in range(2):
                await asyncio.sleep(0.1)
                assert labeller.export_error
            feedback.rmdir()
            await until(lambda: labeller.export_error is None)
            assert feedback.is_file()
            pair_file.extra["bad"] = float("nan")
            labeller.look()
            (tmp_path / "f.sqlite").unlink()  # noticed although nobody answers
            await until(lambda: labeller.lost)
            await until(lambda: "not JSON compliant" in labeller.export_error)

    asyncio.run(asyncio.wait_for(serve(), 60))
    labeller.close()
    said = capsys.readouterr().err
    assert said.count("note: ") == 1
    assert f"note: {feedback} could not be written" in said


def test_where_nobody_reads_what_is_said_exports_go_on(tmp_path, monkeypatch):
    """`2>&1 | tee log`, and tee is gone."""
    monkeypatch.setattr(autosave, "LOOK_EVERY", 0.01)
    monkeypatch.setattr(autosave, "PAUSE_BEFORE_EXPORT", 0.0)
    feedback = tmp_path / "f.json"
    pair_file = PairFile(tmp_path / "pairs.json", [Pair("a", "b", None)])
    labeller = Labeller(pair_file, feedback, AnswerStore(tmp_path / "f.sqlite"), note=Run("label_pairs.py", {}).note)
    reading, writing = os.pipe()
    os.close(reading)
    unread = os.fdopen(writing, "w", buffering=1)
    monkeypatch.setattr(sys, "stderr", unread)

    async def serve():
        saving = autosave.Autosave(labeller)
        async with saving.running(None):
            feedback.unlink()
            feedback.mkdir()
            saving.wake()
            await until(lambda: labeller.export_error)
            feedback.rmdir()
            await until(feedback.is_file)

    asyncio.run(asyncio.wait_for(serve(), 20))
    labeller.close()
    with suppress(BrokenPipeError):
        unread.close()
