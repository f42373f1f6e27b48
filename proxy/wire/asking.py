"""
One answer awaited, for those who have the time: a coroutine over what the wire tells.
"""

from __future__ import annotations

import asyncio
from typing import TypeVar

from proxy.core.errors import UpstreamError
from proxy.core.messages import AnswerHead
from proxy.wire.pool import Pool, Waits
from proxy.wire.upstream import Line

_T = TypeVar("_T")


class TooLong(Exception):
    """The answer has a longer body than was asked for."""


class Asking:
    """The receiver of one answer, of which it makes nothing yet."""

    __slots__ = ()

    head_only = False
    upgrade = b""
    sending = 0

    def answer(self, line: Line, head: AnswerHead, blocks: list[bytes], complete: bool) -> None:
        """The head of the answer, and what came of its body with it."""

    def more(self, line: Line, blocks: list[bytes], complete: bool) -> None:
        """More of the body."""

    def failed(self, line: Line, error: UpstreamError) -> None:
        """There is no answer."""

    def interim(self, line: Line, head: AnswerHead) -> None:
        """Early hints are nobody's answer."""

    def switched(self, line: Line, head: AnswerHead, rest: bytes) -> None:
        """Never told: no switch was asked for."""

    def side_blocked(self) -> None:
        """Nothing more will be written."""

    def side_writable(self) -> None:
        """Nothing more will be written."""

    def turn_came(self) -> None:
        """Whoever waits, waits."""


class _ForHead(Asking):
    """Waits for the head; whatever else the answer has is not read, and the connection goes with it."""

    def __init__(self) -> None:
        self.told: asyncio.Future[AnswerHead] = asyncio.get_running_loop().create_future()

    def answer(self, line: Line, head: AnswerHead, blocks: list[bytes], complete: bool) -> None:
        if not complete:
            line.cancel()
        if not self.told.done():
            self.told.set_result(head)

    def failed(self, line: Line, error: UpstreamError) -> None:
        if not self.told.done():
            self.told.set_exception(error)


class _ForAll(Asking):
    """Waits for the whole answer, up to so many bytes of body."""

    def __init__(self, most_bytes: int, head_only: bool) -> None:
        self.told: asyncio.Future[tuple[AnswerHead, bytes]] = asyncio.get_running_loop().create_future()
        self.head_only = head_only
        self._left = most_bytes
        self._blocks: list[bytes] = []
        self._head: AnswerHead

    def answer(self, line: Line, head: AnswerHead, blocks: list[bytes], complete: bool) -> None:
        self._head = head
        self.more(line, blocks, complete)

    def more(self, line: Line, blocks: list[bytes], complete: bool) -> None:
        self._blocks += blocks
        self._left -= sum(map(len, blocks))
        if self._left < 0:
            if not complete:
                line.cancel()
            self._end(TooLong())
        elif complete:
            self._end(None)

    def failed(self, line: Line, error: UpstreamError) -> None:
        self._end(error)

    def _end(self, error: Exception | None) -> None:
        if self.told.done():
            return
        if error is None:
            self.told.set_result((self._head, b"".join(self._blocks)))
        else:
            self.told.set_exception(error)


async def head_of_answer(pool: Pool, message: bytes, waits: Waits) -> AnswerHead:
    """Return the head of the answer to `message`, a whole request. Raises UpstreamError."""
    asking = _ForHead()
    return await _told(asking.told, pool.send(message, asking, waits))


async def whole_answer(
    pool: Pool, message: bytes, waits: Waits, most_bytes: int, head_only: bool = False
) -> tuple[AnswerHead, bytes]:
    """Return head and body of the answer to `message`. Raises UpstreamError, and TooLong for a longer body."""
    asking = _ForAll(most_bytes, head_only)
    return await _told(asking.told, pool.send(message, asking, waits))


async def _told(told: asyncio.Future[_T], line: Line) -> _T:
    try:
        return await told
    finally:
        if not told.done() or told.cancelled():
            line.cancel()
