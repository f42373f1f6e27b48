"""
The world of the fuzzer: the real gateway and wire in this process, callers before it, two sides behind it.

Plays conversations act by act. Between two acts everybody gets a few turns of the loop; `Settle` waits until nothing
moves any more, so that time, which stands still, may pass. What must be small to be met often is small here.
"""

from __future__ import annotations

import asyncio
import socket
import time
import traceback
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any

import proxy.gateway.reads
import proxy.wire.client
from proxy.core.limits import PoolLimits, WireLimits
from proxy.core.rules import Side, Timeouts
from proxy.core.table import Table
from proxy.gateway.outgoing import Manner
from proxy.wire.client import LAST_CALL_S
from proxy.wire.upstream import Upstream
from tests.fuzz import reader
from tests.fuzz.conversation import Conversation, Deaf, Drain, Hear, Leave, Pass, Reply, Send, Settle, Stray
from tests.fuzz.peers import Asked, Caller, Line
from tests.rig import USERS, Rig, point, running, table_of

LIMITS = WireLimits(
    head_bytes=reader.HEAD_BYTES,
    line_bytes=reader.LINE_BYTES,
    head_fields=reader.HEAD_FIELDS,
    target_bytes=reader.TARGET_BYTES,
    body_buffer_bytes=256,
)
HELD_BYTES = 256  # of an answer that the other side could still replace
SMALL = {
    proxy.wire.client: {"HEADS_A_TURN": 3, "LINES_A_TURN": 20, "WRITE_HIGH_BYTES": 4096},
    proxy.gateway.reads: {"HELD_BYTES": HELD_BYTES},
}
CALM = {  # real time must change no plan, and nobody is asked beside it
    "breaker": {"observe_only": True},
    "fallback": {"budget_pct": 100},
    "shadow": 0,
}
COMPONENTS: tuple[dict[str, Any], ...] = (
    {**USERS, **CALM},
    {"component": "other", "routes": {"/other/{id}": {}}, **CALM},
    {"component": "find", "routes": {"POST /find/{id}": {"kind": "read"}}, **CALM},
)
TURNS = 2  # of the loop between two acts: a segment is read before the next one is sent
QUIET_TURNS = 12  # so long nothing moved: it is over (opening a connection takes 5 turns in which nothing is heard)
RELEASE_S = (1.3, 16.0, 16.0, 31.0, 61.0, 61.0, 61.0, 31.0)  # no deadline of the gateway is longer than one of these
STUCK_S = 1.0  # real time that is waited for bytes which are written and not taken
BUFFER_BYTES = 65_536  # of the kernel, for what the gateway sends, so that who stops reading is soon felt


def _connected(self: Upstream, transport: Any, real: Callable[..., None] = Upstream.connection_made) -> None:
    real(self, transport)
    transport.set_write_buffer_limits(high=4096)
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER_BYTES)


@contextmanager
def small() -> Iterator[None]:
    """Make some bounds of the product small while this lasts."""
    before = {(module, name): getattr(module, name) for module, names in SMALL.items() for name in names}
    before[Upstream, "connection_made"] = Upstream.connection_made
    for module, names in SMALL.items():
        for name, value in names.items():
            setattr(module, name, value)
    Upstream.connection_made = _connected  # type: ignore[method-assign]
    try:
        yield
    finally:
        for (module, name), value in before.items():
            setattr(module, name, value)


