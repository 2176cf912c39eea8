"""The web side of the labeller: fixed routes that parse, call the Labeller in a thread, and answer. Needs the extra `label`."""

from __future__ import annotations

import asyncio
import json
import socket
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from magface_al.errors import UserError
from magface_al.labelling.events import annotator_name
from magface_al.labelling.labeller import Labeller
from magface_al.labelling.review import Filter
from magface_al.labelling.security import Guard

LARGEST_BODY = 1 << 20  # bytes of a request
LARGEST_IMAGE = 20 << 20
MOST_EVENTS = 500  # in one request
PAUSE_BEFORE_EXPORT, LONGEST_WITHOUT_EXPORT = 2.0, 15.0  # seconds

_PAGES = {"/": "label.html", "/grid": "grid.html", "/review": "review.html"}
_STATIC = {
    "style.css": "text/css",
    **dict.fromkeys(("client.js", "faces.js", "label.js", "grid.js", "review.js"), "text/javascript"),
}
_IMAGE_TYPES = (
    (b"\xff\xd8\xff", "image/jpeg"), (b"\x89PNG\r\n\x1a\n", "image/png"), (b"BM", "image/bmp"), (b"GIF8", "image/gif"),
)  # fmt: skip


@dataclass(frozen=True)
class Site:
    """What the pages need to know besides the pairs."""

    annotator: str | None  # the name from the command line; None: each browser asks once
    store_id: str  # tells answers of this database from those of another that ran on the same port
    next_commands: list[str]
    csv_path: Path


def build_app(labeller: Labeller, site: Site, guard: dict[str, Any]) -> Guard:
    """The ASGI application; guard holds the arguments of Guard."""
    exporter = _Exporter(labeller)

    def json_route(work: Callable[[dict[str, Any]], Any]) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            body = await _json_body(request)
            try:
                return JSONResponse(await run_in_threadpool(work, body))
            except (KeyError, TypeError, ValueError) as error:
                raise HTTPException(400, f"{type(error).__name__}: {error}") from None

        return endpoint

    async def events(request: Request) -> Response:
        body = await _json_body(request)
        entries = body.get("events")
        if not isinstance(entries, list) or len(entries) > MOST_EVENTS:
            raise HTTPException(400, f"events is not a list of at most {MOST_EVENTS} events")
        saved = await run_in_threadpool(labeller.record, entries, _client(body))
        exporter.wake()
        return JSONResponse(saved)

    def session(_: dict[str, Any]) -> dict[str, Any]:
        return {"annotator": site.annotator, "store": site.store_id, "next": site.next_commands, "feedback": str(labeller.feedback_path)}

    def more(body: dict[str, Any]) -> dict[str, Any]:
        count, skipped = max(0, min(int(body["count"]), 50)), body.get("skipped") is True
        return labeller.next(annotator_name(body["annotator"]), _client(body), _ids(body, "holding"), count, skipped)

    def grid(body: dict[str, Any]) -> dict[str, Any]:
        return {"grid": labeller.grid(annotator_name(body["annotator"]), _client(body), _ids(body, "holding"))}

    def release(body: dict[str, Any]) -> dict[str, Any]:
        labeller.release(annotator_name(body["annotator"]), _client(body), _ids(body, "pairs"))
        return {}

    def review(body: dict[str, Any]) -> dict[str, Any]:
        wanted = Filter(*(str(body.get(key) or "") for key in ("show", "annotator", "search")))
        return labeller.review(wanted, max(0, int(body.get("offset", 0))), max(1, min(int(body.get("count", 60)), 200)))

    def export(_: dict[str, Any]) -> dict[str, Any]:
        path, pairs = labeller.export(site.csv_path)
        labelled = sum(pair.label is not None for pair in pairs)
        return {"feedback": str(path), "csv": str(site.csv_path), "pairs": len(pairs), "labelled": labelled}

    calls: dict[str, Callable[[dict[str, Any]], Any]] = {
        "session": session,
        "next": more,
        "release": release,
        "grid": grid,
        "history": lambda body: {"answers": labeller.history(annotator_name(body["annotator"]), 50)},
        "progress": lambda body: labeller.progress(annotator_name(body["annotator"])),
        "review": review,
        "contradictions": lambda _: {"contradictions": labeller.contradictions()},
        "report": lambda _: labeller.report(),
        "export": export,
    }

    async def image(request: Request) -> Response:
        path = labeller.image_path(request.path_params["image"])
        if path is None:
            raise HTTPException(404, "no pair names this image")
        return await run_in_threadpool(_image_response, path)

    routes = [
        *(Route(path, _file(name, "text/html")) for path, name in _PAGES.items()),
        *(Route(f"/static/{name}", _file(name, kind)) for name, kind in _STATIC.items()),
        *(Route(f"/api/{name}", json_route(work), methods=["POST"]) for name, work in calls.items()),
        Route("/api/events", events, methods=["POST"]),
        Route("/image/{image}", image),
    ]
    app = Starlette(routes=routes, exception_handlers={HTTPException: _refusal}, lifespan=exporter.lifespan)
    return Guard(app, **guard)


