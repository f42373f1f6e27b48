"""
The plan of one request in plain sentences: who was eligible, what was chosen, what the breakers made of it.

Ground floor, not hot: it asks the same functions that `plan` asks, step by step, and words what they say.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from proxy.core.assign import BUCKETS, NO_BUCKET, PER_REQUEST
from proxy.core.decision import Plan, Reason
from proxy.core.messages import RequestHead
from proxy.core.paths import normal_form
from proxy.core.phases import RequestKind
from proxy.core.plan import CALM, Planned, Situation, eligible_now, pin_for, plan
from proxy.core.rules import Side
from proxy.core.table import RouteRules, Table


@dataclass(frozen=True, slots=True)
class Step:
    """One of the three steps: `eligible`, `choice` or `breaker`, and one sentence about it."""

    name: str
    text: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """A plan, how it came about, and the rules that were asked."""

    planned: Planned
    steps: tuple[Step, Step, Step]
    method: str
    path: str  # as it was sent
    normal_path: str  # as it was matched

    def document(self) -> dict[str, Any]:
        """Return all of it ready for JSON: the plan's fields, the bucket and the steps."""
        planned = self.planned
        return {
            "method": self.method,
            "path": self.path,
            "normal_path": self.normal_path,
            **planned.plan.facts(),
            "bucket": None if planned.bucket == NO_BUCKET else planned.bucket,
            "params": [param.decode("latin-1") for param in planned.params],
            "entity": _entity(planned),
            "steps": [{"name": step.name, "text": step.text} for step in self.steps],
        }


@dataclass(frozen=True, slots=True)
class _Case:
    """What the sentences are about."""

    planned: Planned
    route: RouteRules
    head: RequestHead
    situation: Situation
    forced: Side | None

    @property
    def plan(self) -> Plan:
        return self.planned.plan


def explain(
    table: Table,
    head: RequestHead,
    situations: Sequence[Situation] | None = None,
    forced: Side | None = None,
    roll: int = 0,
) -> Explanation:
    """Return the plan that `plan` makes of the same arguments, and its three steps; no situations: all is well."""
    known = situations if situations is not None else (CALM,) * len(table.components)
    planned = plan(table, head, known, forced, roll)
    normal, _ = normal_form(head.path)
    texts = _texts(table, head, known, forced, planned)
    steps = (Step("eligible", texts[0]), Step("choice", texts[1]), Step("breaker", texts[2]))
    return Explanation(planned, steps, _shown(head.method), _shown(head.path), _shown(normal))


def _texts(
    table: Table, head: RequestHead, situations: Sequence[Situation], forced: Side | None, planned: Planned
) -> tuple[str, str, str]:
    decided = planned.plan
    if decided.refusal is not None:
        return f"none: {decided.refusal.why}", f"refused with {decided.refusal.status}", "not asked: no side gets it"
    if decided.ambiguous:
        return "legacy only: the path can be read in more than one way", "legacy", _NOBODY_ELSE
    if decided.component is None:
        return "legacy only: no component claims this request", "legacy", _NOBODY_ELSE
    route = next(each for each in table.routes if each.key == decided.route and _owns(each, decided))
    case = _Case(planned, route, head, situations[decided.component_index], forced)
    if decided.kind is not RequestKind.READ:
        return _of_a_write(case)
    sides, settled = eligible_now(route, case.situation)
    if settled is not None:
        return _settled(case, settled), f"{sides[0]}, as no other side is eligible", _NOBODY_ELSE
    both = f"legacy and modern: {decided.component} is in {route.component.phase}"
    return both, _choice(case), _breaker(case)


_NOBODY_ELSE = "not asked: no other side could stand in"


def _owns(route: RouteRules, decided: Plan) -> bool:
    return route.component.index == decided.component_index


