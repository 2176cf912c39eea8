"""The web side of the labeller: fixed routes that parse, call the Labeller in a thread, and answer. Needs the extra `label`."""

from __future__ import annotations

import asyncio
import socket
import sqlite3
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from functools import partial
from importlib import resources
from string import Template

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from magface_al.command.errors import UserError, WorkError
from magface_al.faces.formats import format_of
from magface_al.faces.preprocess import read_picture
from magface_al.labelling.catalogue import Catalogue
from magface_al.labelling.labeller import Labeller
from magface_al.labelling.web.api import Api, Site
from magface_al.labelling.web.autosave import Autosave
from magface_al.labelling.web.bodies import LARGEST_BODY, Body, parse_body, to_json
from magface_al.labelling.web.connections import ACCEPTED_AT_ONCE, Connection
from magface_al.labelling.web.threads import in_thread

WAITING = 1024  # connections that the system holds until they are accepted; beyond, a client tries again after a second
PICTURES_AT_ONCE = 16  # files that are being read: where a disk hangs, answers still come through

_PAGES = {"/": ("Pairs", "label"), "/grid": ("Grid", "grid"), "/review": ("Review", "review")}
_STATIC = {
    "style.css": "text/css",
    "icon.svg": "image/svg+xml",
    **dict.fromkeys(("client.js", "faces.js", "label.js", "grid.js", "review.js"), "text/javascript"),
}


def build_app(labeller: Labeller, site: Site) -> Starlette:
    """The application, for whoever gets past the Guard."""
    autosave = Autosave(labeller)
    reading = asyncio.Semaphore(PICTURES_AT_ONCE)

    async def image(request: Request) -> Response:
        async with reading:
            return await in_thread(partial(_picture, labeller.catalogue, request.path_params["image"]))

    calls = Api(labeller, site).calls()
    routes = [
        *(Route(path, _serving(_page(title, name), "text/html")) for path, (title, name) in _PAGES.items()),
        *(Route(f"/static/{name}", _serving(_text(name), kind)) for name, kind in _STATIC.items()),
        *(Route(f"/api/{name}", _endpoint(name, call, autosave), methods=["POST"]) for name, call in calls.items()),
        Route("/image/{image}", image),
    ]
    return Starlette(routes=routes, exception_handlers={HTTPException: _refusal}, lifespan=autosave.running)


def _endpoint(name: str, call: Callable[[Body], Body], autosave: Autosave) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        body = await _body(request)
        try:
            result = await in_thread(partial(call, body))
        except (KeyError, TypeError, ValueError) as error:
            raise HTTPException(400, f"{type(error).__name__}: {error}") from None
        except (sqlite3.Error, OSError, UserError, WorkError) as error:  # a full disk, a database that is gone
            raise HTTPException(503, str(error)) from None
        if name == "events":
            autosave.wake()
        return _json(result)

    return endpoint


async def _body(request: Request) -> Body:
    """The request's JSON object; application/json only, because a form of another site can send anything else."""
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        raise HTTPException(415, "expected application/json")
    data = bytearray()
    try:
        async for chunk in request.stream():
            data += chunk
            if len(data) > LARGEST_BODY:
                raise HTTPException(413, f"more than {LARGEST_BODY} bytes")
        return parse_body(bytes(data))
    except ValueError as error:
        raise HTTPException(400, str(error)) from None
    except ClientDisconnect:
        raise HTTPException(400, "the connection ended before the body did") from None


def _json(content: Body, status: int = 200) -> Response:
    return Response(to_json(content), status, media_type="application/json")


def _refusal(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return _json({"error": error.detail}, error.status_code)


def _serving(content: str, kind: str) -> Callable[[Request], Response]:
    return lambda _: Response(content, media_type=kind)


def _page(title: str, name: str) -> str:
    """A page's own part in the frame that all pages share."""
    return Template(_text("frame.html")).substitute(title=title, script=f"{name}.js", content=_text(f"{name}.html"))


def _text(name: str) -> str:
    return resources.files("magface_al.labelling.web").joinpath("static", name).read_text(encoding="utf-8")


def _picture(catalogue: Catalogue, image: str) -> Response:
    """The file if it is a picture by its first bytes, whatever its name says; a pairs file may name any path."""
    try:
        path = catalogue.image_path(image)
        if path is None:
            raise HTTPException(404, "no pair names this image")
        data = read_picture(path)
    except ValueError as error:
        raise HTTPException(404, f"the image cannot be read: {error}") from None
    except OSError as error:  # of looking for it: a name that is too long, a folder that is not ours
        raise HTTPException(404, f"the image cannot be found: {error.strerror}") from None
    kind = format_of(data)
    if kind is None:
        raise HTTPException(404, "the file is not a JPEG, PNG, WebP, BMP or GIF picture")
    return Response(data, media_type=kind.media_type)


class _Server(uvicorn.Server):
    """uvicorn's server, which leaves signals alone: whoever runs it sets should_exit."""

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Around the whole run; uvicorn's own would put its handlers in the place of ours."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to listen. What asyncio accepts at once and what the system keeps waiting are one number to it, not to us."""
        await super().startup(sockets)
        for listener in sockets or []:
            listener.listen(WAITING)


def new_server(app: ASGIApp) -> uvicorn.Server:
    """A server for run(sockets=[...]) until should_exit is set. No access log: addresses hold the secret."""
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        ws="none",
        http=Connection,
        loop="asyncio",
        backlog=ACCEPTED_AT_ONCE,
        timeout_graceful_shutdown=3,
    )
    return _Server(config)
