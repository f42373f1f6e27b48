"""A house for tests of client connections: takes whatever comes in, remembers it, and answers when told to."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from proxy.core.limits import ClientDeadlines, WireLimits
from proxy.core.messages import RequestHead
from proxy.core.messages import field as head_field
from proxy.wire.client import Client
from proxy.wire.listener import Listener, bound
from proxy.wire.wheel import Wheel
from tests import pki
from tests.peers import RawClient
from tests.rig import Clock


@dataclass
class Guest:
    """One request as the house got it."""

    request: RequestHead
    client: Client
    received: bytes = b""
    ended: bool = False
    tears: tuple[int, str] | None = None
    left: bool = False
    blocked: bool = False
    answered: bool = False

    def body(self, data: bytes) -> None:
        assert data and not self.ended and not self.left
        self.received += data

    def body_end(self) -> None:
        assert not self.ended
        self.ended = True

    def torn(self, status: int, why: str) -> None:
        assert not self.ended and not self.answered
        self.tears = status, why
        self.answer(b"torn", status)

    def gone(self) -> None:
        assert not self.left
        self.left = True

    def client_blocked(self) -> None:
        self.blocked = True

    def client_writable(self) -> None:
        self.blocked = False

    def answer(self, body: bytes = b"ok", status: int = 200, *, head_only: bool = False) -> None:
        self.answered = True
        self.client.answer(status, b"", b"", len(body), [body] if body else [], True, head_only)

    def begin(self, *blocks: bytes, length: int = -1) -> None:
        self.answered = True
        self.client.answer(200, head_field(b"x", b"y"), b"", length, list(blocks), False)


@dataclass
class Lodge:
    """A house; `on_open` may answer at once."""

    guests: list[Guest] = field(default_factory=list)
    on_open: Callable[[Guest], None] | None = None
    refusals: list[str] = field(default_factory=list)
    trusted: bool = False
    crowds: list[tuple[str, bool]] = field(default_factory=list)

    def open(self, request: RequestHead, client: Client) -> Guest:
        guest = Guest(request, client)
        self.guests.append(guest)
        if self.on_open is not None:
            self.on_open(guest)
        return guest

    def refusal(self, status: int, why: str, key: str, client: Client) -> tuple[bytes, bytes]:
        self.refusals.append(key)
        return b"", why.encode()

    def trusts(self, address: bytes) -> bool:
        return self.trusted

    def ran_out(self) -> None:
        raise AssertionError("no test of this house runs out of descriptors")

    def crowded(self, key: str, turned_away: bool) -> None:
        self.crowds.append((key, turned_away))


@dataclass
class Door:
    """A listener before a lodge, with a clock that is stepped."""

    lodge: Lodge
    listener: Listener
    wheel: Wheel
    clock: Clock
    port: int
    faults: list[object] = field(default_factory=list)

    @property
    def guests(self) -> list[Guest]:
        return self.lodge.guests

    @property
    def client(self) -> Client:
        """The one connection there is."""
        (client,) = self.listener.clients
        return client

    def pass_s(self, seconds: float) -> None:
        self.clock.now += seconds
        self.wheel.turn()

    async def connect(self) -> RawClient:
        return await RawClient.connect(self.port)


@asynccontextmanager
async def door(
    on_open: Callable[[Guest], None] | None = None,
    limits: WireLimits | None = None,
    deadlines: ClientDeadlines | None = None,
    tls: Callable[[], ssl.SSLContext] | None = None,
) -> AsyncIterator[Door]:
    lodge = Lodge(on_open=on_open)
    clock = Clock()
    wheel = Wheel(clock)
    tls = tls or (pki.own_context if pki.switch.on else None)
    listener = Listener(lodge, wheel, limits or WireLimits(), deadlines or ClientDeadlines(), tls)
    port = await listener.start(bound("127.0.0.1", 0))
    opened = Door(lodge, listener, wheel, clock, port)
    asyncio.get_running_loop().set_exception_handler(lambda _, context: opened.faults.append(context))
    try:
        yield opened
    finally:
        await listener.drain(0)
