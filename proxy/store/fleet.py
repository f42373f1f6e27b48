"""
The fleet: which replicas run, and what each of them applied. A key per replica that expires when it stops beating.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import orjson

from proxy.core.brief import told
from proxy.core.errors import StoreError
from proxy.core.heartbeats import MOST_BYTES, Heard, heard, no_heartbeat
from proxy.store.link import Link, text_of
from proxy.store.scripts import load_script

BEAT_S = 3.0
LIVES_S = 10
MOST_REPLICAS = 1_000
AT_ONCE = 16  # heartbeats in one answer of the store: reading them holds nobody up
BEATS = load_script("beats", "token")
_KEPT_FACTS = ("connected", "sides")  # of a heartbeat that would be too long


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """
    What a replica says of itself.

    `version` and `epoch` are those of the rules it applies (0 and empty without any), `emergencies` the raw values it
    sees by name, `refusals` why it did not take what the store or a file holds, `lag_s` how old its view of the store
    is, `breakers` the open ones by `component/side`; `started` and `at` are RFC 3339. `parent` is the same for all
    processes of one parent, empty for a process without one.
    """

    id: str
    host: str = ""
    pid: int = 0
    parent: str = ""
    build: str = ""
    started: str = ""
    at: str = ""
    version: int = 0
    epoch: str = ""
    source: str = "none"
    lag_s: float = 0.0
    emergencies: Mapping[str, str] = field(default_factory=dict)
    refusals: tuple[str, ...] = ()
    breakers: tuple[str, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RollCall:
    """The replicas that live, by id, and one sentence for each key that holds no heartbeat or only half of one."""

    replicas: tuple[Heartbeat, ...] = ()
    faults: tuple[str, ...] = ()


class Fleet:
    """The heartbeats of all replicas; `run` beats for one of them."""

    def __init__(self, link: Link, *, beat_s: float = BEAT_S) -> None:
        self._link = link
        self._beat_s = beat_s
        self._poked = asyncio.Event()

    async def run(self, report: Callable[[], Heartbeat]) -> None:
        """Beat every `beat_s` and when poked, for as long as this runs; a store that is away is no fault."""
        while True:
            self._poked.clear()
            with contextlib.suppress(StoreError):
                await self.beat(report())
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._beat_s):
                    await self._poked.wait()

    def poke(self) -> None:
        """Have `run` beat at once: something changed that others want to see."""
        self._poked.set()

    async def beat(self, heartbeat: Heartbeat) -> None:
        """Say that a replica lives; raises StoreError."""
        await self._link.call("SET", self._key(heartbeat.id), fitting(heartbeat), "EX", LIVES_S)

    async def leave(self, replica: str) -> None:
        """Say that a replica ends; raises StoreError."""
        await self._link.call("DEL", self._key(replica))

    async def count(self) -> int:
        """Return how many keys of replicas there are; raises StoreError."""
        return len(await self._link.names(self._key("")))

    async def replicas(self) -> tuple[Heartbeat, ...]:
        """Return the replicas that beat within the last 10 s, by id; raises StoreError."""
        return (await self.roll_call()).replicas

    async def roll_call(self) -> RollCall:
        """Return what stands under the keys of replicas, read within bounds; raises StoreError."""
        names = sorted(await self._link.names(self._key("")))
        replicas: list[Heartbeat] = []
        faults: list[str] = []
        for at in range(0, min(len(names), MOST_REPLICAS), AT_ONCE):
            some = names[at : min(at + AT_ONCE, MOST_REPLICAS)]
            flat = await self._link.run(BEATS, some, [MOST_BYTES])
            for name, kind, size, raw in zip(some, flat[::3], flat[1::3], flat[2::3], strict=True):
                replica = name.removeprefix(self._key(""))
                found = _judged(f"replica:{replica}", text_of(kind), size, raw)
                faults += found.faults
                if found.values is not None:
                    replicas.append(Heartbeat(**{**found.values, "id": replica}))
        if len(names) > MOST_REPLICAS:
            more = len(names) - MOST_REPLICAS
            faults.insert(0, f"of the keys of replicas the first {MOST_REPLICAS:,} are read, {more:,} are not")
        return RollCall(tuple(replicas), told(faults))

    async def highest(self, epoch: str) -> int:
        """Return the highest version of this epoch that a live replica applies, 0 if none; raises StoreError."""
        return max((each.version for each in await self.replicas() if each.epoch == epoch), default=0)

    def _key(self, replica: str) -> str:
        return self._link.key(f"replica:{replica}")


def fitting(heartbeat: Heartbeat) -> bytes:
    """Return a heartbeat as it is sent: one that would be too long to be read says what others decide by, and that."""
    whole = orjson.dumps(asdict(heartbeat))
    if len(whole) <= MOST_BYTES:
        return whole
    facts = {name: heartbeat.facts[name] for name in _KEPT_FACTS if name in heartbeat.facts}
    why = "this replica has more to say than a heartbeat holds; its log has it"
    return orjson.dumps(asdict(replace(heartbeat, emergencies={}, refusals=(why,), facts=facts)))


def _judged(key: str, kind: str, size: int, raw: bytes) -> Heard:
    """Say what a key of the store is to us; one that expired in between is nothing at all."""
    if kind == "none":
        return Heard()
    if kind != "string":
        return no_heartbeat(key, f"is a {kind}, should be a string")
    if size > MOST_BYTES:
        return no_heartbeat(key, f"has {size:,} bytes, more than any heartbeat")
    return heard(key, raw)
