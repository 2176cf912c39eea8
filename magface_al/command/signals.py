"""SIGTERM (a batch system's time is up) and SIGHUP (the terminal is gone) end a run as Ctrl-C does: in order."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_ENDING = (signal.SIGTERM, signal.SIGHUP)


class Stopped(KeyboardInterrupt):
    """A signal asked the run to end. Being Ctrl-C's own exception, it undoes what is half done in the same places."""

    def __init__(self, number: int) -> None:
        self.number = number
        super().__init__(f"ended by {signal.Signals(number).name}")


def stop(number: int, _: FrameType | None) -> None:
    """The handler: raises Stopped in the main thread."""
    raise Stopped(number)


@contextmanager
def stopping() -> Iterator[None]:
    """While a script runs, the two signals raise Stopped. A signal that is ignored (nohup) stays ignored."""
    before = {number: signal.getsignal(number) for number in _ENDING}
    try:
        for number, handler in before.items():
            if handler != signal.SIG_IGN:
                signal.signal(number, stop)
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