@dataclass
class World:
    """One gateway and everybody around it; plays one conversation after the other."""

    rig: Rig
    ports: dict[Side, int]
    tables: dict[tuple[object, ...], Table] = field(default_factory=dict)  # by what a conversation wants
    callers: dict[int, Caller] = field(default_factory=dict)
    lines: list[Line] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)
    playing: dict[Line, Asked] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    left_over: list[str] = field(default_factory=list)
    stray: bytes | None = None  # what every idle connection of the sides is about to say
    moves: int = 0  # whatever anybody heard or said
    conversation: Conversation = field(default_factory=lambda: Conversation(()))

    # What the sides ask

    def next_reply(self) -> Reply:
        """Return what the side does about the request that just came."""
        replies = self.conversation.replies
        return replies[len(self.asked)] if len(self.asked) < len(replies) else Reply()

    def greeting(self) -> bytes:
        greets = self.conversation.greets
        return greets[len(self.lines) - 1] if len(self.lines) <= len(greets) else b""

    # Playing

    async def play(self, conversation: Conversation, check: Callable[[World, bool], None]) -> None:
        """
        Play a conversation; `check` judges it twice: when all is said, and when all time has passed.

        An exception in the gateway is kept in `faults`, whatever was not given back in the end in `left_over`.
        """
        self._begin(conversation)
        counts = self._counts()
        for act in conversation.acts:
            await self._act(act)
        await self._rest()
        check(self, False)
        await self._release()
        self._account(counts)
        check(self, True)

    def _begin(self, conversation: Conversation) -> None:
        self.conversation = conversation
        self.callers, self.lines, self.asked, self.playing, self.stray = {}, [], [], {}, None
        self.rig.listener.draining = False
        self.faults, self.left_over = [], []
        rig = self.rig
        table = self._table(conversation)
        if rig.gateway.table is not table:
            rig.gateway.follow(table, {}, store_lost=False)
        for side, pool in rig.pools.items():
            pool._own_limits = PoolLimits(conversation.pool, conversation.pool)
            point(pool, ("127.0.0.1", 1 if conversation.down == side.value else self.ports[side]))

    def _table(self, wanted: Conversation) -> Table:
        key = wanted.weight, wanted.exchange_s, wanted.strict
        table = self.tables.get(key)
        if table is None:
            timeouts = Timeouts(exchange_s=wanted.exchange_s)
            components = [{**each, "weight": wanted.weight} for each in COMPONENTS]
            ambiguous = "refuse" if wanted.strict else "legacy"
            table = table_of(*components, legacy=timeouts, modern=timeouts, ambiguous_paths=ambiguous)
            self.tables[key] = table
        return table

    async def _act(self, act: object) -> None:
        if isinstance(act, Send | Leave | Deaf | Hear):
            caller = self.callers.get(act.client)
            if caller is None:
                caller = self.callers[act.client] = await Caller.connect(self, act.client, self.rig.port)
            if isinstance(act, Send):
                caller.send(act.data, at_once=self.stray is not None)
                self._say_stray()
            elif isinstance(act, Leave):
                caller.leave(act.how)
            else:
                caller.listen(isinstance(act, Hear))
            for _ in range(TURNS):
                await self._turn()
        elif isinstance(act, Settle):
            await self.settle()
        elif isinstance(act, Pass):
            await self.settle(go_on=False)
            self._pass(act.seconds)
            await self.settle()
        elif isinstance(act, Stray):
            await self._rest()
            self.stray = act.data
        elif isinstance(act, Drain):
            await self._rest()
            self.rig.listener.draining = True
            for client in list(self.rig.listener.clients):
                client.shut(LAST_CALL_S)

    def _say_stray(self) -> None:
        said, self.stray = self.stray, None
        if said is not None:
            for line in self.lines:
                if line.is_idle:
                    line.say(said)

    async def _turn(self) -> None:
        for line, asked in list(self.playing.items()):
            if not line.held_back:
                self.moves += 1
                line.play(asked)
        await asyncio.sleep(0)

    async def settle(self, go_on: bool = True) -> bool:
        """
        Return when nothing moves any more; with `go_on` let the sides go on that waited for this, and say if any did.

        The kernel may need real time for what somebody is still sending.
        """
        self._say_stray()
        quiet = 0
        stuck_s = time.monotonic() + STUCK_S
        while quiet < QUIET_TURNS or (self._unsent() and time.monotonic() < stuck_s):
            before = self.moves
            await self._turn()
            quiet = quiet + 1
            if self.moves != before:
                quiet = 0
                if time.monotonic() > stuck_s + 10 * STUCK_S:
                    self.left_over.append("it never comes to rest")
                    break
        waited = [line.go_on() for line in self.lines] if go_on else []
        return any(waited)

    def _unsent(self) -> bool:
        """Whether bytes are on their way to somebody who takes them."""
        deaf = {caller.address for caller in self.callers.values() if caller.deaf}
        if any(
            client.transport.get_write_buffer_size()
            for client in self.rig.listener.clients
            if client.address not in deaf
        ):
            return True
        if deaf or any(line.deaf for line in self.lines):
            return False
        behind = [each for pool in self.rig.pools.values() for each in pool.instances[0].lines]
        return any(each.transport.get_write_buffer_size() for each in (*behind, *self._open_lines()))

    def _open_lines(self) -> list[Line]:
        return [line for line in self.lines if not line.lost]

    def _pass(self, seconds: float) -> None:
        for caller in self.callers.values():
            caller.waited = True
        for line in self.lines:
            line.late = line.late or line.deaf or line in self.playing
        try:
            self.rig.pass_s(seconds)
        except Exception as exc:
            self.faults.append(f"in the wheel: {exc!r}")

    async def _release(self) -> None:
        """Let time pass until everybody had to let go; tunnels live on until their clients leave."""
        for seconds in RELEASE_S:
            if not self._is_held():
                break
            self._pass(seconds)
            await self._rest()
        for caller in self.callers.values():
            caller.listen(True)
        await self._rest()
        for caller in self.callers.values():
            if not caller.is_over and self._in_tunnel(caller):
                caller.leave("close")
        await self._rest()

    async def _rest(self) -> None:
        """Settle until no side waits for it any more."""
        while await self.settle():
            pass

    def _in_tunnel(self, caller: Caller) -> bool:
        return any(asked.address == caller.address and asked.is_tunnel for asked in self.asked)

    def _is_held(self) -> bool:
        rig = self.rig
        return bool(rig.listener.clients) or any(pool.connections for pool in rig.pools.values())

    # What must be given back

    def _counts(self) -> tuple[int, int, int]:
        gateway = self.rig.gateway
        looped = dict(gateway.records.refused.items()).get("proxy_loop_detected", 0)
        return gateway._count, self.rig.count(), looped

    def _account(self, before: tuple[int, int, int]) -> None:
        """Find what nobody needs any more and was not given back."""
        rig = self.rig
        opened, recorded, looped = (now - then for now, then in zip(self._counts(), before, strict=True))
        ended_here = sum(bytes(caller.sent).lower().count(b"max-forwards") for caller in self.callers.values())
        if not 0 <= opened - recorded - looped <= ended_here:
            self.left_over.append(f"{opened} exchanges began, {recorded + looped} were recorded")
        if rig.listener.clients:
            self.left_over.append(f"{len(rig.listener.clients)} connections of clients are still open")
        for side, pool in rig.pools.items():
            if pool.connections:
                self.left_over.append(f"{pool.connections} connections to {side.value} are still open")
        armed = sum(timed.due > 0 for slot in rig.wheel._slots.values() for timed in slot)
        if armed and not self.left_over:
            self.left_over.append(f"{armed} deadlines are still set")


