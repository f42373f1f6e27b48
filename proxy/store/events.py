"""
Events: what changed, who did it and why; what tripped and what recovered. A capped stream that all replicas share.

Each event is also one log line, at once; the stream gets it as soon as the store takes it. Never waits for the store
in `append`, so that anything may report, and forgets the oldest when the store is away for long: the log has them.
"""

from __future__ import annotations

import asyncio
import uuid
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from time import time
from typing import Any

import orjson
from structlog.typing import FilteringBoundLogger

from proxy.core.brief import bounded, brief
from proxy.core.errors import StoreError
from proxy.store.link import Link, Refused

STREAM = "events"
KEPT = 10_000
WAITING = 1_000
FIRST_S, MOST_S = 0.2, 5.0
QUIET = frozenset(  # what somebody asked for, and what is over; everything else is a warning in the log
    (
        "rules_published", "rules_applied", "emergency_set", "emergency_ended", "emergency_over", "alarm_over",
        "breaker_closed", "breaker_half_open", "certificate_taken", "file_accepted", "written_back",
        "rules_folder_readable", "instance_returned", "instance_healthy", "side_up", "overload_over",
        "mismatch_closed",
    )
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened; `mark` is the same when the same event was sent twice, `at` is RFC 3339."""

    kind: str
    component: str | None
    who: str
    why: str
    at: str
    mark: str
    facts: Mapping[str, Any] = field(default_factory=dict)

    def words(self) -> list[str]:
        """Return the event as the names and values of a stream's entry."""
        texts = {"kind": self.kind, "component": self.component or "", "who": self.who, "why": self.why}
        texts |= {"at": self.at, "mark": self.mark, "facts": orjson.dumps(self.facts, default=str).decode()}
        return [word for pair in texts.items() for word in pair]


def happened(now: float, kind: str, component: str | None, who: str, why: str, **facts: Any) -> Event:
    """Return an event of this moment, `now` in seconds since 1970; whatever it tells of is cut short."""
    name = None if component is None else brief(component)
    return Event(kind, name, brief(who), brief(why), stamp(now), uuid.uuid4().hex[:16], bounded(facts))


def stamp(now: float) -> str:
    """Return `now`, in seconds since 1970, as RFC 3339 in UTC."""
    return datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Events:
    """
    The stream of events, written and read; `run` is to be spawned by whoever appends for long.

    `who` is used for events that nobody in particular caused.
    """

    def __init__(self, link: Link, log: FilteringBoundLogger, *, who: str = "", clock: Callable[[], float] = time):
        self._link = link
        self._log = log
        self._who = who
        self._clock = clock
        self._waiting: deque[Event] = deque(maxlen=WAITING)
        self._some = asyncio.Event()

    @property
    def waiting(self) -> int:
        """How many events the store has not taken yet."""
        return len(self._waiting)

    def append(
        self, kind: str, component: str | None = None, who: str | None = None, why: str = "", **facts: Any
    ) -> None:
        """Report an event: a log line now, an entry of the stream as soon as the store takes it."""
        event = happened(self._clock(), kind, component, who or self._who, why, **facts)
        self.logged(event)
        self._waiting.append(event)
        self._some.set()

    def logged(self, event: Event) -> None:
        """Write the log line of an event that reaches the stream another way, with the change that it tells of."""
        write = self._log.info if event.kind in QUIET else self._log.warning
        write(event.kind, component=event.component, who=event.who, why=event.why, **event.facts)

    async def run(self) -> None:
        """Send what waits, for as long as this runs; tries again, more slowly each time, while the store is away."""
        pause_s = FIRST_S
        while True:
            await self._some.wait()
            try:
                await self.flush()
                pause_s = FIRST_S
            except StoreError:
                await asyncio.sleep(pause_s)
                pause_s = min(MOST_S, pause_s * 2)

    async def flush(self) -> None:
        """Send what waits; raises StoreError when the store does not take it, and then keeps the rest."""
        while self._waiting:
            event = self._waiting[0]
            await self._send(event)
            if self._waiting and self._waiting[0] is event:
                self._waiting.popleft()
        self._some.clear()

    async def tail(self, count: int = 20) -> list[Event]:
        """Return the last `count` events, the newest last, each once; raises StoreError."""
        try:
            entries = await self._link.last(STREAM, count + count // 2)
        except Refused as exc:
            if exc.code == "WRONGTYPE":
                return []
            raise
        found: dict[str, Event] = {}
        for entry in entries:
            event = _event(entry)
            found.setdefault(event.mark, event)
        return list(found.values())[:count][::-1]

    async def _send(self, event: Event) -> None:
        words = event.words()
        fields = dict(zip(words[::2], words[1::2], strict=True))
        try:
            await self._link.append(STREAM, fields, KEPT)
        except Refused as exc:
            if exc.code != "WRONGTYPE":
                raise
            await self._link.call("DEL", self._link.key(STREAM))  # whatever it is, it is no stream of ours
            await self._link.append(STREAM, fields, KEPT)


def _event(entry: Mapping[str, str]) -> Event:
    """Read an entry; one that people wrote by hand may lack any field."""
    try:
        facts = orjson.loads(entry.get("facts", "{}"))
    except orjson.JSONDecodeError:
        facts = {"facts": entry["facts"]}
    return Event(
        kind=entry.get("kind", ""),
        component=entry.get("component") or None,
        who=entry.get("who", ""),
        why=entry.get("why", ""),
        at=entry.get("at", ""),
        mark=entry.get("mark") or entry["id"],
        facts=facts if isinstance(facts, dict) else {"facts": facts},
    )
