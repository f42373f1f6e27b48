"""
Clusters of mismatches in the store: what all replicas saw, counted, with a few examples of each.

A batch counts once, however often it is sent. What comes in was made by `core.clusters` and has no value of a message
in it; of entities only hashes are sent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from time import time
from typing import Any, Literal

import orjson

from proxy.core.brief import brief
from proxy.core.clusters import (
    MOST_CLUSTERS,
    MOST_EXAMPLES,
    PATH_LIMIT,
    Fingerprint,
    Sighting,
    catch_all,
    is_id,
    written,
)
from proxy.store.events import STREAM as EVENTS
from proxy.store.events import Event, happened, stamp
from proxy.store.link import Link, Refused, paired, text_of
from proxy.store.scripts import load_script

KEPT_S = 7 * 86_400  # since a cluster was seen last
RECORD = load_script("mismatches", "token")
LOOK = load_script("mismatchlook")
CLOSE = load_script("mismatchclose", "token")
_AT_ONCE = 50  # components that are read in one call
_FOUND = "mismatch_found"


@dataclass(frozen=True, slots=True)
class Batch:
    """
    What one replica saw of one component since its last batch; `number` grows with each batch of a replica.

    A batch that may have got lost is sent again with the same number. A few hundred sightings are a good size.
    """

    component: str
    replica: str
    number: int
    sightings: Sequence[Sighting]


@dataclass(frozen=True, slots=True)
class Cluster:
    """One cluster as all replicas have seen it; times are RFC 3339, `entities` estimates how many distinct ones."""

    id: str
    component: str
    route: str
    path: str
    kind: str
    shape: str
    count: int
    entities: int
    first_seen: str
    last_seen: str
    status: Literal["open", "closed"]
    reopened: int = 0  # how often it was seen again after it had been closed
    closed_by: str = ""
    closed_why: str = ""
    closed_at: str = ""


class MismatchStore:
    """The clusters of one namespace."""

    def __init__(self, link: Link, *, clock: Callable[[], float] = time) -> None:
        self._link = link
        self._clock = clock

    async def record(self, batch: Batch) -> tuple[Event, ...]:
        """
        Take a batch, all of it or nothing; raises StoreError.

        Returns the events that it made, which stand in the stream already: a cluster was found, or seen again after it
        had been closed. None for a batch that was taken before.
        """
        name = batch.component
        other = self._found(catch_all(name), batch.replica)
        events = [self._found(each.of, batch.replica) for each in batch.sightings]
        words: list[str | bytes | int] = [batch.number, KEPT_S, MOST_CLUSTERS, MOST_EXAMPLES, name, catch_all(name).id]
        words += _event_words(other)
        for sighting, event in zip(batch.sightings, events, strict=True):
            of = sighting.of
            words += [
                of.id,
                of.route,
                brief(of.path, PATH_LIMIT),
                of.kind,
                of.shape,
                sighting.entity.to_bytes(8, "big"),
            ]
            words += [stamp(sighting.at_s), written(sighting.example), *_event_words(event)]
        keys = [self._key(name), self._key(name, f"took:{batch.replica}"), self._link.key(EVENTS)]
        told = await self._link.run(RECORD, keys, words)
        if not isinstance(told, list):
            return ()
        pairs = zip(told[::2], told[1::2], strict=True)
        return tuple(_of_kind(events[number - 1] if number else other, text_of(kind)) for number, kind in pairs)

    async def read(self, components: Iterable[str]) -> list[Cluster]:
        """Return the clusters of some components, those seen last first; raises StoreError."""
        found = await self._look(tuple(components), "")
        return sorted(found, key=lambda each: each.last_seen, reverse=True)

    async def find(self, id: str, components: Iterable[str]) -> Cluster | None:
        """Return one cluster, None if no component has it; raises StoreError."""
        if not is_id(id):
            return None
        found = await self._look(tuple(components), id)
        return found[0] if found else None

    async def examples(self, cluster: Cluster) -> list[dict[str, Any]]:
        """Return the examples of a cluster, the newest first; raises StoreError."""
        try:
            texts = await self._link.call("LRANGE", self._key(cluster.component, f"{cluster.id}:examples"), 0, -1)
        except Refused as exc:
            if exc.code != "WRONGTYPE":
                raise
            return []
        found = [_json(text) for text in texts[:MOST_EXAMPLES]]
        return [each for each in found if isinstance(each, dict)]

    async def close(self, cluster: Cluster, *, who: str, why: str) -> bool:
        """Close a cluster until it is seen again; say whether it was open and there; raises StoreError."""
        now = self._clock()
        facts = {"id": cluster.id, "route": cluster.route, "path": cluster.path, "difference": cluster.kind}
        event = happened(now, "mismatch_closed", cluster.component, who, why, **facts)
        keys = [self._key(cluster.component, cluster.id), self._link.key(EVENTS)]
        return bool(await self._link.run(CLOSE, keys, [event.who, event.why, stamp(now), *event.words()]) == 1)

    async def _look(self, components: Sequence[str], id: str) -> list[Cluster]:
        found = []
        for begin in range(0, len(components), _AT_ONCE):
            names = components[begin : begin + _AT_ONCE]
            told = await self._link.run(LOOK, [self._key(name) for name in names], [id, MOST_CLUSTERS + 1])
            found += [_cluster(names[each[0] - 1], *each[1:]) for each in told if is_id(text_of(each[1]))]
        return found

    def _found(self, of: Fingerprint, who: str) -> Event:
        facts = {
            "id": of.id,
            "route": of.route,
            "path": brief(of.path, PATH_LIMIT),
            "difference": of.kind,
            "shape": of.shape,
        }
        return happened(self._clock(), _FOUND, of.component, who, "", **facts)

    def _key(self, component: str, rest: str = "") -> str:
        return self._link.key(f"{{{component}}}:mismatches" + (f":{rest}" if rest else ""))


def _event_words(event: Event) -> list[str | int]:
    """Return the words of an event behind their count, without its kind: the script knows that."""
    words = event.words()[2:]
    return [len(words), *words]


def _of_kind(event: Event, kind: str) -> Event:
    return Event(kind, event.component, event.who, event.why, event.at, event.mark, event.facts)


def _cluster(component: str, id: bytes, flat: Sequence[bytes], entities: int) -> Cluster:
    """Read one; people may have written any field by hand."""
    words: Mapping[str, str] = paired(flat)
    count = max(1, _number(words.get("count", "")))
    texts = {name: words.get(name, "") for name in _TEXTS}
    return Cluster(
        id=text_of(id),
        component=component,
        count=count,
        entities=min(entities, count),
        status="closed" if words.get("status") == "closed" else "open",
        reopened=_number(words.get("reopened", "")),
        **texts,
    )


_TEXTS = ("route", "path", "kind", "shape", "first_seen", "last_seen", "closed_by", "closed_why", "closed_at")


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else 0


def _json(text: bytes) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
