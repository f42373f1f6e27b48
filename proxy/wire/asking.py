"""
One answer awaited, for those who have the time: a coroutine over what the wire tells.

Of the answer only its head is waited for; whatever else it has is not read, and the connection goes with it.
"""

from __future__ import annotations

import asyncio

from proxy.core.errors import UpstreamError
from proxy.core.messages import AnswerHead
from proxy.wire.pool import Pool, Waits
from proxy.wire.upstream import Line


class _Asking:
    """The receiver of one answer."""

    head_only = False
    upgrade = b""
    sending = 0

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

    def more(self, line: Line, blocks: list[bytes], complete: bool) -> None:
        """Never told: the line was cancelled with the head."""

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


async def head_of_answer(pool: Pool, message: bytes, waits: Waits) -> AnswerHead:
    """Return the head of the answer to `message`, a whole request. Raises UpstreamError."""
    asking = _Asking()
    line = pool.send(message, asking, waits)
    try:
        return await asking.told
    finally:
        if not asking.told.done() or asking.told.cancelled():
            line.cancel()
