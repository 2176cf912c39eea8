"""Every call with every hostile value: refused or answered, never a server error, never a traceback, and it goes on."""

from __future__ import annotations

import json
import socket

import pytest

from tests.labelling.web.test_api import CALLS
from tests.support.labeller_process import Client, labeller, wait_until, write_chain

pytestmark = pytest.mark.process

# As text: most of it is nothing that json.dumps would write.
VALUES = [
    "null", "true", "0", "-1", "1.5", "1e400", "-1e400", "1e308", "NaN", "Infinity", "9007199254740992", "9" * 400, "9" * 5000,
    '""', '"a"', '"\\ud800"', '"\\udcff"', '"\\u0000"', '"\\u2028"', '"²"', '"' + "x" * 100_000 + '"', "[]", "{}", "[null]",
    "[[]]", '[{"a": 1}]', '["\\ud800"]', "[1e400]", "[" * 7 + "]" * 7, "[" * 900 + "]" * 900, "[" * 100_000, '{"a": "\\ud800"}',
]  # fmt: skip
KEYS = [
    "annotator",
    "client",
    "count",
    "skipped",
    "holding",
    "pending",
    "pairs",
    "events",
    "show",
    "by",
    "search",
    "offset",
]
EVENT_KEYS = ["event_id", "kind", "pair_id", "annotator", "answered_at", "answer", "undoes", "seconds", "left", "bad", "mode", "opinion_shown"]  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Pairs with names that are no UTF-8, and one of them with an answer."""
    folder = tmp_path_factory.mktemp("hostile")
    write_chain(folder, "ab? bc? cd?")
    content = json.loads((folder / "pairs.json").read_text())
    content["pairs"].append({"image1": "caf\udce9.png", "image2": "a.png", "label": None, "similarity": 0.5})
    (folder / "pairs.json").write_text(json.dumps(content))
    return folder


def body_with(fields, key, value):
    """JSON with one more key, whose value is text already."""
    return f'{json.dumps(fields)[:-1]}{"," if fields else ""}"{key}":{value}}}'


def bodies(ann, call, event):
    fields = {"annotator": "ann", "client": "w", "count": 1, "holding": [], "pairs": [], "events": []}
    for value in VALUES:
        yield value
        for key in KEYS if call != "events" else ["annotator", "client", "events"]:
            yield body_with({name: item for name, item in fields.items() if name != key}, key, value)
        for key in EVENT_KEYS if call == "events" else []:
            hostile = body_with({name: item for name, item in event.items() if name != key}, key, value)
            yield f'{{"client":"w","events":[{hostile}]}}'


@pytest.mark.slow(12)
def test_every_call_with_every_hostile_value(folder):
    with labeller(folder, "--infer") as server:
        ann = Client(server)
        pair = ann.questions(1)[0]["pair"]
        answers = {}
        for call in sorted(CALLS):
            for body in bodies(ann, call, ann.event(pair, "same")):
                response = ann.request("POST", f"/api/{call}", body.encode(), content_type="application/json")
                answers[response.status] = answers.get(response.status, 0) + 1
                assert response.status in (200, 400), (call, body[:200], response.content[:500])
                assert isinstance(json.loads(response.content), dict)
                assert len(response.content) < 300_000
        assert min(answers[200], answers[400]) > 300
        ann.answer(pair, "same")
        assert ann.call("progress")["export_error"] is None
        _, err, code = server.stop()
    assert code == 0
    assert err == ""
    assert len(json.loads((folder / "feedback.json").read_text())["pairs"]) == 4


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://["}, {"Origin": "http://\xbd"}, {"Origin": "\xff"}, {"Host": "["}, {"Host": "localhost:99999999999"},
        {"Cookie": "=;=;;\xff"}, {"Sec-Fetch-Site": "\xe9"}, {"Upgrade": "websocket", "Connection": "upgrade"},
        {"Content-Length": "9" * 30}, {"Content-Length": "-1"}, {"Transfer-Encoding": "chunked"},
        {"Expect": "100-continue", "Content-Length": "5"},
    ],
    ids=str,
)  # fmt: skip
@pytest.mark.parametrize("path", ["/", "/?token=%ff&token=%ED%A0%80", "/%ED%A0%80", "/image/%00", "//[", "*"])
def test_headers_and_paths_of_strangers_and_of_friends(server, headers, path):
    for cookie in ("x=y", server.friend.cookie):
        sent = {"Host": "localhost", "Connection": "close", "Cookie": cookie, **headers}
        lines = "".join(f"{name}: {value}\r\n" for name, value in sent.items())
        with socket.create_connection(("127.0.0.1", server.port), timeout=30) as client:
            client.sendall(f"GET {path} HTTP/1.1\r\n{lines}\r\n".encode("latin-1"))
            assert client.recv(100)[9:10] in (b"2", b"4", b"1")


@pytest.fixture(scope="module")
def server(folder):
    with labeller(folder, feedback="headers.json") as server:
        server.friend = Client(server)
        yield server
        assert server.friend.call("session")["export_error"] is None
        _, err, _ = server.stop()
        assert "Traceback" not in err
        assert len(err) < 4000


def test_who_leaves_in_the_middle_of_a_body_leaves_no_traceback(server):
    head = f"POST /api/progress HTTP/1.1\r\nHost: localhost\r\nCookie: {server.friend.cookie}\r\n"
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as client:
        client.sendall(f"{head}Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{{".encode())
    assert server.friend.call("progress")["pairs"] == 4  # the rest is checked when the server ends


def test_names_that_are_not_utf8_are_shown_and_found(server):
    ann = server.friend
    for question in ann.questions(10):
        ann.answer(question["pair"], "same")
    rows = ann.call("review", search="caf\udce9")["rows"]
    assert [row["names"][0] for row in rows] == ["caf\udce9.png"]
    assert wait_until(lambda: [pair["label"] for pair in server.exported()] == [1] * 4)
