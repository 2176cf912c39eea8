"""SIGTERM and SIGHUP end a run in order."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from magface_al.command import signals
from magface_al.command.signals import Stopped, received, stopping

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@pytest.fixture(autouse=True)
def handlers_come_back():
    """stopping() leaves the signals ignored, as it is the last that a process does."""
    before = {number: signal.getsignal(number) for number in ENDING}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_raises_once_and_none_does_anything_afterwards(number):
    with stopping():
        assert received() is None
        with pytest.raises(Stopped, match=f"ended by {number.name}") as stopped:
            os.kill(os.getpid(), number)
        assert isinstance(stopped.value, KeyboardInterrupt)
        os.kill(os.getpid(), signal.SIGHUP)  # a closing terminal sends several: putting in order goes on
        assert received().number == number
    for each in ENDING:  # the default would end the tests
        os.kill(os.getpid(), each)


def test_a_later_signal_raises_again(monkeypatch):
    """The first may have been lost, in a destructor for example."""
    monkeypatch.setattr(signals, "_GRACE", -1.0)
    with stopping():
        for _ in range(2):
            with pytest.raises(Stopped):
                os.kill(os.getpid(), signal.SIGTERM)


def test_what_is_ignored_stays_ignored():
    """nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stopping():
            os.kill(os.getpid(), signal.SIGHUP)
            assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_in_a_thread_nothing_is_set():
    seen = []

    def work():
        with stopping():
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [signal.getsignal(signal.SIGTERM)]
