"""
One running replica as the others see it: what it applies, whether it is ready, and what it says of itself.

The app fills it with its parts; the admin listener reads it. Turns a change of the store's state into the table and
the situations that the gateway plans by: one assignment, from within the event loop.
"""

from __future__ import annotations

import os
import secrets
import socket
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from proxy.behind import Behind
from proxy.core.breaker import Breaker, State
from proxy.core.brief import brief, told
from proxy.core.emergency import emergency_values
from proxy.core.instances import Change
from proxy.core.overload import Overload
from proxy.core.plan import PlanDefaults, Situation, Table, compile_table
from proxy.core.rules import RuleSet, Side
from proxy.core.stats import Counters
from proxy.core.status import drift_facts, heartbeat_facts
from proxy.gateway.breakers import Trip
from proxy.gateway.gateway import Gateway
from proxy.gateway.records import Records
from proxy.rulefiles import read_folder
from proxy.settings import Settings
from proxy.store.events import Events, happened, stamp
from proxy.store.fleet import Fleet, Heartbeat
from proxy.store.follower import Follower
from proxy.store.holding import Source
from proxy.store.holding import State as StoreState
from proxy.wire.listener import Listener
from proxy.wire.wheel import Wheel
from proxy.workers.certificates import Certificates
from proxy.workers.changes import Changes
from proxy.workers.clusters import Clusters
from proxy.workers.edits import rules_of
from proxy.workers.emergencyfile import EmergencyFile
from proxy.workers.files import FileFollower, FilesState
from proxy.workers.status import Reader

if TYPE_CHECKING:
    from aiohttp.web import BaseSite  # the command line reads this room, too

ALARM_EVERY_S = 60.0
ALARMS = {
    "write_to_readonly": "a write came to a readonly component; it went to legacy",
    "underscore_field": "a header field with `_` in its name was dropped",
    "reroute_field": "X-Original-URL or X-Rewrite-URL of a client was dropped: a side might serve what it names",
    "connections": "`limits.connections` is reached and none is idle: clients are turned away",
    "connections_idle": "`limits.connections` is reached: idle connections give way",
    "connections_per_address": "`limits.connections_per_address` is reached and none is idle: clients are turned away",
    "connections_per_address_idle": "`limits.connections_per_address` is reached: idle connections give way",
    "legacy_pool_full": "all `sides.legacy.limits.connections` are in use: requests went to modern or got 503",
    "modern_pool_full": "all `sides.modern.limits.connections` are in use: requests went to legacy or got 503",
    "no_descriptors": "no descriptor was free for a connection: raise `ulimit -n`, or lower `limits.connections`",
    "malformed_request": "what came to the admin or probes listener was no request that is understood; it got 400",
    "too_many_connections": "the admin or probes listener was full; the caller that waited longest lost its place",
}


def new_replica_id() -> str:
    """Return a name for this process that no other one has: host, pid, and chance."""
    return f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(2)}"


def plan_defaults(settings: Settings) -> PlanDefaults:
    """Return what the settings say about plans."""
    return PlanDefaults(
        legacy=settings.timeouts_of(Side.LEGACY),
        modern=settings.timeouts_of(Side.MODERN),
        ambiguous_paths=settings.ambiguous_paths,
        validators=settings.validators,
    )


