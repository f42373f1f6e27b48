"""
What goes on behind the answers of one replica, put together from Settings: shadow reads, second looks, deliveries.

A part of the app, which opens and closes it; decides nothing.
"""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from proxy.background import Background
from proxy.core.errors import StoreError
from proxy.core.limits import SECOND_LOOKS, PoolLimits, WireLimits
from proxy.core.rules import Side
from proxy.gateway.gateway import Gateway
from proxy.gateway.settling import Settling
from proxy.settings import Settings
from proxy.store.events import Events
from proxy.store.evidence import EvidenceStore
from proxy.store.fleet import Fleet
from proxy.store.link import Link
from proxy.store.mismatches import MismatchStore
from proxy.wire.instances import Place
from proxy.wire.pool import Pool
from proxy.wire.wheel import Wheel
from proxy.workers.aside import Aside
from proxy.workers.evidence import Deliveries
from proxy.workers.findings import Findings
from proxy.workers.loads import Bounds, Load
from proxy.workers.sandwich import Limits, Sandwiches
from proxy.workers.shadow import Shadows
from proxy.workers.sightings import Sightings
from proxy.workers.tallies import Tallies

FLEET_S = 15.0  # between two looks at how many replicas share the caps


@dataclass(frozen=True, slots=True)
class Told:
    """Where it is told what was found, and by whom."""

    link: Link
    events: Events
    fleet: Fleet
    replica: str


class Behind:
    """Shadow reads and what comes of them; owns their pools."""

    def __init__(
        self, settings: Settings, gateway: Gateway, places: Mapping[Side, list[Place]], wheel: Wheel, told: Told
    ) -> None:
        rules = settings.shadow
        self.tallies, self.self_tallies = Tallies(), Tallies()
        gateway.settling = Settling(rules.settle_s)
        loads = {side: _load(settings, side, gateway, places[side], wheel) for side in Side}
        bounds = Bounds(
            rules.timeout_s, rules.body_bytes, rules.buffer_bytes, rules.pending, rules.floor_per_h
        )  # fmt: skip
        self.shadows = Shadows(loads, bounds, self.tallies, self.self_tallies, gateway.may_ask_unseen)
        self._told = told
        self.sightings = Sightings(MismatchStore(told.link), told.events, told.replica)
        self.aside = Aside()
        self.findings = Findings(gateway.settling, self.sightings, self.aside)
        limits = Limits(rules.rereads_per_s, rules.pending)
        self.sandwiches = Sandwiches(self.shadows, gateway.settling, self.findings, self.aside, limits)
        self.shadows.on_suspect = self.sandwiches.suspect
        self.shadows.on_noise = self.sandwiches.noisy
        self.shadows.on_test = self.sandwiches.test
        self.sandwiches.on_fault = self._tell_fault
        self.sightings.on_open = self.findings.seen_open
        gateway.watch = self.shadows.watcher

    def spawn(self, background: Background, epoch: Callable[[], str]) -> None:
        """Start the work; `epoch` is that of the rules in force."""
        told = self._told
        background.spawn("shadow_reads", self.shadows.run)
        background.spawn("second_looks", self.sandwiches.run)
        background.spawn("sightings", self.sightings.run)
        background.spawn("fleet_size", self._follow_fleet, told.fleet)
        for name, tallies in (("evidence", self.tallies), ("noise", self.self_tallies)):
            store = EvidenceStore(told.link, "evidence" if tallies is self.tallies else "noise")
            deliveries = Deliveries(tallies, store, told.events, told.replica, epoch)
            background.spawn(name, deliveries.run)

    def _tell_fault(self, exc: Exception) -> None:
        """Say where it was, and nothing of what it was about: an exception may quote an answer."""
        *_, last = traceback.extract_tb(exc.__traceback__)
        why = f"{type(exc).__name__} at {Path(last.filename).name}:{last.lineno}"
        self._told.events.append("comparison_failed", why=why)

    async def close(self) -> None:
        """Close the connections, and let go of what is being compared."""
        self.aside.close()
        for load in self.shadows.loads.values():
            await load.pool.close()

    async def _follow_fleet(self, fleet: Fleet) -> None:
        while True:
            with suppress(StoreError):
                replicas = await fleet.count()
                self.shadows.fleet_is(replicas)
                self.sandwiches.cap.replicas = max(1, replicas)
            await asyncio.sleep(FLEET_S)


def _load(settings: Settings, side: Side, gateway: Gateway, places: list[Place], wheel: Wheel) -> Load:
    where = settings.side(side)
    limits = WireLimits(**settings.limits.model_dump(exclude={"loop_lag_s"}))
    concurrency = where.shadow.concurrency
    pool = Pool(f"{side} (shadow)", places, wheel, limits, PoolLimits(concurrency + SECOND_LOOKS, 0))
    return Load(pool, gateway.sides[side], concurrency, where.shadow.requests_per_s, where.version_header or "")
