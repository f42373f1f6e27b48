"""
What a replica holds: the rules and emergencies in force, where they came from, and what is wrong.

Knows neither sockets nor tasks: looks at the store, files and the time come in, the state comes out, together with
what has to be written back. The decisions themselves are `core.adopt` and `core.emergency`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from proxy.core.adopt import Adopt, WriteBack, condition_of, decide, decide_emergencies
from proxy.core.emergency import Emergency, interpret
from proxy.core.problems import Alarm, in_short
from proxy.core.rules import RuleSet, Side
from proxy.store.view import Found, Look

NOISE_S = 1.0


class Source(StrEnum):
    """Where the rules in force came from."""

    STORE = "store"
    SNAPSHOT = "snapshot"
    FILES = "files"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class State:
    """
    All that plans and status depend on, as of one moment.

    `held` is in force, whatever its source. `emergencies` are the keys of the store, `sides` what they and the
    emergency file mean, by component. `connected`: the last look at the store succeeded; `pushed`: the store tells
    of changes by itself; `read_once`: some look succeeded since the start; `read_at`: when, on the caller's clock.
    """

    held: RuleSet | None = None
    source: Source = Source.NONE
    emergencies: Mapping[str, Emergency] = field(default_factory=dict)
    sides: Mapping[str, Side] = field(default_factory=dict)
    connected: bool = False
    pushed: bool = False
    read_once: bool = False
    read_at: float | None = None
    alarms: tuple[Alarm, ...] = ()

    def plans_like(self, other: State) -> bool:
        """Say whether every request gets the same plan under both states."""
        return (
            self.held is other.held
            and self.source is other.source
            and self.read_once is other.read_once
            and self.sides == other.sides
            and _raw(self.emergencies) == _raw(other.emergencies)
        )


@dataclass(frozen=True, slots=True)
class Restore:
    """What the store lost: the rules (None: it has them) and emergencies, to go back if it still is as `found`."""

    found: Found
    rule_set: RuleSet | None
    emergencies: Mapping[str, Emergency]
    run_id: str = ""


@dataclass(frozen=True, slots=True)
class Memory:
    """What a snapshot remembers, to tell whether another one is due."""

    rule_set: RuleSet | None = None
    raw: Mapping[str, str] = field(default_factory=dict)
    ends: Mapping[str, float] = field(default_factory=dict)


class Holding:
    """What one replica holds; every method is immediate, `now` is a monotonic clock in seconds."""

    def __init__(self) -> None:
        self._held: RuleSet | None = None  # from the store or a snapshot of it: what files say is not held
        self._source = Source.NONE
        self._files: RuleSet | None = None
        self._emergencies: dict[str, Emergency] = {}
        self._ends: dict[str, float] = {}  # of those with a lifetime
        self._file_emergencies: Mapping[str, Emergency] = {}
        self._run: str | None = None  # of the server that last held everything that is held here
        self._read_at: float | None = None
        self._connected = False
        self._alarms: dict[str, Alarm | None] = {}
        self.pushed = False

    @property
    def held(self) -> RuleSet | None:
        """The rules that came from the store, now or before a restart; to be kept in snapshots."""
        return self._held

    @property
    def components(self) -> tuple[str, ...]:
        """The names of the components in force."""
        rules = self._held or self._files
        return tuple(rules.components) if rules is not None else ()

    def restore(self, rule_set: RuleSet | None, emergencies: Mapping[str, Emergency], now: float) -> None:
        """Begin with what a snapshot remembers."""
        self._held = rule_set
        self._source = Source.SNAPSHOT if rule_set is not None else Source.NONE
        self._put(emergencies, emergencies, now)

    def offer_files(self, rule_set: RuleSet | None) -> None:
        """Say what the rule files would make: in force as long as there is nothing better."""
        self._files = rule_set

    def emergency_file(self, emergencies: Mapping[str, Emergency]) -> None:
        """Say which emergencies the file names: they count where the store has none."""
        self._file_emergencies = emergencies

    def alarm(self, topic: str, alarm: Alarm | None) -> None:
        """Raise, replace or lift the one alarm of a topic."""
        self._alarms[topic] = None if alarm is None else in_short(alarm)

    def away(self, why: str) -> None:
        """Note that a look failed: everything stays in force."""
        self._connected = False
        self.alarm("store", Alarm("store_away", why))

    def take(self, look: Look, now: float) -> Restore | None:
        """Note what a look found and decide what comes into force; returns what has to be written back."""
        same_run = self._run is None or look.run_id == self._run
        decision = decide(self._held, look.found.read, same_run=same_run)
        if isinstance(decision, Adopt):
            self._held = decision.rule_set
        if self._held is not None and look.found.rule_set == self._held:
            self._source = Source.STORE
        held = self.remaining(now)
        decided = decide_emergencies(held, look.emergencies, condition_of(decision), same_run=same_run)
        self._put(decided.in_force, look.emergencies, now)
        if not decided.restore:
            self._run = look.run_id
        self._connected, self._read_at = True, now
        self.alarm("store", decision.alarm)
        lost_rules = self._held if isinstance(decision, WriteBack) else None
        if lost_rules is None and not decided.restore:
            return None
        return Restore(look.found, lost_rules, decided.restore, look.run_id)

    def restored(self, restore: Restore) -> None:
        """Note that all of it went back: from now on an emergency that is gone was ended by somebody."""
        self._run = restore.run_id

    def expire(self, now: float) -> bool:
        """Drop the emergencies whose time is over; says whether there were any."""
        over = [name for name, end in self._ends.items() if end <= now]
        for name in over:
            del self._ends[name], self._emergencies[name]
        return bool(over)

    @property
    def next_end(self) -> float | None:
        """When the next emergency ends by itself."""
        return min(self._ends.values(), default=None)

    def remaining(self, now: float) -> dict[str, Emergency]:
        """Return the emergencies in force, each with the time that remains."""
        left = {name: round((end - now) * 1000) for name, end in self._ends.items()}
        return {
            name: replace(each, pttl_ms=left[name]) if name in left else each
            for name, each in self._emergencies.items()
            if left.get(name, 1) > 0
        }

    def differs(self, saved: Memory) -> bool:
        """Say whether something else would be in a snapshot now; a lifetime is measured anew with each look."""
        mine = self.memory
        return (
            mine.rule_set is not saved.rule_set
            or mine.raw != saved.raw
            or mine.ends.keys() != saved.ends.keys()
            or any(abs(end - saved.ends[name]) > NOISE_S for name, end in mine.ends.items())
        )

    @property
    def memory(self) -> Memory:
        """What a snapshot made now would remember."""
        return Memory(self._held, _raw(self._emergencies), dict(self._ends))

    def state(self, now: float) -> State:
        """Return all of it as one frozen value."""
        rules = self._held if self._held is not None else self._files
        source = self._source if self._held is not None else (Source.FILES if self._files is not None else Source.NONE)
        emergencies = self.remaining(now)
        meant = interpret(emergencies, rules.components if rules is not None else {}, self._file_emergencies)
        return State(
            held=rules,
            source=source,
            emergencies=emergencies,
            sides=meant.sides,
            connected=self._connected,
            pushed=self.pushed,
            read_once=self._read_at is not None,
            read_at=self._read_at,
            alarms=(*(alarm for alarm in self._alarms.values() if alarm is not None), *meant.alarms),
        )

    def _put(self, in_force: Mapping[str, Emergency], fresh: Mapping[str, Emergency], now: float) -> None:
        """Take over emergencies; the end of one that is not `fresh` stays as it was."""
        ends = {name: now + each.pttl_ms / 1000 for name, each in fresh.items() if each.pttl_ms is not None}
        kept = {name: end for name, end in self._ends.items() if name in in_force and name not in fresh}
        self._emergencies, self._ends = dict(in_force), kept | ends


def _raw(emergencies: Mapping[str, Emergency]) -> dict[str, str]:
    return {name: each.raw for name, each in emergencies.items()}
