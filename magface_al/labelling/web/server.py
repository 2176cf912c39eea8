"""The web side of the labeller: fixed routes that parse, call the Labeller in a thread, and answer. Needs the extra `label`."""

from __future__ import annotations

import json
import socket
from collections.abc import Awaitable, Callable
from importlib import resources
from pathlib import Path
from string import Template
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from magface_al.faces.formats import format_of
from magface_al.labelling.labeller import Labeller
from magface_al.labelling.web.api import Api, Site
from magface_al.labelling.web.autosave import Autosave

LARGEST_BODY = 1 << 20  # bytes of a request
LARGEST_IMAGE = 20 << 20

_PAGES = {"/": ("Pairs", "label"), "/grid": ("Grid", "grid"), "/review": ("Review", "review")}
_STATIC = {
    "style.css": "text/css",
    "icon.svg": "image/svg+xml",
    **dict.fromkeys(("client.js", "faces.js", "label.js", "grid.js", "review.js"), "text/javascript"),
}


def build_app(labeller: Labeller, site: Site) -> Starlette:
    """The application, for whoever gets past the Guard."""
    autosave = Autosave(labeller)

    async def image(request: Request) -> Response:
        path = labeller.catalogue.image_path(request.path_params["image"])
        if path is None:
            raise HTTPException(404, "no pair names this image")
        return await run_in_threadpool(_image_response, path)

    calls = Api(labeller, site).calls()
    routes = [
        *(Route(path, _serving(_page(title, name), "text/html")) for path, (title, name) in _PAGES.items()),
        *(Route(f"/static/{name}", _serving(_text(name), kind)) for name, kind in _STATIC.items()),
        *(Route(f"/api/{name}", _endpoint(name, call, autosave), methods=["POST"]) for name, call in calls.items()),
        Route("/image/{image}", image),
    ]
    return Starlette(routes=routes, exception_handlers={HTTPException: _refusal}, lifespan=autosave.running)


def _endpoint(
    name: str, call: Callable[[dict[str, Any]], dict[str, Any]], autosave: Autosave
) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        body = await _json_body(request)
        try:
            result = await run_in_threadpool(call, body)
        except (KeyError, TypeError, ValueError) as error:
            raise HTTPException(400, f"{type(error).__name__}: {error}") from None
        if name == "events":
            autosave.wake()
        return JSONResponse(result)

    return endpoint


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


def _serving(content: str, kind: str) -> Callable[[Request], Response]:
    return lambda _: Response(content, media_type=kind)


def _page(title: str, name: str) -> str:
    """A page's own part in the frame that all pages share."""
    return Template(_text("frame.html")).substitute(title=title, script=f"{name}.js", content=_text(f"{name}.html"))


def _text(name: str) -> str:
    return resources.files("magface_al.labelling.web").joinpath("static", name).read_text(encoding="utf-8")


def _image_response(path: Path) -> Response:
    """The file if it is a picture by its first bytes, whatever its name says; a pairs file may name any path."""
    try:
        if path.stat().st_size > LARGEST_IMAGE:
            raise HTTPException(404, "the file is too large for a face")
        data = path.read_bytes()
    except OSError as error:
        raise HTTPException(404, f"the image cannot be read: {error.strerror}") from None
    kind = format_of(data)
    if kind is None:
        raise HTTPException(404, "the file is not a JPEG, PNG, WebP, BMP or GIF picture")
    return Response(data, media_type=kind.media_type)


def serve_app(app: ASGIApp, listener: socket.socket) -> None:
    """Serve until a signal ends it; raises KeyboardInterrupt then. No access log: addresses hold the secret."""
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        ws="none",
        http="h11",
        loop="asyncio",
        timeout_graceful_shutdown=3,
    )
    uvicorn.Server(config).run(sockets=[listener])
