"""
Tunnels: requests that ask to switch protocols (WebSocket). After the side's 101 bytes pass both ways, unread.

A side that does not switch has its answer passed on like any other.
"""

from __future__ import annotations

from time import perf_counter

from proxy.core.breaker import FINE
from proxy.core.errors import UpstreamError
from proxy.core.messages import AnswerHead
from proxy.gateway.exchange import Exchange
from proxy.gateway.records import GONE
from proxy.wire.upstream import Line


class Tunnel(Exchange):
    """One request for a tunnel, and the tunnel."""

    __slots__ = ("_ends",)

    _ends: int  # how many of the two directions have ended

    def begin(self) -> None:
        """Ask the side to switch."""
        self._ends = 0
        self.upgrade = self._request.upgrade
        super().begin()

    def switched(self, line: Line, head: AnswerHead, rest: bytes) -> None:
        """The side agreed: from now on bytes pass both ways."""
        self._committed = True
        self._streaming = True
        self._status = head.status
        self._judge(perf_counter(), FINE)
        if self._bound is not None:
            self._bound.lift()  # it is for answers
        added = self._added() + b"connection: upgrade\r\nupgrade: %b\r\n" % head.upgrade
        self._client.switch(head.fields, added, rest)

    def body(self, data: bytes) -> None:
        """Bytes from the client."""
        if self._line is not None:
            self._line.write_body(data)

    def body_end(self) -> None:
        """The client ended its half."""
        if self._line is not None:
            self._line.end_body()
            self._ended()

    def more(self, line: Line, blocks: list[bytes], complete: bool) -> None:
        """Bytes from the side, or the end of its half; before a switch, of an ordinary answer."""
        if self._status != 101:
            super().more(line, blocks, complete)
            return
        if blocks:
            self._client.tunnel(b"".join(blocks))
        if complete:
            self._client.tunnel_end()
            self._ended()

    def failed(self, line: Line | None, error: UpstreamError) -> None:
        """The side's connection is gone."""
        if self._status != 101:
            super().failed(line, error)
            return
        self._line = None
        self._client.tunnel_close()
        self._record(101)

    def gone(self) -> None:
        """The client's connection is gone."""
        self._gone = True
        if self._status == 101:
            self._finish()
        else:
            self._let_go()
        self._record(self._status or GONE)

    def _finish(self) -> None:
        """End the side's half in order: what the client sent before it left still belongs to the side."""
        line, self._line = self._line, None
        if line is not None:
            line.finish()

    def _ended(self) -> None:
        self._ends += 1
        if self._ends == 2:
            self._finish()
            self._client.tunnel_close()
            self._record(101)