@asynccontextmanager
async def world() -> AsyncIterator[World]:
    """Build a world, and end it."""
    loop = asyncio.get_running_loop()
    with small():
        manner = Manner(access_log=False, body_buffer_bytes=LIMITS.body_buffer_bytes)
        async with running(*COMPONENTS, limits=LIMITS, manner=manner, send_buffer_bytes=BUFFER_BYTES) as rig:
            made = World(rig, {})
            servers = []
            for side in Side:
                server = await loop.create_server(lambda side=side: Line(made, side.value), "127.0.0.1", 0)  # type: ignore[misc]
                server.sockets[0].setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
                servers.append(server)
                made.ports[side] = server.sockets[0].getsockname()[1]
            loop.set_exception_handler(lambda _, context: made.faults.append(_told(context)))
            try:
                yield made
            finally:
                loop.set_exception_handler(None)
                for line in made._open_lines():
                    line.transport.abort()
                for server in servers:
                    server.close()


def _told(context: dict[str, object]) -> str:
    exc = context.get("exception")
    frames = traceback.extract_tb(exc.__traceback__) if isinstance(exc, BaseException) else []
    at = ", ".join(f"{frame.filename.rsplit('/', 1)[-1]}:{frame.lineno}" for frame in frames[-3:])
    return f"{context.get('message')}: {exc!r} at {at}"
