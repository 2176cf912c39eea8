"""The labeller as label_pairs.py uses it, all but the socket: opened, looked at from every page, answered, exported."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from starlette.types import ASGIApp, Message

from magface_al.command.errors import UserError
from magface_al.labelling.assignment import Settings
from magface_al.labelling.labeller import Labeller
from magface_al.labelling.opening import open_labeller
from magface_al.labelling.web.api import Site
from magface_al.labelling.web.server import build_app
from magface_al.pairs.pair_file import read_pairs

WHO = {"annotator": "ann", "client": "window"}
# What the pages ask for, one after the other.
CALLS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("session", {}),
    ("progress", {}),
    ("grid", {"holding": []}),
    ("history", {}),
    ("review", {"show": "all", "by": "", "search": "a"}),
    ("contradictions", {}),
    ("report", {}),
    ("export", {}),
)
Request = tuple[str, str, bytes]  # method, path, body


@contextmanager
def opened(*, gold: bool = False, studio: bool = False) -> Iterator[tuple[Labeller, ASGIApp]]:
    """The labeller on the files in this folder, and what serves its pages."""
    pair_file = read_pairs(Path("pairs.json"))
    gold_file = read_pairs(Path("gold.json")).labelled() if gold else None
    tasks = Path("tasks.json") if studio else None
    settings = Settings(overlap=2, gold_share=0.2, infer=True, relabel=True)
    found = open_labeller(pair_file, Path("feedback.json"), settings, gold_file, tasks, lambda said: None)
    try:
        yield found.labeller, build_app(found.labeller, Site("ann", found.store_id, [], Path("feedback.csv")))
    finally:
        found.labeller.close()


def asked(app: ASGIApp, requests: list[Request]) -> list[tuple[int, bytes]]:
    """(status, body) of the answers to a browser's requests. Raises what the server would print as a traceback."""

    async def ask(method: str, path: str, body: bytes) -> tuple[int, bytes]:
        said: list[Message] = []

        async def receive() -> Message:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Message) -> None:
            said.append(message)

        headers = [(b"host", b"localhost"), (b"content-type", b"application/json")]
        scope = {"type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "scheme": "http", "path": path,
                 "raw_path": path.encode(), "query_string": b"", "root_path": "", "headers": headers}  # fmt: skip
        await app(scope, receive, send)
        return said[0]["status"], b"".join(message.get("body", b"") for message in said[1:])

    async def ask_all() -> list[tuple[int, bytes]]:
        return [await ask(*request) for request in requests]

    return asyncio.run(ask_all())


def call(name: str, body: dict[str, Any]) -> Request:
    """A page's request for data."""
    return "POST", f"/api/{name}", json.dumps({**WHO, **body}).encode()


def served(app: ASGIApp, *requests: Request) -> list[bytes]:
    """The answers to requests that are as the pages make them; another status than 200 is a fault of the server."""
    answers = asked(app, list(requests))
    for (_, path, _), (status, content) in zip(requests, answers, strict=True):
        assert status == 200, f"{path}: {status} {content[:300]!r}"
    return [content for _, content in answers]


def label(*, gold: bool = False, studio: bool = False) -> list[tuple[str, str, int | None]]:
    """Open, look at everything, answer a question, export. Returns the exported labels."""
    with opened(gold=gold, studio=studio) as (labeller, app):
        first = served(
            app, call("next", {"count": 10, "holding": [], "pending": []}), *(call(*page) for page in CALLS)
        )[0]
        for question in json.loads(first)["pairs"][:1]:
            event = {"event_id": str(uuid.uuid5(uuid.NAMESPACE_URL, question["pair"])), "pair_id": question["pair"]}
            event |= {**WHO, "answer": "same", "answered_at": "2026-05-05T03:02:01Z", "seconds": 1.5}
            served(app, call("events", {"events": [event]}), call("progress", {}))
            asked(app, [("GET", f"/image/{question[side]['image']}", b"") for side in ("left", "right")])
        exported = labeller.export(Path("feedback.csv"))
    read_pairs(Path("feedback.json"))
    return [(pair.image1, pair.image2, pair.label) for pair in exported]


def request(path: Path) -> None:
    """What a browser sends to call after call. Refused where the server answers so; afterwards it must be as well as before."""
    with opened() as (labeller, app):
        try:
            bodies = json.loads(path.read_bytes())
            requests = [("POST", f"/api/{name}", json.dumps(body).encode()) for name, body in bodies.items()]
        except (ValueError, RecursionError, AttributeError):
            requests = [("POST", "/api/events", path.read_bytes())]
        answers = asked(app, requests)
        served(app, *(call(*page) for page in CALLS))
        labeller.export(Path("feedback.csv"))
    refused = [content for status, content in answers if status != 200]
    if refused:
        raise UserError(f"{path}: {' '.join(refused[0].decode().split())}")


def picture() -> None:
    """A picture that a pairs file names, as the page shows it; what is none is not found."""
    with opened() as (_, app):
        (first,) = served(app, call("next", {"count": 1, "holding": [], "pending": []}))
        (question,) = json.loads(first)["pairs"]
        images = [("GET", f"/image/{question[side]['image']}", b"") for side in ("left", "right")]
        assert all(status in (200, 404) for status, _ in asked(app, images))
