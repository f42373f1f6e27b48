"""
The facts behind `status`, read from the store: rules, emergency keys, heartbeats; and the log of what happened.

What they mean is said by `core.status`. Needs no gateway, and writes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from time import time

from proxy.core.adopt import Refused
from proxy.core.evidence import Evidence
from proxy.core.phases import compares
from proxy.core.rules import RuleSet
from proxy.core.status import Facts
from proxy.store.emergencies import Emergencies
from proxy.store.events import Event, Events
from proxy.store.evidence import EvidenceStore
from proxy.store.fleet import Fleet
from proxy.store.history import Publication
from proxy.store.rules import RuleStore


class Reader:
    """Reads one namespace for those who look: the command line, the admin listener, later the page."""

    def __init__(
        self,
        rules: RuleStore,
        emergencies: Emergencies,
        fleet: Fleet,
        events: Events,
        evidence: EvidenceStore,
        clock: Callable[[], float] = time,
    ) -> None:
        self.rules = rules
        self._emergencies = emergencies
        self._fleet = fleet
        self._events = events
        self._evidence = evidence
        self.clock = clock

    async def facts(self) -> Facts:
        """Return what is the case now; raises StoreError when the store is away, not when its rules are garbage."""
        found = await self.rules.load()
        fault = f"the store's rules are refused: {found.read.why}" if isinstance(found.read, Refused) else None
        names = found.rule_set.components if found.rule_set is not None else ()
        called = await self._fleet.roll_call()
        return Facts(
            rules=found.rule_set,
            emergencies=await self._emergencies.read(names),
            replicas=[asdict(each) for each in called.replicas],
            at_s=self.clock(),
            fault=fault,
            oddities=called.faults,
            evidence=await self._compared(found.rule_set),
        )

    async def _compared(self, rule_set: RuleSet | None) -> dict[str, dict[str, Evidence]]:
        """Return what is known of the components that are compared."""
        components = rule_set.components if rule_set is not None else {}
        compared = [name for name, each in components.items() if compares(each.kind, each.effective_phase)]
        return {name: found for name in compared if (found := await self._evidence.read(name))}

    async def history(self, count: int) -> list[Publication]:
        """Return the last publications, the newest first; raises StoreError."""
        return await self.rules.history(count)

    async def events(self, count: int) -> list[Event]:
        """Return the last events, the newest last; raises StoreError."""
        return await self._events.tail(count)