class Replica:
    """The running process (the House of `admin`). Owns nothing: the app opens and closes its parts."""

    gateway: Gateway
    behind: Behind
    follower: Follower
    files: FileFollower
    listener: Listener
    wheel: Wheel
    changes: Changes
    reader: Reader
    clusters: Clusters

    def __init__(self, settings: Settings, build: str, replica_id: str, events: Events, fleet: Fleet) -> None:
        self.settings = settings
        self.build = build
        self.id = replica_id
        self.events = events
        self.fleet = fleet
        self.trips: Counters[tuple[str, str, str]] = Counters(("other", "other", "other"))
        self.turns: Counters[tuple[str, str]] = Counters(("other", "other"))  # of instances
        self.emergency_file: EmergencyFile | None = None
        self.certificates: Certificates | None = None
        self.ports: dict[str, tuple[str, int]] = {}
        self.draining = False
        self.leaving = False  # others have taken over
        self.doors: list[BaseSite] = []  # the listeners of probes and admin
        self.parent = ""  # of a process that is one of several
        self._started = stamp(time.time())
        self._defaults = plan_defaults(settings)
        self._compiled: RuleSet | None = None
        self._prepared: tuple[RuleSet, Table] | None = None
        self._heeded: dict[str, Side] = {}
        self._down: set[Side] = set()
        self._overload = Overload(settings.limits.loop_lag_s)
        self._alarms_told: dict[tuple[str, str], tuple[int, float]] = {}

    # What changes the plans

    def prepare(self, rule_set: RuleSet) -> None:
        """Compile rules that may come into force next; to be called in a thread, as many rules take their time."""
        self._prepared = rule_set, compile_table(rule_set, self._defaults)

    def follow(self, state: StoreState) -> None:
        """Plan by another state of the store from the next request on."""
        table = self.gateway.table
        try:
            if state.held is not self._compiled:
                self._compiled = state.held
                table = self._table_of(state.held)
                self._log_rules(state)
        finally:  # emergencies are heeded under rules that cannot be compiled, too
            self.gateway.follow(table, state.sides, self._store_lost(state))
        self._tell_of_emergencies(state.sides)
        self.fleet.poke()
        if state.connected:
            self.files.poke()

    def _table_of(self, held: RuleSet | None) -> Table:
        """Return the table of rules: the one that was prepared for them, else a new one."""
        prepared, self._prepared = self._prepared, None
        if prepared is not None and prepared[0] is held:
            return prepared[1]
        return compile_table(held, self._defaults)

    def _log_rules(self, state: StoreState) -> None:
        """Say in the log from when on which rules are in force here; the stream has their publication already."""
        held = state.held
        if held is not None:
            facts = {"version": held.version, "epoch": held.epoch, "source": state.source.value}
            self.events.logged(happened(time.time(), "rules_applied", None, held.who, held.why, **facts))

    def _tell_of_emergencies(self, sides: Mapping[str, Side]) -> None:
        """Tell of emergencies that begin and end here: a key that somebody set by hand leaves no other trace."""
        before, self._heeded = self._heeded, dict(sides)
        for name, side in sides.items():
            if before.get(name) is not side:
                self.events.append("emergency_heeded", name, why=f"all its reads go to {side}", to=side.value)
        for name in before.keys() - sides.keys():
            self.events.append("emergency_over", name, why="its reads go by the rules again", to=before[name].value)

    def tripped(self, trip: Trip) -> None:
        """Tell of a breaker that changed its state."""
        if trip.state is State.OPEN:
            self.trips.add((trip.component, trip.side.value, trip.cause.value))
        facts = {"side": trip.side.value, "cause": trip.cause.value}
        self.events.append(f"breaker_{trip.state}", trip.component, why=f"{trip.side}: {trip.cause}", **facts)
        self.fleet.poke()

    def instance_changed(self, side: Side, change: Change) -> None:
        """Tell of an instance that is asked no more, or again, and let plans know whether its side has any left."""
        pool = self.gateway.pools[side]
        place = str(pool.instances[change.index].place)
        self.turns.add((side.value, change.turn.value))
        self.events.append(f"instance_{change.turn}", why=f"{side}: {place}: {change.why}", side=side.value, at=place)
        down = pool.roster.is_down
        if down is not (side in self._down):
            self._down ^= {side}
            self.gateway.breakers.side_is(side, down)
            what = "has no healthy instance: its reads go elsewhere where they may" if down else "has one again"
            self.events.append("side_down" if down else "side_up", why=f"{side} {what}", side=side.value)
        self.fleet.poke()

    def turned(self, lag_s: float) -> None:
        """Take how late the event loop was at one turn; a process that is late again and again refuses reads."""
        if self._overload.turned(lag_s):
            overloaded = self._overload.is_on
            self.gateway.heed_load(overloaded)
            what = f"the event loop is {lag_s:.1f} s late" + (": reads get 503" if overloaded else "")
            self.events.append("overloaded" if overloaded else "overload_over", why=what)
            self.fleet.poke()

    def report_alarms(self, now: float) -> None:
        """Tell of what should not happen and did (a write to a readonly component), at most once a minute each."""
        for label, count in self.records.alarms.items():
            before, told_at = self._alarms_told.get(label, (0, float("-inf")))
            if count > before and now >= told_at + ALARM_EVERY_S:
                self._alarms_told[label] = (count, now)
                component, what = label
                self.events.append(what, component or None, why=ALARMS.get(what, what), count=count - before)

    def files_changed(self, state: FilesState) -> None:
        """Take what the files make as the last resort, and let the others know of what is refused."""
        self.follower.offer_files(state.rules)
        self.fleet.poke()

    def offer_files(self) -> None:
        """Take the files as they are before the store was asked for the first time."""
        folder = read_folder(self.settings.rules)
        rules = rules_of(folder, epoch="files", who=self.id, why="files", at=self._started)
        self.follower.offer_files(rules)

    def held_from_store(self) -> RuleSet | None:
        """Return the rules in force if they came from the store or a snapshot of it, not from files alone."""
        state = self.follower.state
        return state.held if state.source in (Source.STORE, Source.SNAPSHOT) else None

    def _store_lost(self, state: StoreState) -> bool:
        """Whether nobody knows what is published: a cold start from files alone."""
        if self.settings.cold_start == "trust-files" or state.read_once:
            return False
        return state.source in (Source.FILES, Source.NONE)

    # What admin reads

    @property
    def state(self) -> StoreState:
        """What this process holds, and what it knows of the store."""
        return self.follower.state

    @property
    def age_s(self) -> float | None:
        """How long ago the store was read last, None if it never was."""
        return self.follower.age_s

    @property
    def table(self) -> Table:
        """The compiled rules in force."""
        return self.gateway.table

    @property
    def situations(self) -> Sequence[Situation]:
        """What stands against each component of `table`, in its order."""
        return self.gateway.breakers.situations

    @property
    def records(self) -> Records:
        """The counts of the gateway."""
        return self.gateway.records

    @property
    def breakers(self) -> Mapping[tuple[str, Side], Breaker]:
        """The breakers by component and side."""
        return self.gateway.breakers.breakers

    @property
    def connections(self) -> int:
        """How many clients are connected."""
        return len(self.listener.clients)

    @property
    def loop_lag_s(self) -> float:
        """How late the event loop was at the last turn."""
        return self.wheel.lag_s

    @property
    def pending_requests(self) -> Mapping[Side, int]:
        """How many requests wait for a connection to each side."""
        return {side: pool.pending for side, pool in self.gateway.pools.items()}

    @property
    def instances(self) -> Mapping[tuple[Side, str], tuple[bool, int]]:
        """Whether each instance of each side may be asked, and how many requests it has, by side and host:port."""
        found = {}
        for side, pool in self.gateway.pools.items():
            out = {index for index, _ in pool.roster.troubles()}
            for each in pool.instances:
                found[side, str(each.place)] = (each.index not in out, each.requests)
        return found

    @property
    def shadow_outcomes(self) -> Mapping[tuple[str, str], Mapping[str, int]]:
        """What became of shadow reads, by component and route."""
        return {(tally.component, tally.route): tally.total for tally in self.behind.tallies}

    @property
    def shadow_waiting(self) -> Mapping[Side, int]:
        """How many reads wait to be asked of each side behind their answers."""
        return {side: len(load.waiting) for side, load in self.behind.shadows.loads.items()}

    @property
    def shadow_share(self) -> Mapping[Side, float]:
        """How much of its shadow reads each side gets."""
        return {side: load.back_off.share for side, load in self.behind.shadows.loads.items()}

    @property
    def second_looks(self) -> int:
        """How many differences wait to be looked at again."""
        return self.behind.sandwiches.waiting

    def troubles(self) -> tuple[str, ...]:
        """What this replica does not take as it stands, and why."""
        state = self.follower.state
        found = [alarm.why for alarm in state.alarms]
        found += [f"{each.component}: {each.problem}" for each in self.files.state.refused]
        if self.files.state.fault:
            found.append(self.files.state.fault)
        if self.files.state.waiting:
            found.append(f"edits of rule files wait: {self.files.state.waiting}")
        if self.emergency_file is not None and self.emergency_file.problem:
            found.append(self.emergency_file.problem)
        if self._overload.is_on:
            found.append(f"it has more to do than it gets done ({self.loop_lag_s:.1f} s late): reads get 503")
        for side, pool in self.gateway.pools.items():
            found += [f"{side}: no instance is healthy"] if side in self._down else []
            found += [f"{side}: {pool.instances[index].place}: {why}" for index, why in pool.roster.troubles()]
        if self.certificates is not None:
            found += self.certificates.problems
        return told(found)

    def heartbeat(self) -> Heartbeat:
        """Return what this replica says of itself to the others."""
        state = self.follower.state
        held = state.held
        skew = {name: busiest.share() for name, busiest in self.records.sticky.items() if busiest.total >= 100}
        unclaimed = [(brief(path.decode("latin-1")), count) for path, count in self.records.unclaimed.top(20)]
        return Heartbeat(
            id=self.id,
            host=socket.gethostname(),
            pid=os.getpid(),
            parent=self.parent,
            build=self.build,
            started=self._started,
            at=stamp(time.time()),
            version=held.version if held is not None else 0,
            epoch=held.epoch if held is not None else "",
            source=state.source.value,
            lag_s=round(self.follower.age_s or 0.0, 3),
            emergencies=emergency_values(state.emergencies),
            refusals=self.troubles(),
            breakers=tuple(f"{name}/{side}" for (name, side), each in self.breakers.items() if each.avoided),
            facts=heartbeat_facts(
                connected=state.connected,
                alarms=state.alarms,
                refused=self.files.state.refused,
                skew=skew,
                unclaimed=unclaimed,
                sides=state.sides,
                down=self._down,
            )
            | drift_facts((each.component, each.file, each.why) for each in self.files.state.drifts),
        )

    def addresses(self) -> dict[str, str]:
        """Return where this replica listens, by listener."""
        return {name: f"{host}:{port}" for name, (host, port) in self.ports.items()}
