"""
Following the store: every replica applies what is published and what people set by hand, within milliseconds.

The store tells of changes (CLIENT TRACKING in broadcast mode); a poll each second is the truth behind it; lifetimes
run out by our own clock. Whatever happens to the store, what is held stays in force, and goes back into a store that
lost it. Answers nothing itself: who plans reads `state`, which is there at any time.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Callable, Mapping

from structlog.typing import FilteringBoundLogger

from proxy.core.emergency import Emergency
from proxy.core.errors import StoreError
from proxy.core.problems import Alarm
from proxy.core.rules import RuleSet
from proxy.store.events import Events, happened
from proxy.store.holding import Holding, Memory, Restore, State
from proxy.store.link import Link, Refused
from proxy.store.rules import RuleStore
from proxy.store.snapshot import Snapshot
from proxy.store.view import EMERGENCY, RULES, Look, View

POLL_S = 1.0
FIRST_S, MOST_S = 0.1, 2.0  # of the pauses while the store is away: it has to be whole within 5 s of its return
GAP_S = 0.005  # between two looks, however often it is told of changes
SILENCE_S = 5.0  # after which the push connection is asked whether it lives
REFUSED_S = 30.0
SAVE_AGAIN_S = 30.0
HEAL_S = 0.8  # at most, before writing back: many replicas do not do it at once


class Follower:
    """
    Keeps one replica's state as the store says.

    `begin` once, then `run` for as long as the replica lives. `on_change` is called with the new state, in the event
    loop and without waiting for it, whenever a request could get another plan. `prepare` is called in a thread with
    each rule set of the store before that. Owns nothing that needs closing.
    """

    def __init__(
        self,
        link: Link,
        events: Events,
        log: FilteringBoundLogger,
        *,
        on_change: Callable[[State], None],
        prepare: Callable[[RuleSet], None] | None = None,
        snapshot: Snapshot | None = None,
        replica: str = "",
        poll_s: float = POLL_S,
        heal_s: float = HEAL_S,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._link = link
        self._view = View(link)
        self._rules = RuleStore(link, clock=wall)
        self._events = events
        self._log = log
        self._on_change = on_change
        self._prepare = prepare
        self._prepared: RuleSet | None = None
        self._snapshot = snapshot
        self._replica = replica
        self._poll_s = poll_s
        self._heal_s = heal_s
        self._clock = clock
        self._wall = wall
        self._holding = Holding()
        self._state = State()
        self._wake = asyncio.Event()
        self._unsaved = asyncio.Event()
        self._saved = Memory()
        self._failures = 0
        self._heal_at: float | None = None
        self._timer: asyncio.TimerHandle | None = None

    @property
    def state(self) -> State:
        """What is in force now."""
        return self._state

    @property
    def age_s(self) -> float | None:
        """How long ago the store was last read, None if it never was."""
        return None if self._state.read_at is None else self._clock() - self._state.read_at

    def remaining(self) -> dict[str, Emergency]:
        """Return the emergencies of the store, each with the time that remains now."""
        return self._holding.remaining(self._clock())

    def poke(self) -> None:
        """Look at the store at once: the caller has just changed it."""
        self._wake.set()

    def offer_files(self, rule_set: RuleSet | None) -> None:
        """Say what the rule files make: in force while there are neither published rules nor a snapshot of them."""
        self._holding.offer_files(rule_set)
        self._update()

    def emergency_file(self, emergencies: Mapping[str, Emergency]) -> None:
        """Say what the emergency file names, by component or `all`: it counts where the store says nothing."""
        self._holding.emergency_file(emergencies)
        self._update()

    async def begin(self, within_s: float = 1.0) -> State:
        """Take what the snapshot remembers, then look at the store once, for `within_s` at most; raises nothing."""
        if self._snapshot is not None:
            saved = await asyncio.to_thread(self._snapshot.load, self._wall())
            for warning in saved.warnings:
                self._log.warning("snapshot_passed_over", why=warning)
            self._holding.restore(saved.rule_set, saved.emergencies, self._clock())
            self._saved = self._holding.memory
        try:
            async with asyncio.timeout(within_s):
                await self._step()
        except TimeoutError:
            self._away(f"no answer within {within_s:g} s")
        return self._state

    async def run(self) -> None:
        """Follow, for as long as this runs."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._follow())
            group.create_task(self._listen())
            if self._snapshot is not None:
                group.create_task(self._save(self._snapshot))

    async def _follow(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._pause_s()):
                    await self._wake.wait()
            self._wake.clear()
            await self._step()
            await asyncio.sleep(GAP_S)

    def _pause_s(self) -> float:
        if self._failures:
            return jittered(self._failures)
        poll_s = self._poll_s * random.uniform(0.85, 1.0)
        return poll_s if self._heal_at is None else min(poll_s, max(0.0, self._heal_at - self._clock()))

    async def _step(self) -> None:
        """Look once, take it over, and write back what the store lost when it is time for it."""
        try:
            look = await self._look()
        except StoreError as exc:
            self._away(str(exc))
            return
        await self._get_ready(look.found.rule_set)
        self._failures = 0
        restore = self._holding.take(look, self._clock())
        if self._holding.differs(self._saved):
            self._unsaved.set()
        self._update()
        await self._heal(restore)

    async def _look(self) -> Look:
        look = await self._view.look(self._holding.components)
        if self._link.address.sentinels and look.role == "slave":
            await self._link.drop()
            raise StoreError("the store is a replica by now: asking the sentinels for the master")
        return look

    async def _get_ready(self, rule_set: RuleSet | None) -> None:
        """Have what is costly about a new rule set done beside the loop, so that it comes into force in one step."""
        if self._prepare is None or rule_set is None or rule_set is self._prepared:
            return
        self._prepared = rule_set
        with contextlib.suppress(Exception):  # `on_change` meets it again, and there it is reported
            await asyncio.to_thread(self._prepare, rule_set)

    def _away(self, why: str) -> None:
        self._failures += 1
        self._holding.away(why)
        self._update()

    async def _heal(self, restore: Restore | None) -> None:
        now = self._clock()
        if restore is None:
            self._heal_at = None
            self._holding.alarm("heal", None)
        elif self._heal_at is None:
            self._heal_at = now + random.uniform(0.0, self._heal_s)
        elif now >= self._heal_at:
            await self._write_back(restore)

    async def _write_back(self, restore: Restore) -> None:
        what = [f"version {restore.rule_set.version}"] if restore.rule_set is not None else []
        what += [f"emergency:{name}" for name in restore.emergencies]
        why = f"the store had lost it: {', '.join(what)}"
        event = happened(self._wall(), "written_back", None, self._replica, why)
        try:
            done = await self._rules.write_back(restore.found, restore.rule_set, restore.emergencies, event)
        except StoreError as exc:
            self._heal_at = self._clock() + random.uniform(1.0, 2.0)
            self._holding.alarm("heal", Alarm("write_back_failed", str(exc)))
            self._update()
            return
        self._heal_at = None
        if done:
            self._holding.restored(restore)
            self._events.logged(event)
        self._wake.set()

    async def _listen(self) -> None:
        failures = 0
        while True:
            try:
                async with self._link.pushes(self._link.key(EMERGENCY), self._link.key(RULES)) as pushes:
                    failures = 0
                    self._pushed(True, None)
                    while True:
                        names = await pushes.next(SILENCE_S)
                        if names is not None:
                            self._told(names)
            except Refused as exc:
                why = f"{exc}; changes are found by a look each {self._poll_s:g} s"
                self._pushed(False, Alarm("push_refused", why))
                await asyncio.sleep(REFUSED_S)
            except StoreError:
                failures += 1
                self._pushed(False, None)
                await asyncio.sleep(jittered(failures))

    def _pushed(self, pushed: bool, alarm: Alarm | None) -> None:
        self._holding.pushed = pushed
        self._holding.alarm("push", alarm)
        self._update()
        self._wake.set()  # what changed in between was not told

    def _told(self, names: tuple[str, ...]) -> None:
        prefix = self._link.key(EMERGENCY)
        self._view.expect(name.removeprefix(prefix) for name in names if name.startswith(prefix))
        self._wake.set()

    async def _save(self, snapshot: Snapshot) -> None:
        while True:
            await self._unsaved.wait()
            self._unsaved.clear()
            self._saved = memory = self._holding.memory
            if memory.rule_set is None:
                continue
            try:
                await asyncio.to_thread(snapshot.save, memory.rule_set, self.remaining(), self._wall())
            except StoreError as exc:
                self._holding.alarm("snapshot", Alarm("snapshot_failed", str(exc)))
                self._update()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(SAVE_AGAIN_S):
                        await self._unsaved.wait()
                self._unsaved.set()
            else:
                self._holding.alarm("snapshot", None)
                self._update()

    def _update(self) -> None:
        """Make the state anew, report what is new in it, and tell whoever plans."""
        before, self._state = self._state, self._holding.state(self._clock())
        self._arm()
        self._report(before.alarms, self._state.alarms)
        if self._state.plans_like(before):
            return
        try:
            self._on_change(self._state)
        except Exception:
            self._log.exception("on_change_failed")

    def _report(self, before: tuple[Alarm, ...], after: tuple[Alarm, ...]) -> None:
        """Each alarm is an event once when it comes and once when it goes, however often its text changes."""
        was, now = ({(alarm.kind, alarm.component): alarm for alarm in alarms} for alarms in (before, after))
        for key in now.keys() - was.keys():
            self._events.append(now[key].kind, now[key].component, why=now[key].why)
        for key in was.keys() - now.keys():
            self._events.append("alarm_over", was[key].component, why=was[key].why, alarm=was[key].kind)

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        end = self._holding.next_end
        if end is not None:
            delay_s = max(0.0, end - self._clock()) + 0.001
            self._timer = asyncio.get_running_loop().call_later(delay_s, self._expired)

    def _expired(self) -> None:
        if self._holding.expire(self._clock()):
            self._wake.set()
        self._update()


def jittered(failures: int) -> float:
    """Return how long to wait after so many failures in a row: full jitter, 0.1 s at most at first, then longer."""
    return random.uniform(0.01, min(MOST_S, FIRST_S * 2 ** min(failures - 1, 10)))
