"""Work in a thread that the process's end does not wait for: a file on a disk that hangs must not keep it alive."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

Result = TypeVar("Result")


async def in_thread(work: Callable[[], Result]) -> Result:
    """What work() returns or raises. The pools of asyncio and anyio are waited for at the end, hence a thread of its own."""
    outcome: Future[Result] = Future()
    outcome.set_running_or_notify_cancel()  # from here on whoever waits can go away, but not undo it

    def run() -> None:
        try:
            outcome.set_result(work())
        except BaseException as error:  # not swallowed: raised where it is waited for
            outcome.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return await asyncio.wrap_future(outcome)