class _Exporter:
    """Writes the feedback file soon after answers, at the latest every few seconds, and at the end."""

    def __init__(self, labeller: Labeller) -> None:
        self.labeller = labeller
        self._last_event = 0.0
        self._wanted: asyncio.Event | None = None

    def wake(self) -> None:
        """Say that something new was answered."""
        self._last_event = time.monotonic()
        if self._wanted is not None:
            self._wanted.set()

    @asynccontextmanager
    async def lifespan(self, _: Starlette) -> AsyncIterator[None]:
        """Export at the start, while running, and at the end."""
        self._wanted = asyncio.Event()
        self._export()
        task = asyncio.create_task(self._run(self._wanted))
        yield
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        self._export()

    async def _run(self, wanted: asyncio.Event) -> None:
        while True:
            await wanted.wait()
            wanted.clear()
            first = time.monotonic()
            while True:
                quiet = time.monotonic() - self._last_event
                if quiet >= PAUSE_BEFORE_EXPORT or time.monotonic() - first >= LONGEST_WITHOUT_EXPORT:
                    break
                await asyncio.sleep(PAUSE_BEFORE_EXPORT - quiet)
            await run_in_threadpool(self._export)

    def _export(self) -> None:
        """A failure (full disk, folder gone) is told and tried again; the answers are in the database all the same."""
        try:
            self.labeller.export()
            self.labeller.export_error = None
        except OSError as error:
            self.labeller.export_error = f"{error.filename or self.labeller.feedback_path}: {error.strerror}"
            sys.stderr.write(f"note: the feedback file could not be written ({self.labeller.export_error}); the answers are kept\n")


def _client(body: dict[str, Any]) -> str:
    return str(body.get("client") or "")[:40]


def _ids(body: dict[str, Any], key: str) -> list[str]:
    return [str(name) for name in body[key][:1000]]


async def _json_body(request: Request) -> dict[str, Any]:
    """The request's JSON object; application/json only, because a form of another site can send anything else."""
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        raise HTTPException(415, "expected application/json")
    data = bytearray()
    async for chunk in request.stream():
        data += chunk
        if len(data) > LARGEST_BODY:
            raise HTTPException(413, f"more than {LARGEST_BODY} bytes")
    try:
        body = json.loads(bytes(data))
    except (ValueError, RecursionError):
        raise HTTPException(400, "not JSON") from None
    if not isinstance(body, dict):
        raise HTTPException(400, "expected a JSON object")
    return body


def _refusal(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return JSONResponse({"error": error.detail}, status_code=error.status_code)


def _file(name: str, kind: str) -> Callable[[Request], Response]:
    content = resources.files("magface_al.labelling").joinpath("static", name).read_bytes()
    return lambda _: Response(content, media_type=kind)


def _image_response(path: Path) -> Response:
    """The file if it is a picture by its first bytes, whatever its name says; a pairs file may name any path."""
    try:
        if path.stat().st_size > LARGEST_IMAGE:
            raise HTTPException(404, "the file is too large for a face")
        data = path.read_bytes()
    except OSError as error:
        raise HTTPException(404, f"the image cannot be read: {error.strerror}") from None
    kind = next((kind for start, kind in _IMAGE_TYPES if data.startswith(start)), None)
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        kind = "image/webp"
    if kind is None:
        raise HTTPException(404, "the file is not a JPEG, PNG, WebP, BMP or GIF picture")
    return Response(data, media_type=kind)


def open_socket(host: str, port: int) -> socket.socket:
    """A listening socket. Raises UserError where the port is taken or the address is not this machine's."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(128)
    except OSError as error:
        listener.close()
        raise UserError(f"{host}:{port}: {error.strerror}; choose another --port, or 0 for a free one") from None
    return listener


def serve(app: Guard, listener: socket.socket) -> None:
    """Serve until a signal ends it; raises KeyboardInterrupt then. No access log: addresses hold the secret."""
    config = uvicorn.Config(
        app, log_level="warning", access_log=False, server_header=False, proxy_headers=False, ws="none", http="h11",
        loop="asyncio", timeout_graceful_shutdown=3,
    )  # fmt: skip
    uvicorn.Server(config).run(sockets=[listener])
