"""
The fleet: which replicas run, and what each of them applied. A key per replica that expires when it stops beating.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import orjson

from proxy.core.errors import StoreError
from proxy.core.model import MOST_VERSIONS
from proxy.core.scalars import is_deeper
from proxy.store.link import Link

BEAT_S = 3.0
LIVES_S = 10
DEPTH_LIMIT = 16  # what is deeper, or has a greater version, could be read and not be shown


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
        await self._link.call("SET", self._key(heartbeat.id), orjson.dumps(asdict(heartbeat)), "EX", LIVES_S)

    async def leave(self, replica: str) -> None:
        """Say that a replica ends; raises StoreError."""
        await self._link.call("DEL", self._key(replica))

    async def replicas(self) -> tuple[Heartbeat, ...]:
        """Return the replicas that beat within the last 10 s, by id; raises StoreError."""
        names = sorted(await self._link.names(self._key("")))
        values = await self._link.call("MGET", *names) if names else []
        found = (_heartbeat(name.removeprefix(self._key("")), raw) for name, raw in zip(names, values, strict=True))
        return tuple(heartbeat for heartbeat in found if heartbeat is not None)

    async def highest(self, epoch: str) -> int:
        """Return the highest version of this epoch that a live replica applies, 0 if none; raises StoreError."""
        return max((each.version for each in await self.replicas() if each.epoch == epoch), default=0)

    def _key(self, replica: str) -> str:
        return self._link.key(f"replica:{replica}")


_FIELDS = {each.name for each in fields(Heartbeat)}


def _heartbeat(replica: str, raw: bytes | None) -> Heartbeat | None:
    """Read a heartbeat of any build: unknown fields are left out, one that is none of ours is no replica."""
    try:
        said = orjson.loads(raw or b"")
        if is_deeper(said, DEPTH_LIMIT):
            return None
        known = {name: value for name, value in said.items() if name in _FIELDS}
        for name in ("refusals", "breakers"):
            known[name] = tuple(known.get(name, ()))
        version = int(known.get("version", 0))
        return Heartbeat(**{**known, "id": replica, "version": version}) if 0 <= version <= MOST_VERSIONS else None
    except (ValueError, TypeError, AttributeError, OverflowError):
        return None
