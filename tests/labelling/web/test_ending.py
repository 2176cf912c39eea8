"""Signals: the labeller exports and ends, whenever they come and whatever hangs."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import socket
import subprocess
import sys

import pytest

from magface_al.labelling.events import image_id
from magface_al.labelling.web.ending import ending_in_order
from tests.support.labeller_process import Client, labeller, write_chain
from tests.support.scripts import ROOT


def test_signals_are_taken_in_until_the_third():
    heard = []
    before = {number: signal.signal(number, lambda n, _: heard.append(n)) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        with ending_in_order(lambda: heard.append("end")) as came:
            signal.raise_signal(signal.SIGTERM)
            signal.raise_signal(signal.SIGHUP)
            assert (came, heard) == ([signal.SIGTERM, signal.SIGHUP], ["end", "end"])
            signal.raise_signal(signal.SIGTERM)
            assert heard[-1] == signal.SIGTERM
        signal.raise_signal(signal.SIGHUP)
        assert heard[-1] == signal.SIGHUP
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def test_a_signal_that_is_ignored_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # nohup
    try:
        with ending_in_order(lambda: None) as came:
            signal.raise_signal(signal.SIGHUP)
        assert came == []
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.process
@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 0), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_every_signal_exports_and_ends(tmp_path, sent, code):
    write_chain(tmp_path, "ab? bc?")
    with labeller(tmp_path) as server:
        ann = Client(server)
        ann.answer(ann.questions(1)[0]["pair"], "same")
        out, err, ended = server.stop(sent)
    assert ended == code
    assert "(1 same, 1 unanswered)" in out
    assert "next:\n  python finetune_on_feedback.py" in out
    assert (tmp_path / "feedback.manifest.json").exists()
    assert sum(pair["label"] == 1 for pair in server.exported()) == 1
    assert err == ("" if code == 0 else f"label_pairs.py: error: ended by {sent.name}\n")


@pytest.mark.process
def test_a_terminal_that_is_closed_exports_and_ends_well(tmp_path):
    """Its first word to nobody failed with EIO, and with it the run: exit code 1 and no manifest."""
    write_chain(tmp_path, "ab? bc?")
    master, terminal = pty.openpty()
    script = [sys.executable, ROOT / "label_pairs.py", "--pairs_file", "pairs.json", "--feedback_file", "feedback.json"]
    command = [*map(str, script), "--port", "0"]
    process = subprocess.Popen(command, cwd=tmp_path, stdin=terminal, stdout=terminal, stderr=terminal)
    os.close(terminal)
    said = b""
    while b"Ctrl-C" not in said:
        assert select.select([master], [], [], 60)[0], said
        said += os.read(master, 1000)
    os.close(master)
    process.send_signal(signal.SIGHUP)
    assert process.wait(60) == 129
    assert (tmp_path / "feedback.json").exists()
    assert json.loads((tmp_path / "feedback.manifest.json").read_text())["exit_code"] == 129


PRELUDE = """
import os, runpy, signal, sys, threading
sys.argv = sys.argv[1:]
sys.path.insert(0, {root!r})
from magface_al.labelling import labeller as core
from magface_al.labelling.web import server, serving
{change}
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def changed(folder, change, *flags):
    """label_pairs.py, with a few lines run in its process before it starts."""
    write_chain(folder, "ab? bc?")
    code = PRELUDE.format(root=str(ROOT), change=change)
    script = [ROOT / "label_pairs.py", "--pairs_file", "pairs.json", "--feedback_file", "feedback.json"]
    return labeller(folder, *flags, command=["-c", code, *script])


@pytest.mark.process
def test_a_signal_before_the_server_runs_is_heeded(tmp_path):
    change = "before = serving.announce\ndef announce(*args): before(*args); os.kill(os.getpid(), signal.SIGTERM)\nserving.announce = announce"
    with changed(tmp_path, change) as server:
        _, err, code = server.stop(0)  # 0: no further one
    assert code == 143
    assert len(server.exported()) == 2
    assert "Traceback" not in err


@pytest.mark.process
def test_a_signal_during_the_last_export_does_not_undo_it(tmp_path):
    """Hard where writing takes long: Ctrl-C, and the system that shuts down meanwhile."""
    change = """
export = core.Labeller.export
def export_slowly(*args):
    if serving.asked_to_end: os.kill(os.getpid(), signal.SIGTERM)
    return export(*args)
core.Labeller.export = export_slowly
before = serving.ending_in_order
def ending_in_order(end):
    def ended(): serving.asked_to_end = True; end()
    return before(ended)
serving.ending_in_order, serving.asked_to_end = ending_in_order, False
"""
    with changed(tmp_path, change) as server:
        ann = Client(server)
        ann.answer(ann.questions(1)[0]["pair"], "same")
        out, _, code = server.stop(signal.SIGINT)
    assert code == 143
    assert "(1 same, 1 unanswered)" in out
    assert sum(pair["label"] == 1 for pair in server.exported()) == 1


@pytest.mark.process
def test_a_disk_that_hangs_keeps_neither_the_answers_nor_the_end(tmp_path):
    """Every picture that is read waits for ever, as on a network disk that is gone."""
    with changed(tmp_path, "server.read_picture = lambda path: threading.Event().wait()") as server:
        ann = Client(server)
        waiting = []
        for _ in range(45):  # more than a pool of threads has
            waiting.append(socket.create_connection(("127.0.0.1", server.port)))
            head = f"GET /image/{image_id('a.png')} HTTP/1.1\r\nHost: localhost\r\nCookie: {ann.cookie}\r\n\r\n"
            waiting[-1].sendall(head.encode())
        ann.answer(ann.questions(1)[0]["pair"], "same")
        out, err, code = server.stop(signal.SIGTERM)
        for client in waiting:
            client.close()
    assert code == 143
    assert "(1 same, 1 unanswered)" in out
    assert "Traceback" not in err
