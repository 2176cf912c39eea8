"""Keeps the feedback file up to date while people answer."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from magface_al.labelling.labeller import Labeller

PAUSE_BEFORE_EXPORT, LONGEST_WITHOUT_EXPORT = 2.0, 15.0  # seconds


class Autosave:
    """Writes the feedback file at the start and soon after answers, at the latest every few seconds."""

    def __init__(self, labeller: Labeller) -> None:
        self.labeller = labeller
        self._last_event = 0.0
        self._wanted: asyncio.Event | None = None

    def wake(self) -> None:
        """Say that something new was answered."""
        self._last_event = time.monotonic()
        if self._wanted is not None:
            self._wanted.set()

    @asynccontextmanager
    async def running(self, _: object) -> AsyncIterator[None]:
        """Export at the start and while the server runs; whoever started it exports at the end."""
        self._wanted = asyncio.Event()
        self._export()
        task = asyncio.create_task(self._run(self._wanted))
        yield
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    async def _run(self, wanted: asyncio.Event) -> None:
        while True:
            await wanted.wait()
            wanted.clear()
            first = time.monotonic()
            while True:
                quiet = time.monotonic() - self._last_event
                if quiet >= PAUSE_BEFORE_EXPORT or time.monotonic() - first >= LONGEST_WITHOUT_EXPORT:
                    break
                await asyncio.sleep(PAUSE_BEFORE_EXPORT - quiet)
            await asyncio.to_thread(self._export)

    def _export(self) -> None:
        """A failure (full disk, folder gone) is told and tried again; the answers are in the database all the same."""
        try:
            self.labeller.export()
            self.labeller.export_error = None
        except OSError as error:
            self.labeller.export_error = f"{error.filename or self.labeller.feedback_path}: {error.strerror}"
            sys.stderr.write(
                f"note: the feedback file could not be written ({self.labeller.export_error}); the answers are kept\n"
            )
