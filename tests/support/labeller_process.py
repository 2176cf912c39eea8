"""The labeller as a user runs it: label_pairs.py in a process of its own, and a plain HTTP client for it."""

from __future__ import annotations

import http.client
import json
import re
import signal
import subprocess
import sys
import time
import uuid
from contextlib import contextmanager

from magface_al.labelling.events import pair_id
from magface_al.pairs.pair_file import read_pairs
from tests.support.scripts import ROOT


class LabellerProcess:
    """label_pairs.py (or a command that ends in it), ready for requests. Its port is kept over a restart."""

    def __init__(self, folder, *flags, pairs="pairs.json", feedback="feedback.json", command=None):
        self.folder, self.flags, self.pairs, self.feedback, self.port = (
            folder,
            flags,
            pairs,
            feedback,
            0,
        )  # 0: a free one
        self.command = command or [ROOT / "label_pairs.py", "--pairs_file", pairs, "--feedback_file", feedback]
        self.clients = []
        self.start()

    def start(self):
        command = [sys.executable, *self.command, "--port", self.port, *self.flags]
        self.process = subprocess.Popen(
            [str(part) for part in command], cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self.output = ""
        for line in self.process.stdout:
            self.output += line
            if line.startswith("Ctrl-C"):
                break
        else:
            raise AssertionError(self.process.stderr.read())
        self.address = re.search(r"^open  (\S+)$", self.output, re.MULTILINE)[1]
        self.port = int(re.search(r":(\d+)/", self.address)[1])
        self.token = self.address.partition("token=")[2]

    @property
    def site(self):
        return f"http://localhost:{self.port}"

    def kill(self):
        """kill -9"""
        self.process.send_signal(signal.SIGKILL)
        self.process.communicate()

    def stop(self, sent=signal.SIGINT):
        """Ctrl-C; returns everything printed and the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(sent)
        out, err = self.process.communicate(timeout=120)
        return self.output + out, err, self.process.returncode

    def exported(self):
        return json.loads((self.folder / self.feedback).read_text())["pairs"]


@contextmanager
def labeller(folder, *flags, **options):
    process = LabellerProcess(folder, *flags, **options)
    try:
        yield process
    finally:
        if process.process.poll() is None:
            process.kill()
        for client in process.clients:
            client.connection.close()


class Client:
    """One annotator's browser, without the browser."""

    def __init__(self, server, annotator="ann"):
        self.server, self.annotator, self.window = server, annotator, str(uuid.uuid4())
        self.connection, self.last_used = http.client.HTTPConnection("127.0.0.1", server.port, timeout=120), 0.0
        server.clients.append(self)
        self.cookie = self.request("GET", f"/?token={server.token}").getheader("set-cookie").partition(";")[0]

    def request(self, method, path, body=None, **headers):
        """The response, with its body in .content. Header names have underscores for hyphens."""
        sent = {"Host": f"localhost:{self.server.port}"}
        if getattr(self, "cookie", None):
            sent["Cookie"] = self.cookie
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        if (
            time.monotonic() - self.last_used > 2
        ):  # the server closes idle connections after five seconds; a browser knows
            self.connection.close()
        self.last_used = time.monotonic()
        self.connection.request(method, path, body, {name: value for name, value in sent.items() if value is not None})
        response = self.connection.getresponse()
        response.content = response.read()
        return response

    def call(self, name, **body):
        fields = {"annotator": self.annotator, "client": self.window, **body}
        response = self.request("POST", f"/api/{name}", json.dumps(fields), content_type="application/json")
        assert response.status == 200, response.content
        return json.loads(response.content)

    def questions(self, count=10, holding=(), **more):
        return self.call("next", count=count, holding=list(holding), **more)["pairs"]

    def event(self, pair_id, answer, **more):
        return {"event_id": str(uuid.uuid4()), "kind": "answer", "pair_id": pair_id, "annotator": self.annotator,
                "answer": answer, "answered_at": "2026-05-04T03:02:01Z", "seconds": 1.5, **more}  # fmt: skip

    def answer(self, pair_id, answer, **more):
        event = self.event(pair_id, answer, **more)
        assert self.call("events", events=[event])["saved"] == [event["event_id"]]
        return event

    def undo(self, event):
        undo = {"event_id": str(uuid.uuid4()), "kind": "undo", "pair_id": event["pair_id"], "undoes": event["event_id"]}
        return self.call("events", events=[{**undo, "annotator": self.annotator}])


def wait_until(condition, seconds=60):
    """Until condition() is true; a failure names nothing better than the condition, so assert afterwards."""
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.02)
    return condition()


def write_chain(folder, text, name="pairs.json"):
    """'ab? bc=1' as a pairs file of images that need not exist."""
    labels = {"?": None, "1": 1, "0": 0}
    pairs = [
        {"image1": f"{item[0]}.png", "image2": f"{item[1]}.png", "label": labels[item[-1]]} for item in text.split()
    ]
    (folder / name).write_text(json.dumps({"pairs": pairs}))


def ids_by_images(server):
    """'ab' -> pair id, for write_chain's files."""
    return {"".join(p.key()).replace(".png", ""): pair_id(p) for p in read_pairs(server.folder / server.pairs).pairs}
