"""A log that nobody can flood: a line a minute of each kind, whatever is sent."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager

PAUSE = 60.0  # seconds between two lines of a kind
_LOGGERS = ("uvicorn.error", "asyncio")


class OneAMinute(logging.Filter):
    """Lets the first record of a kind through, then one a minute with the number of those held back.

    A kind is a message without what was filled in, and the type of its exception. What could not be helped (no more files, a
    full disk) is one line without a traceback; a bug keeps its traceback, once a minute.
    """

    def __init__(self) -> None:
        super().__init__()
        self._seen: dict[tuple[str, type | None], tuple[float, int]] = {}  # kind -> let through at, held back since

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a record is to be written; it may be shortened."""
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, asyncio.CancelledError):
            return False  # a request that the end of the server has cut off
        first_line = str(record.msg).strip().partition("\n")[0]
        kind = first_line, type(error) if error else None
        now = time.monotonic()
        at, held_back = self._seen.get(kind, (now - PAUSE, 0))
        if now - at < PAUSE:
            self._seen[kind] = at, held_back + 1
            return False
        self._seen[kind] = now, 0
        if isinstance(error, OSError):
            record.msg, record.args, record.exc_info = f"{first_line}: {error}", (), None
        if held_back:
            record.msg = f"{str(record.msg).rstrip()} ({held_back} more of these before)"
        return True


@contextmanager
def quiet_log() -> Iterator[None]:
    """While the block lasts, what the web server and its event loop log is thinned out."""
    thinning = OneAMinute()
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    for logger in loggers:
        logger.addFilter(thinning)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeFilter(thinning)
