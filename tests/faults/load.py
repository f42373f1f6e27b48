"""
The load: requests at a constant rate, whatever becomes of the ones before (an open loop), and what became of each.

A latency counts from the moment at which a request was due, so that a gateway that stands still is not flattered by a
client that waits for it. Nothing is ever sent again.
"""

from __future__ import annotations

import asyncio
import re
import time
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum

from tests.faults.pace import moment
from tests.faults.tokens import Request, answer_body, owner_of, request_of

IDLE_S = 0.5  # an idle connection is not used after this: whoever keeps one as long as its server races its end
PATIENCE_S = 90.0  # longer than any deadline of the gateway
_FIELD = re.compile(rb"(?im)^([a-z0-9-]+):[ \t]*(.*?)\r$")


class Fate(StrEnum):
    """What became of a request, as its client saw it."""

    ANSWERED = "answered"  # a whole answer of a side, its own one, also an error
    REFUSED = "refused"  # a problem document of the gateway, or no connection at all
    ABORTED = "aborted"  # an answer that visibly broke off
    LOST = "lost"  # not a byte of an answer
    TORN = "torn"  # looks whole and is not what the side said
    CROSSED = "crossed"  # looks whole and is the answer to another request


@dataclass(frozen=True, slots=True)
class Outcome:
    """One request and its fate; times are of the clock that all processes share."""

    request: Request
    due: float
    ended: float
    fate: Fate
    status: int = 0  # 0: there was none
    side: str = ""  # who answered, as the gateway says
    fallback: str = ""
    detail: str = ""

    @property
    def latency_s(self) -> float:
        return self.ended - self.due


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole answer."""

    status: int
    fields: dict[bytes, bytes]
    body: bytes


class Torn(Exception):
    """The connection ended; `begun` says whether anything of an answer had come."""

    def __init__(self, begun: bool, why: str) -> None:
        super().__init__(why)
        self.begun = begun


class Line:
    """One keep-alive connection of the client."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._used = time.monotonic()

    @classmethod
    async def open(cls, port: int) -> Line:
        return cls(*await asyncio.open_connection("127.0.0.1", port, limit=1 << 20))

    @property
    def fresh(self) -> bool:
        """Whether it stands, and was in use a moment ago."""
        return self.stands and time.monotonic() < self._used + IDLE_S

    @property
    def stands(self) -> bool:
        return not self._reader.at_eof() and not self._writer.is_closing()

    def close(self) -> None:
        self._writer.transport.abort()

    async def ask(self, message: bytes) -> Reply:
        """Send one request and read the whole answer, strictly by its framing; raises Torn."""
        begun = False
        try:
            self._writer.write(message)
            head = await self._reader.readuntil(b"\r\n\r\n")
            begun = True
            fields = {name.lower(): value for name, value in _FIELD.findall(head)}
            body = await self._body(fields)
        except asyncio.IncompleteReadError as exc:
            raise Torn(begun or bool(exc.partial), "the connection ended") from exc
        except (OSError, ValueError) as exc:
            raise Torn(begun, repr(exc)) from exc
        self._used = time.monotonic()
        return Reply(int(head[9:12]), fields, body)

    async def _body(self, fields: dict[bytes, bytes]) -> bytes:
        if (length := fields.get(b"content-length")) is not None:
            return await self._reader.readexactly(int(length))
        if fields.get(b"transfer-encoding") != b"chunked":
            raise ValueError(f"no framing: {fields}")
        body = b""
        while size := int(await self._reader.readuntil(b"\r\n"), 16):
            body += (await self._reader.readexactly(size + 2))[:-2]
        await self._reader.readexactly(2)
        return body


class Load:
    """Sends `rate` requests a second to `port` until stopped; `outcomes` has them in the order of their ends."""

    def __init__(self, port: int, rate: float, seed: int = 0) -> None:
        self.port = port
        self.rate = rate
        self.sent = 0
        self.late_s = 0.0  # the longest that this client itself was behind: then its latencies are not the gateway's
        self.outcomes: list[Outcome] = []
        self._seed = seed
        self._idle: list[Line] = []
        self._flying: set[asyncio.Task[None]] = set()
        self._sending: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._sending = asyncio.create_task(self._send())

    async def stop(self) -> None:
        """Send no more, and wait for what is under way."""
        if self._sending is not None:
            self._sending.cancel()
            with suppress(asyncio.CancelledError):
                await self._sending
        await asyncio.gather(*self._flying)
        for line in self._idle:
            line.close()

    async def _send(self) -> None:
        loop = asyncio.get_running_loop()
        begun = loop.time()  # on Linux the loop's clock is time.monotonic, which all processes share
        for number in range(1, 1 << 30):
            due = begun + number / self.rate
            await moment(due)
            self.sent = number
            self.late_s = max(self.late_s, loop.time() - due)
            task = asyncio.create_task(self._one(request_of(number, self._seed), due))
            self._flying.add(task)
            task.add_done_callback(self._flying.discard)

    async def _one(self, request: Request, due: float) -> None:
        fate, reply, detail = Fate.LOST, None, ""
        try:
            async with asyncio.timeout(PATIENCE_S):
                reply = await self._ask(request)
            fate = fate_of(request, reply)
        except Torn as exc:
            fate, detail = (Fate.ABORTED if exc.begun else Fate.LOST), str(exc)
        except OSError as exc:
            fate, detail = Fate.REFUSED, f"no connection: {exc.strerror}"
        except TimeoutError:
            detail = f"nothing within {PATIENCE_S:g} s"
        if reply is not None and fate is not Fate.ANSWERED:
            detail = reply.body[:200].decode("latin-1")
        status, fields = (reply.status, reply.fields) if reply is not None else (0, {})
        side = fields.get(b"x-banyan-side", b"").decode()
        fallback = fields.get(b"x-banyan-fallback", b"").decode()
        self.outcomes.append(Outcome(request, due, time.monotonic(), fate, status, side, fallback, detail))

    async def _ask(self, request: Request) -> Reply:
        while self._idle and not self._idle[-1].fresh:
            self._idle.pop().close()
        line = self._idle.pop() if self._idle else await Line.open(self.port)
        kept = False
        try:
            reply = await line.ask(request.message)
            kept = reply.fields.get(b"connection") != b"close"
        finally:
            if kept:
                self._idle.append(line)
            else:
                line.close()
        return reply


def fate_of(request: Request, reply: Reply) -> Fate:
    """Say what a whole answer is: the right one, a refusal, or one that must never have come."""
    if reply.fields.get(b"content-type") == b"application/problem+json":
        return Fate.REFUSED
    side = reply.fields.get(b"x-banyan-side", b"").decode()
    if reply.body == answer_body(request.number, side, request.method, request.digest):
        return Fate.ANSWERED
    owner = owner_of(reply.body)
    return Fate.CROSSED if owner is not None and owner != request.number else Fate.TORN
