"""A receiver for tests of the wire's upstream half: remembers what it was told, in order; and a pool to one side."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

from proxy.core.errors import UpstreamError
from proxy.core.limits import PoolLimits, WireLimits
from proxy.core.messages import AnswerHead
from proxy.wire.instances import Place
from proxy.wire.pool import Pool, Waits
from proxy.wire.upstream import Line, Upstream
from proxy.wire.wheel import Wheel
from tests import pki
from tests.peers import Script, Side
from tests.rig import Clock

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
ELSEWHERE = cast(Line, SimpleNamespace(instance=None))  # a line on which a message failed, of no instance that is known
WAITS = Waits(connect_s=1, head_s=15, idle_s=60)


@dataclass
class Told:
    """Receives one answer."""

    head_only: bool = False
    upgrade: bytes = b""
    sending: int = 0
    events: list[str] = field(default_factory=list)
    status: int = 0
    head: AnswerHead | None = None
    body: bytes = b""
    interims: list[int] = field(default_factory=list)
    complete: bool = False
    error: UpstreamError | None = None
    blocked: bool = False
    then: Callable[[], object] | None = None  # done when the answer is complete, before anything else can be

    @property
    def over(self) -> bool:
        return self.complete or self.error is not None

    def answer(self, line: Line, head: AnswerHead, blocks: list[bytes], complete: bool) -> None:
        self._still_expects("answer")
        self.status, self.head = head.status, head
        self._take(blocks, complete)

    def more(self, line: Line, blocks: list[bytes], complete: bool) -> None:
        self._still_expects("more")
        self._take(blocks, complete)

    def interim(self, line: Line, head: AnswerHead) -> None:
        self._still_expects("interim")
        self.interims.append(head.status)

    def switched(self, line: Line, head: AnswerHead, rest: bytes) -> None:
        self._still_expects("switched")
        self.status, self.head, self.body = head.status, head, rest

    def failed(self, line: Line, error: UpstreamError) -> None:
        self._still_expects("failed")
        self.error = error

    def side_blocked(self) -> None:
        self.blocked = True

    def turn_came(self) -> None:
        self._still_expects("turn")

    def side_writable(self) -> None:
        self.blocked = False
        self.events.append("writable")

    def _still_expects(self, event: str) -> None:
        assert not self.over, f"{event} after the end: {self.events}"
        self.events.append(event)

    def _take(self, blocks: list[bytes], complete: bool) -> None:
        assert all(blocks)
        self.body += b"".join(blocks)
        self.complete = complete
        if complete and self.then is not None:
            self.then()


@dataclass
class Bench:
    """A pool to one scripted side."""

    side: Side
    pool: Pool
    wheel: Wheel
    clock: Clock

    def pass_s(self, seconds: float) -> None:
        self.clock.now += seconds
        self.wheel.turn()

    @property
    def idle(self) -> list[Upstream]:
        return self.pool.instances[0].idle

    def send(self, told: Told, message: bytes = GET, waits: Waits = WAITS, **how: Any) -> Line:
        return self.pool.send(message, told, waits, **how)


@asynccontextmanager
async def bench(
    script: Script | None = None, connections: int = 16, limits: WireLimits | None = None, pending: int = 1024
) -> AsyncIterator[Bench]:
    side = Side(script) if script is not None else Side()
    await side.start()
    clock = Clock()
    wheel = Wheel(clock)
    place = Place("127.0.0.1", side.port, pki.trust() if pki.switch.on else None)
    pool = Pool("modern", [place], wheel, limits or WireLimits(), PoolLimits(connections, pending))
    try:
        yield Bench(side, pool, wheel, clock)
    finally:
        await pool.close()
        await side.stop()
