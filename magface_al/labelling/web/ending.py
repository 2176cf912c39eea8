"""The end of the labeller: a signal asks the server to end, and none interrupts what is then written."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from magface_al.command.signals import handling
from magface_al.command.surroundings import lead_nowhere

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_PATIENCE = 2  # signals that are taken in; the next one ends the run where it stands


@contextmanager
def ending_in_order(end: Callable[[], None]) -> Iterator[list[int]]:
    """While the block lasts, Ctrl-C, SIGTERM and SIGHUP call end() and do no more; yields those that came, in a list.

    Whoever asks three times wants to be gone at once, and gets what the signal did before.
    """
    came: list[int] = []
    terminals = [descriptor for descriptor in (1, 2) if os.isatty(descriptor)]
    before = {number: signal.getsignal(number) for number in _ENDING}

    def handle(number: int, _: FrameType | None) -> None:
        came.append(number)
        end()
        if number == signal.SIGHUP:  # a terminal that was closed fails every message, and the run with it
            for descriptor in terminals:
                lead_nowhere(descriptor)
        if len(came) > _PATIENCE:
            signal.signal(number, before[signal.Signals(number)])
            signal.raise_signal(number)

    with handling(_ENDING, handle):
        yield came
