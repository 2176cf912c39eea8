"""Connections that are cut: of strangers (nobody who has shown the secret yet) where there are too many, and idle ones.

Without this, a few hundred half requests take every file that the process may open. Needs the extra `label`.
"""

from __future__ import annotations

import asyncio
import resource
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from magface_al.labelling.web.security import VISITOR, Visitor

MOST = 256  # connections in all; a browser opens six
MOST_STRANGERS = 64  # of one address; behind `ssh -L` everybody has the same, so those who are known do not count
PATIENCE = 10.0  # seconds for a request's head, for its body, or for taking any of an answer
ACCEPTED_AT_ONCE = 32  # asyncio accepts so many before it closes one
_OTHER_FILES = 64 + 3 * ACCEPTED_AT_ONCE  # pictures, the database, and what has been accepted meanwhile


def most_connections() -> int:
    """How many may be open: fewer than MOST where the process may open few files, because it needs some besides."""
    allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return min(MOST, max(allowed - _OTHER_FILES, 16)) if allowed != resource.RLIM_INFINITY else MOST


class Connection(H11Protocol):
    """uvicorn's connection, which makes room as it opens, and looks now and then whether the client keeps it waiting."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Called by asyncio: a client is there."""
        super().connection_made(transport)
        self._visitor = Visitor()
        self.app_state = {**self.app_state, VISITOR: self._visitor}  # copied into every request's state
        self._opened = self.loop.time()
        self._waited_for: Any = None
        self._look_again = self.loop.call_later(PATIENCE, self._look)
        if surplus := self._surplus():
            surplus.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by asyncio: it is gone."""
        self._look_again.cancel()
        super().connection_lost(exc)

    @property
    def _address(self) -> str | None:
        return self.client[0] if self.client else None

    @property
    def _is_idle(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _surplus(self) -> Connection | None:
        """The connection that must go now that this one has come: the oldest stranger before anybody who is known."""
        there = [other for other in self.connections if isinstance(other, Connection) and other is not self]
        there = sorted((other for other in there if not other.transport.is_closing()), key=lambda other: other._opened)
        strangers = [other for other in there if not other._visitor.is_known]
        neighbours = [other for other in strangers if other._address == self._address]
        if len(neighbours) >= MOST_STRANGERS:
            return neighbours[0]
        if len(there) >= most_connections():
            return next(iter([*strangers, *(other for other in there if other._is_idle)]), self)
        return None

    def _look(self) -> None:
        """Cut the connection if the client is waited for, and was for the same thing at the last look."""
        unsent = self.transport.get_write_buffer_size()
        waits = unsent > 0 or self.conn.their_state in (h11.IDLE, h11.SEND_BODY)
        wanted = (self.cycle, self.conn.their_state, unsent) if waits else None
        if wanted is not None and wanted == self._waited_for:
            self.transport.abort()
            return
        self._waited_for = wanted
        self._look_again = self.loop.call_later(PATIENCE, self._look)
