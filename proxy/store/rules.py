"""
The rules in the store: read, published by compare-and-set, with their history.

Every way to change a rule ends in `publish`. Decides neither whether a change is wise (`core.checks`) nor what a
replica does with what it reads (`core.adopt`).
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from time import time
from typing import Any

from proxy.core.adopt import Missing, Refused, forged_words, is_forged, next_version
from proxy.core.emergency import Emergency
from proxy.core.errors import Conflict, NotAllowed, StoreError
from proxy.core.merge import origins_after
from proxy.core.rules import Component, Origin, RuleSet, dump_rule_set, parse_rule_set
from proxy.store.events import STREAM as EVENTS
from proxy.store.events import Event, happened, stamp
from proxy.store.fleet import Fleet
from proxy.store.history import Publication, publication_of, read_publication, taken_back, words_of
from proxy.store.link import Link
from proxy.store.link import Refused as RefusedByStore
from proxy.store.scripts import load_script
from proxy.store.view import EMERGENCY, RULES, Found, View

HISTORY = "rules:history"
PUBLISH = load_script("publish", "token")
TRIES = 20
HISTORY_READ = 1_000
DOCUMENT_BYTES = 8 * 1024 * 1024  # as in token.lua: what is larger would be refused by every replica


class RuleStore:
    """The published rules of one namespace; any number of replicas and verbs may publish at once."""

    def __init__(self, link: Link, *, clock: Callable[[], float] = time) -> None:
        self._link = link
        self._view = View(link)
        self._fleet = Fleet(link)
        self._clock = clock

    async def load(self) -> Found:
        """Return what the store holds: a rule set, nothing, or why it is refused; StoreError when it is away."""
        return await self._view.rules()

    async def publish(
        self, rule_set: RuleSet, *, expect: int | None, who: str, why: str, above: int = 0, **facts: Any
    ) -> RuleSet:
        """
        Publish the components and files of `rule_set`, and return it as published: version, time and origins set.

        `expect` is the version that it was made from, 0 for a store without rules, None to replace whatever is
        there. `above`: a version that the caller holds; the new one exceeds it and the one in the store. `facts` go
        into the event. Raises Conflict when the store holds another version; NotAllowed when it holds another epoch,
        none, or a version that no live replica follows; ConfigError for what no replica would take; StoreError when
        it is away, full or read-only. Nothing was written then, unless a store that went away in the middle had taken
        it already.
        """
        for _ in range(TRIES):
            highest = await self._fleet.highest(rule_set.epoch)
            found = await self.load()
            before = _expected(found, rule_set, expect, highest)
            ready = await asyncio.to_thread(self._next, rule_set, before, who, why, above)
            words = await asyncio.to_thread(self._written, before, ready, facts)
            if await self._run(found.token, *words, {}):
                return ready
        raise StoreError("the rules change all the time; nothing was published")

    async def change(
        self, made: Callable[[RuleSet], RuleSet], *, expect: int | None = None, who: str, why: str, above: int = 0
    ) -> RuleSet:
        """
        Publish what `made` makes of the published rules; what it raises is passed on and nothing is published.

        When somebody else publishes in between, it is asked again with the new rules, unless `expect` is given.
        Raises as `publish` does.
        """
        for tried in range(TRIES):
            current = _required(await self.load())
            if expect is not None and current.version != expect:
                raise Conflict(expect, current.version)
            try:
                return await self.publish(made(current), expect=current.version, who=who, why=why, above=above)
            except Conflict:
                if expect is not None:
                    raise
                await asyncio.sleep(random.uniform(0, 0.01 * 2 ** min(tried, 5)))
        raise StoreError("the rules change all the time; nothing was published")

    async def taken_back(self, current: RuleSet, version: int | None = None) -> dict[str, Component]:
        """
        Return the components of `current` without what the last publication, or that of `version`, changed.

        Raises NotAllowed when the history has nothing that it changed, and then names the last change, or when one of
        its fields changed again since; and StoreError.
        """
        wanted = current.version if version is None else version
        entries = [each for each in await self.history(HISTORY_READ) if each.epoch == current.epoch and each.changes]
        for entry in entries:
            if entry.version == wanted:
                return taken_back(current, entry)
        last = _last(current, entries)
        raise NotAllowed(f"the history has nothing of version {wanted} that could be taken back{last}")

    async def history(self, count: int = 20) -> list[Publication]:
        """Return the last `count` publications, the newest first; raises StoreError."""
        try:
            entries = await self._link.last(HISTORY, count)
        except RefusedByStore as exc:
            if exc.code == "WRONGTYPE":
                return []
            raise
        read = (read_publication(entry) for entry in entries)
        return [publication for publication in read if publication is not None]

    async def write_back(
        self, found: Found, held: RuleSet | None, emergencies: Mapping[str, Emergency], event: Event
    ) -> bool:
        """
        Put a held rule set (None: leave the rules) and lost emergencies back, if the store is still as `found`.

        Returns whether it was; an emergency that is there by then stays as it is. Raises StoreError.
        """
        document = await asyncio.to_thread(dump_rule_set, held) if held is not None else b""
        return await self._run(found.token, document, [], event, emergencies)

    def _next(self, rule_set: RuleSet, before: RuleSet | None, who: str, why: str, above: int) -> RuleSet:
        at = stamp(self._clock())
        version = next_version((before.version if before is not None else 0, above))
        origin = Origin(who=who, at=at, version=version, why=why)
        values = {"version": version, "who": who, "why": why, "at": at}
        values |= {
            "origins": origins_after(before, rule_set.components, origin),
            "seed": before is None and rule_set.seed,
        }
        return rule_set.model_copy(update=values)

    def _written(
        self, before: RuleSet | None, ready: RuleSet, facts: Mapping[str, Any]
    ) -> tuple[bytes, list[str], Event]:
        """Return document, entry of the history and event; raises for a document that replicas would refuse."""
        document = dump_rule_set(ready)
        if len(document) > DOCUMENT_BYTES:
            raise NotAllowed(f"the rules have {len(document)} bytes, more than the {DOCUMENT_BYTES} that replicas take")
        parse_rule_set(document, self._link.key(RULES))
        publication = publication_of(before, ready)
        told = {"version": ready.version, "changes": [str(change) for change in publication.changes], **facts}
        event = happened(self._clock(), "rules_published", None, ready.who, ready.why, **told)
        return document, words_of(publication), event

    async def _run(
        self, token: str, document: bytes, history: list[str], event: Event, emergencies: Mapping[str, Emergency]
    ) -> bool:
        names = [self._link.key(EMERGENCY + name) for name in emergencies]
        keys = [self._link.key(RULES), self._link.key(HISTORY), self._link.key(EVENTS), *names]
        words = event.words()
        values = [part for each in emergencies.values() for part in (each.raw, each.pttl_ms or 0)]
        args = [token, document, len(history), *history, len(words), *words, *values]
        done, _ = await self._link.run(PUBLISH, keys, args)
        return bool(done)


def _expected(found: Found, rule_set: RuleSet, expect: int | None, highest: int) -> RuleSet | None:
    """Return the rule set that is to be replaced, None where there is none; raises if that is not as expected."""
    if isinstance(found.read, Missing):
        if expect:
            raise Conflict(expect, 0)
        if not rule_set.seed:
            raise NotAllowed("the store has no rules: replicas write theirs back within 5 s, or seed them from files")
        return None
    current = _required(found)
    if expect is not None and current.version != expect:
        raise Conflict(expect, current.version)
    if current.epoch != rule_set.epoch:
        raise NotAllowed(f"the store holds rules of another epoch ({current.epoch}, not {rule_set.epoch})")
    if current.version < highest:
        went = f"the store went back to version {current.version}, while replicas hold {highest}"
        raise NotAllowed(f"{went}: they write it back within 5 s; repeat the change then")
    if is_forged(current.version, highest):
        mend = "they write theirs back within 5 s; repeat the change then" if highest else "delete the key `rules`"
        raise NotAllowed(f"{forged_words(current.version, highest)}: {mend}")
    return current


def _last(current: RuleSet, entries: Sequence[Publication]) -> str:
    """Name the last change of those in `entries`, unless it is the first publication: without it nothing is left."""
    if not entries:
        return ""
    made = {each.component for each in entries[0].changes if each.edit.path == ("component",)}
    if made >= current.components.keys():
        return ""
    return f"; `rules undo {entries[0].version}` takes back the last change"


def _required(found: Found) -> RuleSet:
    if isinstance(found.read, Refused):
        raise StoreError(f"the store holds no rules that this build can change: {found.read.why}")
    if found.rule_set is None:
        raise NotAllowed("the store has no rules: replicas write theirs back within 5 s, or seed them from files")
    return found.rule_set
