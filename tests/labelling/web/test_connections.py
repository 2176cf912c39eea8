"""Clients that keep the labeller waiting, and too many of them."""

from __future__ import annotations

import asyncio
import http.client
import resource
import select
import socket
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, closing, contextmanager

import pytest

from magface_al.labelling.web import connections
from magface_al.labelling.web.connections import MOST, MOST_STRANGERS, most_connections
from magface_al.labelling.web.quiet import quiet_log
from magface_al.labelling.web.security import Guard
from magface_al.labelling.web.server import new_server
from magface_al.labelling.web.serving import open_socket
from tests.support.labeller_process import Client, labeller, wait_until, write_chain
from tests.support.scripts import ROOT

HALF_HEAD = b"GET / HTTP/1.1\r\nHost: localhost\r\nX: "
HALF_BODY = b"POST /api/next HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n{"
WHOLE = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.mark.process
@pytest.mark.parametrize("sent", [b"", HALF_HEAD, HALF_BODY, WHOLE, b"\0\0\0\r\n\r\n"])
def test_three_hundred_strangers_neither_stop_the_labeller_nor_fill_the_disk(tmp_path, sent):
    """With 256 open files; 300 half requests took them all, and asyncio logged 2048 tracebacks a second."""
    write_chain(tmp_path, "ab? bc?")
    few_files = (
        "import resource, runpy, sys; resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256)); sys.argv = sys.argv[1:]; "
        f"sys.path.insert(0, {str(ROOT)!r}); runpy.run_path(sys.argv[0], run_name='__main__')"
    )
    flags = ["--pairs_file", "pairs.json", "--feedback_file", "feedback.json"]
    with labeller(tmp_path, command=["-c", few_files, ROOT / "label_pairs.py", *flags]) as server:
        with ExitStack() as stack:
            for _ in range(300):
                stack.enter_context(connect(server.port)).sendall(sent)
            ann = Client(server)  # one who has the secret
            ann.answer(ann.questions(1)[0]["pair"], "same")
        _, err, code = server.stop()
    assert code == 0
    assert len(err) < 4000, err[:4000]
    assert "Traceback" not in err


@contextmanager
def serving(app):
    """An application behind a Guard with the secret "s", in this process; yields its port, its cookie, and the server."""
    listener = open_socket("127.0.0.1", 0)
    guard = Guard(app, token="s", allowed_hosts=[], any_address=False)
    server = new_server(guard)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    with quiet_log():
        thread.start()
        try:
            assert wait_until(lambda: server.started)
            yield listener.getsockname()[1], f"{guard.cookie_name}={guard.cookie_value}", server
        finally:
            server.should_exit = True
            thread.join(60)


def answering(size=1, think=lambda: None):
    """An application that takes a body in, thinks (in a thread), and answers with `size` bytes."""

    async def app(scope, receive, send):
        if scope["type"] == "lifespan":
            while (await receive())["type"] != "lifespan.shutdown":
                await send({"type": "lifespan.startup.complete"})
            await send({"type": "lifespan.shutdown.complete"})
            return
        while (await receive()).get("more_body"):
            pass
        await asyncio.to_thread(think)
        headers = [(b"content-length", str(size).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"x" * size})

    return app


def connect(port):
    return closing(socket.create_connection(("127.0.0.1", port), timeout=30))


@contextmanager
def connect_often(port, count):
    with ExitStack() as stack:
        yield [stack.enter_context(connect(port)) for _ in range(count)]


def is_cut(client):
    """Wait for the other side to close, without reading what it may have sent."""
    poll = select.poll()
    poll.register(client, select.POLLRDHUP)
    return bool(poll.poll(20_000))


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(connections, "PATIENCE", 0.2)


def request(cookie, body=b"", length=None):
    head = f"POST / HTTP/1.1\r\nHost: localhost\r\nCookie: {cookie}\r\nContent-Length: {length or len(body)}\r\n\r\n"
    return head.encode() + body


