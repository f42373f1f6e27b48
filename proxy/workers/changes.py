"""
An operator's wishes carried out: read what is in force, decide (`core.changes`), publish; or set an emergency key.

Shared by the command line and the admin listener, so that both mean the same. Nothing is queued: what the store did
not take did not happen, and the error says so. Decisions are made in a thread: many rules take their time.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from proxy.core import changes
from proxy.core.adopt import Missing, Refused, strangers
from proxy.core.changes import Draft, Drift, FileState, LiveChanges
from proxy.core.emergency import ALL, Emergency, interpret, still_heeded
from proxy.core.errors import Conflict, NotAllowed, StoreError
from proxy.core.push import push
from proxy.core.rules import Component, Phase, RuleSet, Side
from proxy.store.emergencies import Emergencies
from proxy.store.fleet import Fleet
from proxy.store.rules import HISTORY_READ, RuleStore

TRIES = 2  # a second one when somebody else published in between, unless the operator named the version


@dataclass(frozen=True, slots=True)
class By:
    """Whose wish it is and why; `expect` is the version that it was made for, None for whichever is live."""

    who: str
    why: str = ""
    expect: int | None = None


@dataclass(frozen=True, slots=True)
class Done:
    """
    What became of a wish.

    `version` is that of the rules in force now, 0 if there are none; `changed` whether there was anything to do;
    `what` has one sentence for each thing that changed.
    """

    version: int
    changed: bool
    what: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Pushed(Done):
    """What became of a push; `drifts` is where live values are others than the files say, which it left so."""

    drifts: tuple[Drift, ...] = ()


Decide = Callable[[RuleSet], Awaitable[Draft]]


class Changes:
    """
    All that an operator may change while gateways run.

    Everything raises BadWish for what makes no sense, NotAllowed for what is refused as things stand, ConfigError for
    rules that would not be valid, Conflict when `expect` is not live any more, StoreError when the store is away.
    """

    def __init__(
        self, rules: RuleStore, emergencies: Emergencies, fleet: Fleet, live_changes: LiveChanges = "all"
    ) -> None:
        self._rules = rules
        self._emergencies = emergencies
        self._fleet = fleet
        self._live_changes = live_changes

    async def weight(self, name: str, weight: object, by: By) -> Done:
        """Give modern another share of a component's reads, in percent."""

        async def decide(current: RuleSet) -> Draft:
            return await asyncio.to_thread(changes.set_weight, current, name, weight, self._live_changes)

        return await self._publish(decide, by)

    async def phase(self, name: str, phase: Phase | None, by: By) -> Done:
        """Move a component to another phase; None: it follows the weight."""

        async def decide(current: RuleSet) -> Draft:
            return await asyncio.to_thread(changes.set_phase, current, name, phase, self._live_changes)

        return await self._publish(decide, by)

    async def rollback(self, name: str, by: By) -> Done:
        """Take a component back, for all replicas, with a reason."""

        async def decide(current: RuleSet) -> Draft:
            return await asyncio.to_thread(changes.rollback, current, name, self._live_changes)

        return await self._publish(decide, by)

    async def undo(self, version: int | None, by: By) -> Done:
        """Take back what one version changed, the last one if none is named; what came after it stays."""

        async def decide(current: RuleSet) -> Draft:
            components = await self._rules.taken_back(current, version)
            return await asyncio.to_thread(changes.undo, current, components, self._live_changes)

        return await self._publish(decide, by)

    async def accept(self, by: By) -> Done:
        """Have replicas that hold rules of another epoch follow those that are published."""

        async def decide(current: RuleSet) -> Draft:
            return changes.accept(current, [replica.epoch for replica in await self._fleet.replicas()])

        return await self._publish(decide, by, for_strangers=True)

    async def push(self, files: Mapping[str, FileState], by: By, *, take_files: bool = False) -> Pushed:
        """Publish what was edited in the rule files, all of it or nothing; the first publication seeds the store."""
        drifts: tuple[Drift, ...] = ()

        async def decide(current: RuleSet) -> Draft:
            nonlocal drifts
            past = await self._rules.history(HISTORY_READ) if not take_files else ()
            told = [(each.component, each.edit) for one in past if one.epoch == current.epoch for each in one.changes]
            draft = await asyncio.to_thread(push, current, files, told, take_files=take_files)
            drifts = await asyncio.to_thread(changes.drift_of, draft.rules, files)
            return draft

        found = await self._rules.load()
        if not isinstance(found.read, Missing):
            done = await self._publish(decide, by)
            return Pushed(done.version, done.changed, done.what, done.warnings, drifts)
        draft = await decide(_nothing(by))
        if by.expect:
            raise Conflict(by.expect, 0)
        after = await self._rules.publish(draft.rules, expect=0, who=by.who, why=by.why)
        return Pushed(after.version, True, draft.sentences(), draft.warnings)

    async def emergency(self, name: str, side: Side | None, by: By, for_s: float | None = None) -> Done:
        """
        Send all reads of a component (or `all`) to one side, for `for_s` or until it is lifted; None lifts it.

        Works while the store holds no rules that can be read: then nobody can say whether the name is right.
        """
        found = await self._rules.load()
        version = found.rule_set.version if found.rule_set is not None else 0
        if side is None:
            return await self._lift(name, by, found.rule_set)
        warnings = _doubts(name, side, found.rule_set)
        before = await self._emergencies.set(name, side, who=by.who, why=by.why, for_s=for_s)
        lasts = "until it is lifted" if for_s is None else f"for {for_s:g} s"
        return Done(version, True, (f"emergency:{name}: {before or 'nothing'} → {side} {lasts}",), warnings)

    async def _lift(self, name: str, by: By, rules: RuleSet | None) -> Done:
        """End an emergency, also one that names no component; say what holds all the same."""
        components: Mapping[str, Component] = rules.components if rules is not None else {}
        keys = await self._emergencies.read(components)
        if name not in keys and rules is not None:
            _check_known(name, components)
        before = await self._emergencies.clear(name, who=by.who, why=by.why)
        warnings = still_heeded(name, {key: each for key, each in keys.items() if key != name}, components)
        if rules is not None and (others := strangers(rules, await self._held())):
            keep = f"{', '.join(others)}: holds rules of another epoch and keeps its emergencies"
            warnings = (*warnings, f"{keep} until `banyan rules accept`")
        what = () if before is None else (f"emergency:{name}: {before} → nothing",)
        return Done(rules.version if rules is not None else 0, before is not None, what, warnings)

    async def _publish(self, decide: Decide, by: By, *, for_strangers: bool = False) -> Done:
        """Publish what is decided; unless it is `for_strangers`, some replica has to follow it."""
        for attempt in range(1, TRIES + 1):
            current = await self.current()
            if by.expect is not None and by.expect != current.version:
                raise Conflict(by.expect, current.version)
            draft = await decide(current)
            doubts = () if for_strangers else changes.check_followed(current, await self._held())
            warnings = (*doubts, *draft.warnings)
            if not draft.is_change:
                return Done(current.version, False, (), warnings)
            try:
                after = await self._rules.publish(draft.rules, expect=current.version, who=by.who, why=by.why)
            except Conflict:
                if by.expect is not None or attempt == TRIES:
                    raise
            else:
                return Done(after.version, True, draft.sentences(), warnings)
        raise AssertionError("unreachable: the last try returns or raises")

    async def _held(self) -> dict[str, str]:
        """Return the epoch that each live replica holds; what came from files alone yields to anything published."""
        found = await self._fleet.replicas()
        return {each.id: "" if each.source == "files" else each.epoch for each in found}

    async def current(self) -> RuleSet:
        """Return the rules that are published."""
        read = (await self._rules.load()).read
        match read:
            case Refused():
                raise StoreError(f"the store holds no rules that this build can change: {read.why}")
            case Missing():
                raise NotAllowed("the store has no rules yet: start a gateway, or `banyan rules push`")
            case _:
                return read.rule_set


def _nothing(by: By) -> RuleSet:
    """Return the empty set that a first publication is made from."""
    at = "1970-01-01T00:00:00Z"  # of nothing; publishing sets its own
    return RuleSet(epoch=secrets.token_hex(8), version=1, seed=True, who=by.who, why=by.why, at=at)


def _doubts(name: str, side: Side, rules: RuleSet | None) -> tuple[str, ...]:
    """Refuse an emergency for a component that there is none of; return why it may not do what is meant."""
    if rules is None:
        return ("the store holds no rules that can be read: whether there is such a component is not known",)
    components: Mapping[str, Component] = rules.components
    _check_known(name, components)
    return tuple(alarm.why for alarm in interpret({name: Emergency(side, side.value)}, components).alarms)


def _check_known(name: str, components: Mapping[str, Component]) -> None:
    if name != ALL and name not in components:
        raise changes.Unknown(f"no component is called {name!r}{changes.hint_of(name, (*components, ALL))}")
