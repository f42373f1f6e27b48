"""
The connections of the admin and probe listeners: deadlines, how many there may be, and what is said of bad requests.

The parser and the answers are aiohttp's. What a peer sent is never logged, not even in the words of an error: a
malformed line may hold a token. It is counted, and whoever counts says so once in a while.
"""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import PurePath
from socket import socket
from typing import Any, cast

import structlog
from aiohttp import web

from proxy.admin.answers import FIELDS, Refused, problem
from proxy.core.limits import ClientDeadlines
from proxy.wire.listener import PortTaken

CONNECTIONS = 256  # of one listener: a kubelet, a few scrapers and operators need a handful
LINGER_S = 2.0  # for the rest of a body that nobody wants, so that its sender reads the answer
FRAMES = 8  # of an error of ours that are logged
MALFORMED = "malformed_request"
CROWDED = "too_many_connections"
log = structlog.get_logger("banyan.admin")


@dataclass(frozen=True, slots=True)
class Terms:
    """What callers of one listener keep to; `count` is told of each malformed request and each caller too many."""

    deadlines: ClientDeadlines
    count: Callable[[str], None]
    most: int = CONNECTIONS


class Connection(web.RequestHandler):
    """One caller."""

    __slots__ = ("_head_timer", "_look_timer", "_terms", "_unsent_bytes", "_wire")

    def __init__(self, server: web.Server, terms: Terms, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(
            server, loop=loop, access_log=cast(Any, None), keepalive_timeout=terms.deadlines.idle_s,
            lingering_time=LINGER_S,
        )  # fmt: skip
        self._terms = terms
        self._wire: asyncio.Transport | None = None  # aiohttp forgets its own before it is closed
        self._head_timer: asyncio.TimerHandle | None = None
        self._look_timer: asyncio.TimerHandle | None = None
        self._unsent_bytes = 0

    @property
    def is_waiting(self) -> bool:
        """Whether no request is under way: none was begun, or only a part of its head."""
        return self._waiter is not None and not self._waiter.done()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start the clocks; a caller too many takes the place of the one that has waited longest."""
        super().connection_made(transport)
        self._wire = cast(asyncio.Transport, transport)
        self._head_timer = self._loop.call_later(self._terms.deadlines.head_s, self._head_is_late)
        self._look_timer = self._loop.call_later(self._terms.deadlines.idle_s, self._look)
        callers = cast(list[Connection], self._manager.connections if self._manager is not None else [])
        if len(callers) > self._terms.most:
            self._terms.count(CROWDED)
            next((each for each in callers if each.is_waiting), self).cut()

    def data_received(self, data: bytes) -> None:
        """Take bytes; the deadline of a head ends with the head, and begins anew with the next one."""
        before = self._request_count
        super().data_received(data)
        if self._request_count > before:
            self._no_head_is_due()
        elif self._head_timer is None and self.is_waiting:
            self._head_timer = self._loop.call_later(self._terms.deadlines.head_s, self._head_is_late)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Stop the clocks."""
        self._no_head_is_due()
        if self._look_timer is not None:
            self._look_timer.cancel()
        super().connection_lost(exc)

    def cut(self) -> None:
        """Close at once, whatever was not sent yet."""
        self.force_close()
        if self._wire is not None:
            self._wire.abort()

    def handle_error(
        self, request: web.BaseRequest, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> web.StreamResponse:
        """Answer what aiohttp could not parse, and what our own handlers raised by mistake."""
        if request.writer.output_size > 0:
            raise ConnectionError("the answer had begun")
        refused = Refused(500, "this should not happen; the log says more")
        if status < 500:
            self._terms.count(MALFORMED)
            refused = Refused(400, "this is no request that is understood here")
        elif not isinstance(exc, ConnectionError):  # the caller left
            _log_failure(exc)
        answer = problem(refused)
        answer.headers.update(FIELDS)
        answer.headers["Server"] = "banyan"  # aiohttp would name itself
        answer.force_close()
        return answer

    def log_exception(self, *args: Any, **kw: Any) -> None:
        """Log where aiohttp met an error, without its text."""
        found = kw.get("exc_info")
        _log_failure(found if isinstance(found, BaseException) else None)

    def _no_head_is_due(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _head_is_late(self) -> None:
        self._head_timer = None
        if self.is_waiting:
            self.cut()

    def _look(self) -> None:
        """Cut a caller that took nothing of what waits for it since the last look, also one that is closing."""
        if self._wire is None:
            return
        before, self._unsent_bytes = self._unsent_bytes, self._wire.get_write_buffer_size()
        if before and self._unsent_bytes == before:
            self.cut()
        else:
            self._look_timer = self._loop.call_later(self._terms.deadlines.idle_s, self._look)


class Site(web.SockSite):
    """A listener whose connections keep to `terms`."""

    def __init__(self, runner: web.AppRunner, sock: socket, terms: Terms) -> None:
        super().__init__(runner, sock)
        self._terms = terms

    async def start(self) -> None:
        """Take connections from now on; raises OSError."""
        await web.BaseSite.start(self)
        server = self._runner.server
        assert server is not None  # the runner was set up, or this could not have been made
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: Connection(server, self._terms, loop), sock=self._sock, backlog=self._backlog
        )


@asynccontextmanager
async def listening(app: web.Application, sock: socket, terms: Terms, drain_s: float) -> AsyncIterator[Site]:
    """Serve an application on a socket for as long as the block lasts; raises PortTaken."""
    runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=drain_s)
    await runner.setup()
    try:
        site = Site(runner, sock, terms)
        try:
            await site.start()
        except OSError as exc:
            raise PortTaken(f"cannot listen on {sock.getsockname()}: {exc.strerror or exc}") from exc
        yield site
    finally:
        await runner.cleanup()


def _log_failure(exc: BaseException | None) -> None:
    """Log an error of ours by its kind and place: its text may quote what a peer sent."""
    frames = traceback.extract_tb(exc.__traceback__)[-FRAMES:] if exc is not None else ()
    at = [f"{PurePath(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames]
    log.error("admin_request_failed", error=type(exc).__name__ if exc is not None else "TimeoutError", at=at)
