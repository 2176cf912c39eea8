"""What of the server's log is written."""

from __future__ import annotations

import asyncio
import logging

import pytest

from magface_al.labelling.web import quiet
from magface_al.labelling.web.quiet import quiet_log


@pytest.fixture
def clock(monkeypatch):
    """Seconds, which a test sets."""
    now = [1000.0]
    monkeypatch.setattr(quiet.time, "monotonic", lambda: now[0])
    return now


def test_a_line_a_minute_of_each_kind(caplog, clock):
    logger = logging.getLogger("uvicorn.error")
    with quiet_log():
        for number in range(800):
            clock[0] += 0.125
            logger.warning("Invalid HTTP request received.")
            logger.warning("sent %d", number)
        clock[0] += 60
        logger.warning("Invalid HTTP request received.")
    assert caplog.messages == [
        "Invalid HTTP request received.", "sent 0",
        "Invalid HTTP request received. (479 more of these before)", "sent 480 (479 more of these before)",
        "Invalid HTTP request received. (319 more of these before)",
    ]  # fmt: skip
    logger.warning("sent %d", 1)
    assert caplog.messages[-1] == "sent 1", "after the block all is written again"


def test_no_more_files_is_one_line_and_a_bug_keeps_its_traceback(caplog, clock):
    logger = logging.getLogger("asyncio")
    with quiet_log():
        for error in (OSError(24, "Too many open files"), ZeroDivisionError("a bug"), asyncio.CancelledError()):
            logger.error("socket.accept() out of system resource\nsocket: <50%% of it>", exc_info=error)
    files, bug = caplog.records
    assert (files.getMessage(), files.exc_info) == (
        "socket.accept() out of system resource: [Errno 24] Too many open files",
        None,
    )
    assert bug.exc_info[0] is ZeroDivisionError
