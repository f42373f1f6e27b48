"""
Two scripted sides with one truth: what is written to legacy reaches modern a moment later, while many clients read.

How much later is told in requests, not in seconds, so that a race is a race on any machine. Each side can be given
faults; nothing of what they do is ever a difference between the two, unless `corrupt` names an entity.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter, deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from proxy.core.rules import Side
from tests.peers import Exchange, RawClient, Script, asked
from tests.waiting import until
from tests.workers.shadowing import Stage, answer, request

ENTITIES = 6  # few, so that everybody is always in everybody's way
MOST_LAG = 150  # requests that a write is on its way
PATIENCE_S = 16.0  # longer than the gateway waits for a head

Document = dict[str, Any]
Fault = Callable[["World", Exchange, bytes], Awaitable[bytes]]  # returns what is left to be sent


@dataclass
class World:
    """What both sides know, and what is on its way; `requests` is how many both have seen."""

    noisy: bool = False
    corrupt: str = ""  # an entity of which modern says something wrong
    faults: dict[Side, Fault | None] = field(default_factory=lambda: dict.fromkeys(Side))
    known: dict[Side, dict[str, Document]] = field(default_factory=dict)
    hung: int = 0  # requests of clients that wait in vain
    hung_unseen: int = 0  # and of nobody
    requests: int = 0
    _on_way: deque[tuple[int, str, Document | None]] = field(default_factory=deque)
    _over: asyncio.Event = field(default_factory=asyncio.Event)
    _strange: set[bytes] = field(default_factory=set)
    _chance: random.Random = field(default_factory=lambda: random.Random(7))

    def __post_init__(self) -> None:
        for side in Side:
            self.known[side] = {str(id): {"id": id, "version": 0, "unread": id} for id in range(ENTITIES)}

    @property
    def on_way(self) -> int:
        return len(self._on_way)

    def script(self, side: Side) -> Script:
        """Return what a side answers."""

        async def script(exchange: Exchange) -> None:
            body = await exchange.read_body()
            self._pass()
            said = self._said(side, exchange, body)
            fault = self.faults[side]
            await exchange.send(await fault(self, exchange, said) if fault is not None else said)

        return script

    def arrive(self) -> None:
        """Let all arrive that is on its way."""
        while self._on_way:
            self._take(*self._on_way.popleft()[1:])

    def give_up(self) -> None:
        """Cut what hangs."""
        over, self._over = self._over, asyncio.Event()
        self.hung = self.hung_unseen = 0
        over.set()

    async def hang(self, exchange: Exchange) -> bytes:
        """Say nothing, until nobody waits for it any more."""
        is_unseen = exchange.value(b"x-banyan-role") is not None
        self.hung_unseen += is_unseen
        self.hung += not is_unseen
        await self._over.wait()
        exchange.cut()
        return b""

    def is_first_time(self, exchange: Exchange) -> bool:
        """Say whether a side is asked this for the first time; a second look asks it again, with the same id."""
        id = exchange.value(b"x-request-id") or b""
        known = id in self._strange
        self._strange.add(id)
        return not known

    def _pass(self) -> None:
        self.requests += 1
        while self._on_way and self._on_way[0][0] <= self.requests:
            self._take(*self._on_way.popleft()[1:])

    def _take(self, id: str, document: Document | None) -> None:
        if document is None:
            self.known[Side.MODERN].pop(id, None)
        else:
            self.known[Side.MODERN][id] = document

    def _said(self, side: Side, exchange: Exchange, body: bytes) -> bytes:
        method, target = exchange.line.split(b" ")[:2]
        id = target.decode().removeprefix("/api/users").removeprefix("/")
        if method == b"GET":
            return self._told(side, id)
        assert side is Side.LEGACY, "writes are legacy's"
        return self._written(method, id, body)

    def _told(self, side: Side, id: str) -> bytes:
        known = self.known[side]
        if id and id not in known:
            return answer({"error": "not found"}, 404)
        said = known
        if side is Side.MODERN and self.corrupt in known:
            said = {**known, self.corrupt: {**known[self.corrupt], "unread": -1}}
        found: Document = said[id] if id else {"items": [said[each] for each in sorted(said)]}
        return answer({**found, "at": self._chance.random()} if self.noisy else found)

    def _written(self, method: bytes, id: str, body: bytes) -> bytes:
        known = self.known[Side.LEGACY]
        id = id or str(ENTITIES + self.requests)
        document: Document | None = None
        if method == b"DELETE":
            known.pop(id, None)
        else:
            document = known[id] = {"id": int(id), "version": self.requests, "unread": len(body)}
        due = max(self.requests + self._chance.randrange(MOST_LAG), self._on_way[-1][0] if self._on_way else 0)
        self._on_way.append((due, id, document))
        return answer(document or {}, 200)


@dataclass
class Crowd:
    """Clients that read and write the same few things; `answers` counts what readers got."""

    stage: Stage
    world: World
    answers: Counter[str] = field(default_factory=Counter)
    seed: int = 0
    asked: int = 0
    elsewhere: bool = False  # writers use another replica: this one knows nothing of what they write

    async def come(self, clients: int = 12, each: int = 25, writing: bool = True) -> None:
        """Let so many come and go; whoever waits for a side that hangs waits in vain."""
        self.seed += 1
        tasks = [asyncio.create_task(self._client(number, each, writing)) for number in range(clients)]

        def left() -> int:
            return sum(not task.done() for task in tasks)

        while left():
            await until(lambda: self.world.hung >= left(), 60)
            if left():
                self.stage.rig.pass_s(PATIENCE_S)
                self.world.give_up()
        await asyncio.gather(*tasks)

    async def _client(self, number: int, each: int, writing: bool) -> None:
        chance = random.Random(self.seed << 16 | number)
        client: RawClient | None = None
        for _ in range(each):
            message, is_read = asks(chance, writing, deleting=not self.elsewhere)
            self.asked += 1
            if self.elsewhere and not is_read:
                await asked(self.stage.rig.legacy.port, message)
                continue
            client = client or await RawClient.connect(self.stage.rig.port)
            try:
                await client.send(message)
                got = await client.answer(within_s=60)
            except (OSError, asyncio.IncompleteReadError):
                self.answers["torn"] += 1
                client = None
                continue
            if is_read:
                refused = got.value(b"content-type") == b"application/problem+json"
                stood_in = got.value(b"x-banyan-fallback") is not None
                self.answers["refused" if refused else "stood_in" if stood_in else "whole"] += 1
            if got.value(b"connection") == b"close":
                client.close()
                client = None
        if client is not None:
            client.close()


def asks(chance: random.Random, writing: bool, deleting: bool) -> tuple[bytes, bool]:
    """Return a request, and whether it is a read: mostly that."""
    path = f"/api/users/{chance.randrange(ENTITIES)}"
    dice = chance.random() * (1 if writing else 0.75)
    if dice < 0.75:
        return request(path if dice < 0.6 else "/api/users"), True
    if dice < 0.95:
        body = b"x" * chance.randrange(1, 9)
        return request(path, b"Content-Length: %d\r\n" % len(body), method=b"PUT") + body, False
    if dice < 0.98 or not deleting:
        return request("/api/users", b"Content-Length: 2\r\n", method=b"POST") + b"{}", False
    return request(path, method=b"DELETE"), False


async def quiet(stage: Stage, world: World) -> None:
    """Wait until nothing is under way, and nothing waits but for time to pass; what hangs is cut at its deadline."""
    sandwiches, loads = stage.sandwiches, stage.shadows.loads.values()

    def is_quiet() -> bool:
        if world.hung_unseen:
            patience_ends(stage, world)
        busy = sandwiches.at_work or sandwiches._ready or any(load.waiting or load.under_way for load in loads)
        return not busy

    await until(is_quiet, 60)


def patience_ends(stage: Stage, world: World) -> None:
    """Let the deadlines of all that hangs pass; what is on its way has arrived before."""
    world.arrive()
    stage.clock.by_s += stage.shadows.bounds.timeout_s + 1
    stage.shadows.tick()
    stage.rig.pass_s(PATIENCE_S)
    world.give_up()


async def concluded(stage: Stage, world: World) -> None:
    """Let all writes arrive, and time pass until nothing is left to be said."""
    world.arrive()
    stage.clock.by_s += stage.rig.gateway.settling.settle_s + 1
    for _ in range(8):
        patience_ends(stage, world)
        await quiet(stage, world)
        if not stage.sandwiches.waiting:
            return
        stage.clock.by_s += 100
        stage.sandwiches.tick()
    raise AssertionError(f"{stage.sandwiches.waiting} differences wait for ever")
