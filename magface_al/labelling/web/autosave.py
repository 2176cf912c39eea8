"""Keeps the feedback file up to date while people answer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from magface_al.command.errors import WorkError
from magface_al.labelling.labeller import Labeller

PAUSE_BEFORE_EXPORT, LONGEST_WITHOUT_EXPORT = 2.0, 15.0  # seconds
LOOK_EVERY = 5.0  # seconds: whether the database is in its place, and a failed export works by now
SAY_EVERY = 60.0  # seconds: the page shows what is wrong all the time


class Autosave:
    """Writes the feedback file at the start and soon after answers, at the latest every few seconds."""

    def __init__(self, labeller: Labeller) -> None:
        self.labeller = labeller
        self._last_event = 0.0
        self._said = -SAY_EVERY
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
        await asyncio.to_thread(self._export)
        task = asyncio.create_task(self._run(self._wanted))
        yield
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    async def _run(self, wanted: asyncio.Event) -> None:
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(wanted.wait(), LOOK_EVERY)
            if wanted.is_set():
                wanted.clear()
                await self._pause()
                await asyncio.to_thread(self._export)
            elif await asyncio.to_thread(self.labeller.look):
                await asyncio.to_thread(self._export)

    async def _pause(self) -> None:
        """Until nobody has answered for a while."""
        first = time.monotonic()
        while True:
            quiet = time.monotonic() - self._last_event
            if quiet >= PAUSE_BEFORE_EXPORT or time.monotonic() - first >= LONGEST_WITHOUT_EXPORT:
                return
            await asyncio.sleep(PAUSE_BEFORE_EXPORT - quiet)

    def _export(self) -> None:
        """A failure (full disk, folder gone) is told and tried again."""
        with suppress(WorkError):
            self.labeller.export()
        trouble = self.labeller.export_error
        if trouble and time.monotonic() - self._said >= SAY_EVERY:
            self._said = time.monotonic()
            self.labeller.note(trouble)
