"""Who may talk to the labeller: only pages that it served itself, to somebody who had the printed address.

Loopback is open to every user of a shared machine, hence the secret in the address, exchanged for a cookie. A foreign Host
is refused, which stops DNS rebinding; the port is free, because `ssh -L 9000:localhost:8000` gives Host localhost:9000. A
request that another site's page makes is refused by Sec-Fetch-Site, or by Origin where a browser does not send that.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
from collections.abc import Collection
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOOPBACK = ("localhost", "127.0.0.1", "::1")
VISITOR = "visitor"  # the name in a request's state of the Visitor who sent it, where the server keeps one
_HEADERS = {
    "content-security-policy": "default-src 'none'; img-src 'self'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "form-action 'none'; frame-ancestors 'none'; base-uri 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-store",
}


def host_is_allowed(header: str, allowed: Collection[str], any_address: bool) -> bool:
    """Whether a Host header names this machine. any_address lets IP addresses pass, which rebinding cannot fake."""
    try:
        address = urlsplit(f"//{header}")
        name, _ = address.hostname, address.port  # .port raises on nonsense
    except ValueError:
        return False
    if not name or address.path or address.query or address.username is not None:
        return False
    if name in LOOPBACK or name in {known.lower() for known in allowed}:
        return True
    if not any_address:
        return False
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


class Visitor:
    """Whoever is at the other end of a connection: a stranger until the Guard sees the secret."""

    is_known = False


class Guard:
    """ASGI middleware around the whole application: Host, origin, secret, and headers on every response."""

    def __init__(self, app: ASGIApp, *, token: str, allowed_hosts: Collection[str], any_address: bool) -> None:
        self.app, self.token, self.allowed_hosts, self.any_address = app, token, allowed_hosts, any_address
        digest = hashlib.sha256(token.encode()).hexdigest()
        self.cookie_name = f"label_{digest[:8]}"  # labellers on other ports share the host's cookies
        self.cookie_value = hashlib.sha256(f"cookie {token}".encode()).hexdigest()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse, exchange the secret, or pass on."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":
            raise RuntimeError(f"a {scope['type']} connection, and the labeller has only HTTP")

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                own = [(name.encode(), value.encode()) for name, value in _HEADERS.items()]
                message["headers"] = [*message.get("headers", []), *own]
            await send(message)

        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        given = parse_qs(scope["query_string"].decode("latin-1")).get("token")
        if not host_is_allowed(headers.get("host", ""), self.allowed_hosts, self.any_address):
            await _respond(send_with_headers, 403, "This name is not one of the labeller's (see --allowed_host).")
        elif given and scope["method"] == "GET" and scope["path"] == "/" and self._is_secret(given[0], self.token):
            await self._exchange(send_with_headers)
        elif not _from_own_page(scope["method"], headers):
            await _respond(send_with_headers, 403, "Requests from other sites are refused.")
        elif not self._has_cookie(headers.get("cookie", "")):
            await _respond(send_with_headers, 403, "Open the address that label_pairs.py printed: it holds the key.")
        else:
            if visitor := scope.get("state", {}).get(VISITOR):
                visitor.is_known = True
            await self.app(scope, receive, send_with_headers)

    @staticmethod
    def _is_secret(given: str, wanted: str) -> bool:
        return hmac.compare_digest(given.encode("utf-8", "replace"), wanted.encode())

    def _has_cookie(self, header: str) -> bool:
        pairs = (part.strip().partition("=") for part in header.split(";"))
        return any(name == self.cookie_name and self._is_secret(value, self.cookie_value) for name, _, value in pairs)

    async def _exchange(self, send: Send) -> None:
        """Set the cookie and go to the clean address.

        By the Refresh header, not by 303: after a click in a web terminal the redirect would still count as that
        site's, and the browser would hold the Strict cookie back.
        """
        cookie = f"{self.cookie_name}={self.cookie_value}; HttpOnly; SameSite=Strict; Path=/; Max-Age=2592000"
        extra = [(b"set-cookie", cookie.encode()), (b"refresh", b"0; url=/")]
        await _respond(send, 200, "Opening the labeller ...", extra)


def _from_own_page(method: str, headers: dict[str, str]) -> bool:
    """Whether a request comes from a page of ours, from the address bar, or from no browser at all."""
    site = headers.get("sec-fetch-site")
    if site is not None and site not in ("same-origin", "none"):
        return False
    origin = headers.get("origin")
    if origin is not None:
        return origin in (f"http://{headers.get('host')}", f"https://{headers.get('host')}")
    return method in ("GET", "HEAD") or site != "none"


async def _respond(send: Send, status: int, text: str, extra: list[tuple[bytes, bytes]] | None = None) -> None:
    headers = [(b"content-type", b"text/plain; charset=utf-8"), *(extra or [])]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": text.encode()})
