"""
Phases: which side may answer a read, which one owns the writes, what comes next and what going back costs.

Ground floor. Weights move reads, phases move writes; the table below is the whole truth of that, and nothing
overrules it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from proxy.core.checks import check_change, component_problems, not_built_problems
from proxy.core.errors import Problem
from proxy.core.rules import Component, ComponentKind, Phase, RuleSet, Side

_L, _M = Side.LEGACY, Side.MODERN


class RequestKind(StrEnum):
    """What a request asks for, as far as the migration goes."""

    READ = "read"
    WRITE = "write"
    TUNNEL = "tunnel"  # an upgrade: nobody sees what goes through it


@dataclass(frozen=True, slots=True)
class Standing:
    """What a phase allows."""

    reads: tuple[Side, ...]  # who may answer, the write primary first
    primary: Side  # who owns the writes


STANDINGS: Mapping[Phase, Standing] = {
    Phase.OFF: Standing((_L,), _L),
    Phase.BACKFILL: Standing((_L,), _L),
    Phase.SHADOW: Standing((_L,), _L),
    Phase.CANARY: Standing((_L, _M), _L),
    Phase.CUTOVER: Standing((_M, _L), _M),
    Phase.RETIRED: Standing((_M,), _M),
}

WAY: Mapping[ComponentKind, tuple[Phase, ...]] = {
    ComponentKind.PLAIN: (Phase.OFF, Phase.SHADOW, Phase.CANARY, Phase.RETIRED),
    ComponentKind.READONLY: (Phase.OFF, Phase.SHADOW, Phase.CANARY, Phase.RETIRED),
    ComponentKind.ENTITY: tuple(Phase),
}

STEPS_PCT = (1.0, 5.0, 25.0, 50.0, 100.0)  # the weights that `status` proposes


def eligible(kind: ComponentKind, phase: Phase, request: RequestKind) -> tuple[Side, ...]:
    """Return the sides that may answer `request`, the write primary first; one only, unless it is a read in between."""
    if phase not in WAY[kind]:
        return (Side.LEGACY,)  # refused by the rules; were it in force, what was never copied is on legacy
    standing = STANDINGS[phase]
    return standing.reads if request is RequestKind.READ else (standing.primary,)


def compares(kind: ComponentKind, phase: Phase) -> bool:
    """Say whether reads are also asked of the side that did not answer, so that both answers can be compared."""
    return phase in WAY[kind] and phase in (Phase.SHADOW, Phase.CANARY, Phase.CUTOVER)


def raises_alarm(kind: ComponentKind, request: RequestKind) -> bool:
    """Say whether `request` should not happen at all: a write to a component that has none."""
    return kind is ComponentKind.READONLY and request is RequestKind.WRITE


@dataclass(frozen=True, slots=True)
class Outlook:
    """Where a component can go from here, in the words of `status`."""

    next_step: str  # one sentence; empty when it has arrived
    verb: str  # what to type for it; empty when there is nothing to type
    blocked: tuple[str, ...]  # why the next step would be refused, one sentence each
    going_back: str  # what it costs to go back, one sentence


def outlook(rule_set: RuleSet, name: str) -> Outlook:
    """Return the next step of the component `name`, what blocks it, and what going back would cost."""
    component = rule_set.components[name]
    next_step, verb, goal = _next(component)
    blocked = () if goal is None else _refusals(rule_set, goal)
    return Outlook(next_step, verb, blocked, going_back(component))


def going_back(component: Component) -> str:
    """Return what it costs to take the component back, in one sentence."""
    phase = component.effective_phase
    if phase is Phase.RETIRED and not component.write_routes:
        return "reads go back at once, if legacy still runs and has today's data"
    return _GOING_BACK[phase]


_GOING_BACK: Mapping[Phase, str] = {
    Phase.OFF: "nothing to take back: legacy answers everything",
    Phase.BACKFILL: "free: legacy answers everything; the copy on modern grows old",
    Phase.SHADOW: "free: legacy answers everything",
    Phase.CANARY: "free: reads go back at once and legacy has every write",
    Phase.CUTOVER: "a swap back: writes are held for a moment until legacy has caught up",
    Phase.RETIRED: "not free: legacy got no write since, so its data must be brought up to date first",
}


def _next(component: Component) -> tuple[str, str, Component | None]:
    """Return (sentence, verb, the component after it)."""
    name, phase = component.component, component.effective_phase
    weight = next((step for step in STEPS_PCT if step > component.weight), None)
    if phase is Phase.CANARY and weight is not None:
        return _to_weight(component, weight, "give modern a larger share of the reads")
    if component.phase is None and phase is Phase.OFF:
        return _to_weight(component, STEPS_PCT[0], "give modern a first share of the reads")
    way = WAY[component.kind]
    if phase not in way[:-1]:
        return "", "", None
    goal = way[way.index(phase) + 1]
    return _PURPOSE[goal], f"banyan phase {name} {goal}", component.model_copy(update={"phase": goal})


def _to_weight(component: Component, weight: float, why: str) -> tuple[str, str, Component]:
    verb = f"banyan weight {component.component} {weight:g}"
    return f"{why}: {weight:g} %", verb, component.model_copy(update={"weight": weight})


_PURPOSE: Mapping[Phase, str] = {
    Phase.BACKFILL: "bring the writes and the old data to modern",
    Phase.SHADOW: "ask modern too, unseen, and compare",
    Phase.CANARY: "let modern answer reads by weight",
    Phase.CUTOVER: "make modern the write primary",
    Phase.RETIRED: "stop asking legacy for this component",
}


def _refusals(rule_set: RuleSet, goal: Component) -> tuple[str, ...]:
    """
    Ask the checks that a publication would have to pass; only what the step itself brings up counts.

    A step moves a weight or a phase: how the components fit each other otherwise is not asked anew for each of them.
    """
    name = goal.component
    known = _own_problems(rule_set.components[name])
    found = [each for each in _own_problems(goal) if each not in known]
    found += check_change(rule_set, {**rule_set.components, name: goal}, verb=True)
    return tuple(each.what for each in found)


def _own_problems(component: Component) -> tuple[Problem, ...]:
    name = component.component
    return (*component_problems(component, {}, name), *not_built_problems(component, {}, name))