@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize("sent", [b"", HALF_HEAD, HALF_BODY])
def test_who_sends_half_a_request_is_cut(impatient, sent, known):
    with serving(answering()) as (port, cookie, _), connect(port) as client:
        client.sendall(sent.replace(b"Host", f"Cookie: {cookie}\r\nHost".encode()) if known else sent)
        assert is_cut(client)


def test_who_sends_a_request_byte_by_byte_is_cut(impatient):
    with serving(answering()) as (port, _, _), connect(port) as client:
        stop = threading.Event()

        def drip():
            client.sendall(HALF_HEAD)
            while not stop.wait(0.02):
                try:
                    client.sendall(b"x")
                except OSError:
                    return

        thread = threading.Thread(target=drip)
        thread.start()
        assert is_cut(client)
        stop.set()
        thread.join()


def test_who_does_not_read_the_answer_is_cut(impatient):
    with serving(answering(size=50_000_000)) as (port, cookie, server), connect(port) as client:
        client.sendall(request(cookie))
        assert client.recv(1) == b"H"
        assert wait_until(lambda: not server.server_state.connections)
        left = 0
        with pytest.raises(ConnectionResetError):
            while data := client.recv(1 << 20):
                left += len(data)
            raise ConnectionResetError  # or an end without a word
        assert left < 50_000_000


def test_who_waits_for_a_slow_answer_is_not_cut(impatient):
    with serving(answering(think=lambda: time.sleep(1.0))) as (port, cookie, _), connect(port) as client:
        client.sendall(request(cookie, b"{}"))
        assert answer_of(client).status == 200


def answer_of(client):
    answer = http.client.HTTPResponse(client)
    answer.begin()
    answer.read()
    return answer


def served(client, sent, status=200):
    client.sendall(sent)
    return answer_of(client).status == status


def test_the_oldest_stranger_goes_and_nobody_who_is_known():
    with serving(answering()) as (port, cookie, _), connect(port) as ann:
        assert served(ann, request(cookie, b"{}"))
        with connect_often(port, MOST_STRANGERS + 3) as strangers:
            assert all(is_cut(stranger) for stranger in strangers[:3])
            assert served(strangers[3], WHOLE, 403)
            assert served(strangers[-1], WHOLE, 403)
            assert served(ann, request(cookie, b"{}"))


def test_in_all_there_are_so_many_and_an_idle_one_makes_room(monkeypatch):
    monkeypatch.setattr(connections, "MOST", 4)
    with serving(answering()) as (port, cookie, _), connect_often(port, 4) as held:
        assert all(served(client, request(cookie, b"{}")) for client in held)
        with connect(port) as another:
            assert is_cut(held[0])
            assert served(another, request(cookie, b"{}"))


def test_where_all_are_busy_the_new_one_has_to_come_again(monkeypatch):
    monkeypatch.setattr(connections, "MOST", 2)
    heard, enough = [], threading.Event()

    def think():
        heard.append(1)
        enough.wait(60)

    with serving(answering(think=think)) as (port, cookie, _), connect_often(port, 2) as held:
        for client in held:
            client.sendall(request(cookie, b"{}"))
        assert wait_until(lambda: len(heard) == 2)
        with connect(port) as another:
            assert is_cut(another)
        enough.set()
        assert [answer_of(client).status for client in held] == [200, 200]


@pytest.mark.process
@pytest.mark.parametrize(("files", "most"), [(20_000, MOST), (256, 96), (64, 16)])
def test_where_few_files_may_be_open_fewer_connections_may(files, most):
    if resource.getrlimit(resource.RLIMIT_NOFILE)[1] < files:
        pytest.skip("this machine allows fewer files")
    code = (
        f"import resource; resource.setrlimit(resource.RLIMIT_NOFILE, ({files}, {files}));"
        "from magface_al.labelling.web.connections import most_connections; print(most_connections())"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert int(done.stdout) == most
    assert most_connections() <= MOST
