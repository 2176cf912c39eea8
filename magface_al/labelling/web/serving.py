"""The page on its address: a socket, what to open and from where, a browser, and the server until Ctrl-C."""

from __future__ import annotations

import getpass
import os
import signal
import socket
import sys
import webbrowser
from dataclasses import dataclass

from magface_al.command.errors import UserError
from magface_al.command.extras import require
from magface_al.command.run import Run
from magface_al.command.signals import Stopped
from magface_al.labelling.labeller import Labeller
from magface_al.labelling.web.api import Site
from magface_al.labelling.web.ending import ending_in_order
from magface_al.labelling.web.quiet import quiet_log
from magface_al.labelling.web.security import LOOPBACK, Guard
from magface_al.pairs.pair_file import Pair

EVERY_ADDRESS = ("0.0.0.0", "::")


@dataclass(frozen=True)
class Door:
    """Where the page is offered, and to whom."""

    host: str = "127.0.0.1"
    port: int = 8000  # 0 takes a free one
    allowed_hosts: tuple[str, ...] = ()  # further names under which it may be opened
    open_browser: bool = False

    @property
    def is_local(self) -> bool:
        """Whether only this machine can reach it."""
        return self.host in LOOPBACK


def require_packages() -> None:
    """Raises UserError where the web server's packages are missing."""
    for package in ("starlette", "uvicorn"):
        require(package, "for the web page", "label")


def serve(labeller: Labeller, site: Site, secret: str, door: Door, run: Run) -> tuple[list[Pair], int | None]:
    """Serve the page until a signal, then export.

    returns  the pairs in the feedback file, and the signal if it was not Ctrl-C, which is the usual end

    Raises UserError where there is nothing to ask, the port is taken or the address is not this machine's.
    """
    if not labeller.asked:
        pairs_path = labeller.catalogue.pair_file.path
        raise UserError(f"{pairs_path}: all its pairs have labels; --relabel asks about them all the same")
    # needs the extra `label`, which exporting does not
    from magface_al.labelling.web.server import build_app, new_server

    listener = open_socket(door.host, door.port)
    port = listener.getsockname()[1]
    address = page_address(door.host, port, secret)
    allowed = door.allowed_hosts if door.is_local else (*door.allowed_hosts, socket.gethostname())
    app = Guard(build_app(labeller, site), token=secret, allowed_hosts=allowed, any_address=not door.is_local)
    server = new_server(app)

    def end() -> None:
        server.should_exit = True

    with ending_in_order(end) as signals:
        try:
            announce(address, port, door.is_local, run)
            if door.open_browser:
                open_browser(address, run)
            with quiet_log():
                server.run(sockets=[listener])
        finally:
            listener.close()
            pairs = labeller.export()
    run.say("")
    return pairs, next((number for number in signals if number != signal.SIGINT), None)


def heed(ended_by: int | None, run: Run) -> None:
    """End the run, all of it written, as whoever sent the signal expects; None is the usual end, which stays one.

    Raises Stopped.
    """
    if ended_by is not None:
        run.finish(128 + ended_by)
        raise Stopped(ended_by)


def open_socket(host: str, port: int) -> socket.socket:
    """A listening socket. Raises UserError where the port is taken or the address is not this machine's."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With the protocol named, asyncio turns Nagle's algorithm off; without, each answer would wait 40 ms for an ACK.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(128)
    except OSError as error:
        listener.close()
        raise UserError(f"{host}:{port}: {error.strerror}; choose another --port, or 0 for a free one") from None
    return listener


def page_address(host: str, port: int, secret: str) -> str:
    """What to open: with the secret, and with a name that this machine's browser finds."""
    name = "localhost" if host in LOOPBACK or host in EVERY_ADDRESS else host
    return f"http://{f'[{name}]' if ':' in name else name}:{port}/?token={secret}"


def announce(address: str, port: int, local: bool, run: Run) -> None:
    """Say what to open, and from where."""
    run.say(f"\nopen  {address}")
    if local:
        run.say(f"from another machine, first:  ssh -L {port}:localhost:{port} {user_name()}@{socket.gethostname()}")
    else:
        run.note("the page is served unencrypted to the network; ssh -L to a loopback server is safer")
    run.say("Ctrl-C ends; every answer is saved when it is given")


def user_name() -> str:
    """Who runs this. In a container a user may have a number and no name (`docker --user`)."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # KeyError until Python 3.13
        return "USER"


def open_browser(address: str, run: Run) -> None:
    """Open the page where there is a screen; on a server a text browser would take over the terminal."""
    has_screen = sys.platform in ("darwin", "win32") or any(map(os.environ.get, ("DISPLAY", "WAYLAND_DISPLAY")))
    if not has_screen or not webbrowser.open(address):
        run.note("no browser was found here; open the address yourself")
