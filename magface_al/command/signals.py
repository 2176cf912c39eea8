"""SIGTERM (a batch system's time is up) and SIGHUP (the terminal is gone) end a run as Ctrl-C does: in order."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import FrameType

_ENDING = (signal.SIGTERM, signal.SIGHUP)
# seconds in which a further signal does not disturb the putting in order: a closing terminal sends several
_GRACE = 5.0
_received: list[tuple[int, float]] = []  # (signal, when on time.monotonic()) of the run in progress


class Stopped(KeyboardInterrupt):
    """A signal asked the run to end. Being Ctrl-C's own exception, it undoes what is half done in the same places."""

    def __init__(self, number: int) -> None:
        self.number = number
        super().__init__("interrupted" if number == signal.SIGINT else f"ended by {signal.Signals(number).name}")


def stop(number: int, _: FrameType | None) -> None:
    """The handler: raises Stopped in the main thread."""
    now = time.monotonic()
    if not _received or now - _received[-1][1] > _GRACE:
        _received.append((number, now))
        raise Stopped(number)


def received() -> Stopped | None:
    """The end that a signal asked for. Libraries turn the exception into one of their own, in an import for example."""
    return Stopped(_received[-1][0]) if _received else None


@contextmanager
def handling(numbers: Iterable[int], handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """While the block lasts, the handler gets these signals. One that is ignored (nohup) stays ignored."""
    if threading.current_thread() is not threading.main_thread():  # where Python sets no handlers
        yield
        return
    before = {number: signal.getsignal(number) for number in numbers}
    mine = {number: former for number, former in before.items() if former not in (signal.SIG_IGN, None)}
    try:
        for number in mine:
            signal.signal(number, handler)
        yield
    finally:
        for number, former in mine.items():
            signal.signal(number, former)


@contextmanager
def stopping() -> Iterator[None]:
    """While a script runs, the two signals raise Stopped. From its end on they and Ctrl-C change nothing.

    The process is about to end with a code of its own, and what Python does last takes a while, in which a further signal would
    end it as a raw one. Python's finalization leaves what is ignored ignored. A caller that goes on sets its handlers anew.
    """
    _received.clear()
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    try:
        for number in _ENDING:
            if signal.getsignal(number) not in (signal.SIG_IGN, None):  # see handling
                signal.signal(number, stop)
        yield
    finally:
        for number in (signal.SIGINT, *_ENDING):
            signal.signal(number, signal.SIG_IGN)
