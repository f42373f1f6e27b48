"""
The breakers and fallback budgets of this replica, and the situations that its plans are made from.

One breaker per component and side, one budget per component; they outlive rule sets. Local to the replica: what they
do is shown for all, published by nobody.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from time import perf_counter

from proxy.core.breaker import Breaker, Budget, Cause, State
from proxy.core.plan import CALM, ComponentRules, Situation, Table
from proxy.core.rules import Side
from proxy.core.stats import Counters


@dataclass(frozen=True, slots=True)
class Trip:
    """A breaker changed its state: what an operator is told."""

    component: str
    side: Side
    state: State
    cause: Cause


class Breakers:
    """
    What this replica spares at present.

    `situations` is replaced as a whole whenever anything in it changes; index: the component's in the table.
    """

    def __init__(self, tell: Callable[[Trip], None]) -> None:
        self._tell = tell
        self._table: Table | None = None
        self._emergencies: Mapping[str, Side] = {}
        self._store_lost = False
        self._down: frozenset[Side] = frozenset()
        self.breakers: dict[tuple[str, Side], Breaker] = {}
        self.budgets: dict[str, Budget] = {}
        self.situations: tuple[Situation, ...] = ()

    def follow(self, table: Table, emergencies: Mapping[str, Side], store_lost: bool) -> None:
        """Take over a new table, new emergencies or a change of the store's standing."""
        self._table = table
        self._emergencies = emergencies
        self._store_lost = store_lost
        for component in table.components:
            rules = component.rules
            budget = self.budgets.get(component.name)
            if budget is None:
                self.budgets[component.name] = Budget(rules.fallback.budget_pct, rules.breaker.min_requests)
            else:
                budget.adjust(rules.fallback.budget_pct, rules.breaker.min_requests)
            for side in Side:
                breaker = self.breakers.get((component.name, side))
                if breaker is None:
                    self.breakers[component.name, side] = Breaker(rules.breaker)
                else:
                    breaker.adjust(rules.breaker)
        self._see()

    def of(self, component: str | None, side: Side) -> Breaker | None:
        """Return a component's breaker for `side`; None for requests that no component claims."""
        return self.breakers.get((component, side)) if component is not None else None

    def budget_of(self, component: str | None) -> Budget | None:
        """Return a component's budget; None for requests that no component claims."""
        return self.budgets.get(component) if component is not None else None

    def changed(self, component: str, side: Side) -> None:
        """Take a breaker's change into the situations, and tell of it if it opened, closed or half-opened."""
        breaker = self.breakers[component, side]
        self._see()
        self._tell(Trip(component, side, breaker.state, breaker.cause))

    def admitted(self) -> None:
        """Take into the situations that a half-open breaker has let enough probes through."""
        self._see()

    def side_is(self, side: Side, down: bool) -> None:
        """Take into the situations that a side has no healthy instance, or has one again."""
        self._down = self._down | {side} if down else self._down - {side}
        self._see()

    def tick(self, now: float) -> None:
        """Let time pass for every breaker that is not closed."""
        for (component, side), breaker in self.breakers.items():
            if breaker.state is not State.CLOSED and breaker.tick(now):
                self.changed(component, side)

    def spend(self, component: str | None, failed: Side, spent: Counters[str]) -> None:
        """Count a read that is sent twice; when the budget is spent with it, the side that failed is spared at once."""
        if component is None:
            return
        spent.add(component)
        now = perf_counter()
        if self.budgets[component].spend(now) and self.breakers[component, failed].trip(now):
            self.changed(component, failed)

    def _see(self) -> None:
        table = self._table
        if table is None:
            return
        self.situations = tuple(self._situation(component) for component in table.components)

    def _situation(self, component: ComponentRules) -> Situation:
        name = component.name
        situation = Situation(
            emergency=self._emergencies.get(name),
            open_breakers=frozenset(side for side in Side if self.breakers[name, side].avoided),
            down=self._down,
            store_lost=self._store_lost,
        )
        return CALM if situation == CALM else situation  # the plan knows it by identity