def _of_a_write(case: _Case) -> tuple[str, str, str]:
    decided = case.plan
    word = "an upgrade" if decided.kind is RequestKind.TUNNEL else "a write"
    eligible = f"{decided.primary} only: it is the write primary of {decided.component} in {_phase(case)}"
    alarm = "; an alarm is raised, because the component should have no writes" if decided.alarm else ""
    return eligible, f"{decided.side}: {word} follows the phase, never the weight{alarm}", _NOBODY_ELSE


def _settled(case: _Case, settled: Reason) -> str:
    side = case.plan.side
    return {
        Reason.FOLLOWS_WRITES: f"{side} only: the route follows the writes, and {side} is the write primary",
        Reason.STORE_LOST: f"{side} only: the published rules were not read yet, and {side} is the write primary",
        Reason.MARKED: f"{side} only: the entity has a mark, so the other side may be behind",
        Reason.PINNED_SESSION: f"{side} only: the session wrote lately, so its lists stay on the write primary",
    }.get(settled, _by_phase(case))


def _by_phase(case: _Case) -> str:
    side = case.plan.side
    if len(case.route.component.reads) > 1:
        return f"{side} only: in {_phase(case)} lists stay on the write primary while an emergency holds"
    return f"{side} only: {case.plan.component} is in {_phase(case)}"


def _choice(case: _Case) -> str:
    emergency, forced = case.situation.emergency, case.forced
    if emergency is not None:
        return f"{emergency}: an emergency sends all reads of {case.plan.component} there"
    if forced is not None:
        return f"{forced}: forced by X-Banyan-Force"
    pin = pin_for(case.route.component, case.head)
    if pin is not None:
        return f"{pin.side}: pinned by the header {_shown(pin.name)}"
    return _by_weight(case)


def _by_weight(case: _Case) -> str:
    route, bucket = case.route, case.planned.bucket
    weight = route.weight_bp
    side, sign = (Side.MODERN, "<") if bucket < weight else (Side.LEGACY, "≥")
    lowered = ", lowered by the route" if weight < route.component.weight_bp else ""
    return (
        f"{side}: bucket {bucket} of {BUCKETS} {sign} {weight}, as the weight is {weight / 100:g} %{lowered}; "
        f"{_placed_by(case)}"
    )


def _placed_by(case: _Case) -> str:
    component = case.route.component
    if case.planned.sticky == PER_REQUEST:
        return "placed for this request alone, as no sticky value is present"
    return f"placed by {component.rules.sticky[case.planned.sticky]} in the cohort {component.rules.cohort}"


def _breaker(case: _Case) -> str:
    decided, avoided = case.plan, case.situation.avoided
    if decided.reason is Reason.EMERGENCY:
        return f"not asked: the emergency bars {decided.side.other}"
    if decided.reason is Reason.BREAKER:
        return f"moved to {decided.side}: {_why_avoided(case, decided.side.other)}; {_stand_in(decided)}"
    if decided.side not in avoided:
        return f"closed for {decided.side}: it answers; {_stand_in(decided)}"
    why = _why_avoided(case, decided.side)
    return f"{why}, but the choice stands: {_why_it_stands(case)}; {_stand_in(decided)}"


def _why_avoided(case: _Case, side: Side) -> str:
    if side in case.situation.down:
        return f"{side} has no healthy instance"
    return f"the breaker of {side} is open"


def _why_it_stands(case: _Case) -> str:
    if len(case.situation.avoided) > 1:
        return "the other side is to be avoided, too"
    if case.plan.reason is Reason.FORCED:
        return "a forced read is never moved"
    return "modern stands in for legacy only where the rules say `fallback: {to_modern: true}`"


def _stand_in(decided: Plan) -> str:
    return "nobody stands in" if decided.fallback is None else f"{decided.fallback} stands in if it fails"


def _phase(case: _Case) -> str:
    return str(case.route.component.phase)


def _entity(planned: Planned) -> str | None:
    source = planned.plan.entity
    key = None if source is None else source.of_path(planned.params)
    return None if key is None else key.decode("utf-8", "replace")


def _shown(value: bytes) -> str:
    return value.decode("latin-1")
