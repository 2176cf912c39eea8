"""The end of the labeller: a signal asks the server to end, and none interrupts what is then written."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import FrameType

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_PATIENCE = 2  # signals that are taken in; the next one ends the run where it stands


@contextmanager
def ending_in_order(end: Callable[[], None]) -> Iterator[list[int]]:
    """While the block lasts, Ctrl-C, SIGTERM and SIGHUP call end() and do no more; yields those that came, in a list.

    Whoever asks three times wants to be gone at once, and gets what the signal did before. One that is ignored (nohup) stays
    ignored.
    """
    came: list[int] = []
    terminals = [descriptor for descriptor in (1, 2) if os.isatty(descriptor)]
    handlers = {number: signal.getsignal(number) for number in _ENDING}
    before = {number: handler for number, handler in handlers.items() if handler not in (signal.SIG_IGN, None)}

    def handle(number: int, _: FrameType | None) -> None:
        came.append(number)
        end()
        if number == signal.SIGHUP:
            _leave(terminals)
        if len(came) > _PATIENCE:
            signal.signal(number, before[signal.Signals(number)])
            signal.raise_signal(number)

    try:
        for number in before:
            signal.signal(number, handle)
        yield came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _leave(terminals: Iterable[int]) -> None:
    """Write nowhere from now on: a terminal that was closed fails every message, and the run with it."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for descriptor in terminals:
        os.dup2(nowhere, descriptor)
    os.close(nowhere)
