"""
Who answers this request, who stands in, and why: the decision about each request, in three steps.

Ground floor and hot: called once per request, and while all is well it makes nothing but the small `Planned`. Takes
values and returns one; the clock, chance, breakers and emergencies come in as arguments.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from proxy.core.assign import NO_BUCKET, PER_REQUEST, bucket_of, bucket_of_roll, sticky_value
from proxy.core.decision import (
    AMBIGUOUS_PATH,
    NO_FALLBACK,
    OVERLOADED,
    WRITES_NOT_SAFE,
    FallbackOn,
    Mark,
    Plan,
    PlanDefaults,
    Reason,
    Refusal,
)
from proxy.core.messages import RequestHead, Saw, value_behind, value_of
from proxy.core.paths import is_plain, is_tangled, normal_form, readings
from proxy.core.phases import RequestKind
from proxy.core.routes import EntityKey, Params
from proxy.core.rules import ComponentKind, Phase, Side
from proxy.core.table import UNCLAIMED, ComponentRules, PinRules, RouteRules, Table, compile_table

__all__ = [
    "AMBIGUOUS_PATH", "CALM", "NO_BUCKET", "NO_FALLBACK", "OVERLOADED", "PER_REQUEST", "UNCLAIMED", "WRITES_NOT_SAFE",
    "ComponentRules", "EntityKey", "FallbackOn", "Mark", "Plan", "PlanDefaults", "Planned", "Reason", "Refusal",
    "RequestKind", "RouteRules", "Situation", "Table", "choose", "compile_table", "eligible_now", "kind_of",
    "may_be_asked_unseen", "plan", "shadow_now", "shed", "spare",
]  # fmt: skip

_READ_METHODS = frozenset((b"GET", b"HEAD", b"OPTIONS"))
_READ, _WRITE, _TUNNEL = RequestKind.READ, RequestKind.WRITE, RequestKind.TUNNEL
_LEGACY, _MODERN = Side.LEGACY, Side.MODERN  # looking a member up costs more than a comparison
_OVERRIDE = Saw.OVERRIDE
_NONE: frozenset[Side] = frozenset()
_Choice = tuple[Side, Reason, int, int]  # side, why, bucket, index of the sticky source


@dataclass(frozen=True, slots=True)
class Situation:
    """What stands against the rules of one component at this moment, in this replica."""

    emergency: Side | None = None
    open_breakers: frozenset[Side] = _NONE
    store_lost: bool = False  # a cold start from files alone: nobody knows what is published, nor what is marked
    dirty: bool = False  # the entity in question has a mark
    pinned_session: bool = False  # the session wrote lately: its lists stay on the primary
    down: frozenset[Side] = _NONE  # sides without a healthy instance

    @property
    def avoided(self) -> frozenset[Side]:
        """Sides that a read should not go to if there is another."""
        return self.open_breakers | self.down


CALM = Situation()  # use this one while nothing is the matter: it is recognised by identity


class Planned:
    """A plan and what is particular to this request."""

    __slots__ = ("bucket", "params", "plan", "sticky")

    def __init__(self, plan: Plan, bucket: int = NO_BUCKET, params: Params = (), sticky: int = PER_REQUEST) -> None:
        self.plan = plan
        self.bucket = bucket  # NO_BUCKET when it did not matter
        self.params = params  # of the path, in its normal form
        self.sticky = sticky  # index of the sticky source that gave the bucket, or PER_REQUEST


class Asked(NamedTuple):
    """What a request brings along for the choice of its side."""

    head: RequestHead
    params: Params
    forced: Side | None
    roll: int
    entity: bytes


def plan(
    table: Table,
    head: RequestHead,
    situations: Sequence[Situation],
    forced: Side | None = None,
    roll: int = 0,
    entity: bytes = b"",
) -> Planned:
    """
    Decide about one request. `situations` are in the order of `table.components`.

    `forced` is the side of a valid X-Banyan-Force. `roll` counts requests: it places those without a sticky value.
    `entity` is a key found in the body, for a second call where `Plan.needs_entity` asked for it.
    """
    path = head.path
    found = table.recent.get(path) if head.method == b"GET" else None
    if found is None:
        raw = path
        if not is_plain(path):
            path, ambiguous = normal_form(path)
            if ambiguous:
                return _plan_ambiguous(table, head, situations)
        found = table.find(head.method, path)
        if found is None:
            return Planned(table.unclaimed(kind_of(head)))
        if head.method == b"GET":
            table.remember(raw, found)
    route, params = found
    component = route.component
    situation = situations[component.index]
    if head.method not in _READ_METHODS or head.upgrade or head.saw & _OVERRIDE:
        kind = kind_of(head, route)
        if kind is not _READ:
            return Planned(_plan_write(route, kind, situation), NO_BUCKET, params)
    if situation is CALM and forced is None:
        by_weight = route.by_weight
        if by_weight is not None and not component.pins:
            bucket, sticky = bucket_for(route, head, params, roll, entity)
            return Planned(by_weight[bucket < route.weight_bp], bucket, params, sticky)
        if route.calm is not None:
            return Planned(route.calm, NO_BUCKET, params)
        if by_weight is None:
            route.prepare()
    return _plan_read(route, situation, Asked(head, params, forced, roll, entity))


def shed(table: Table, planned: Planned) -> None:
    """Let a process that has more to do than it gets done refuse what was planned, unless it is a write or a tunnel."""
    if planned.plan.kind is _READ and planned.plan.refusal is None:
        planned.plan = table.refused(planned.plan, OVERLOADED)


def kind_of(head: RequestHead, route: RouteRules | None = None) -> RequestKind:
    """Return what the request asks for; a method-override field makes it a write, whatever else it says."""
    if head.upgrade:
        return _TUNNEL
    if head.saw & _OVERRIDE:
        return _WRITE
    return _READ if head.method in _READ_METHODS or (route is not None and route.is_read) else _WRITE


def bucket_for(route: RouteRules, head: RequestHead, params: Params, roll: int, entity: bytes) -> tuple[int, int]:
    """Return the caller's bucket, and the index of the sticky source that gave it or PER_REQUEST."""
    component = route.component
    start = 0
    if component.first_header:  # nearly always the one that decides
        value = value_behind(head.fields, component.first_header)
        if value:
            return bucket_of(value, component.cohort), 0
        if component.then_client:
            return bucket_of(head.peer, component.cohort), 1
        start = 1
    if component.takes_entity and not entity and route.entity is not None:
        entity = route.entity.of_path(params) or b""
    found, sticky = sticky_value(component.sticky, head, entity, start)
    return (bucket_of_roll(roll) if found is None else bucket_of(found, component.cohort)), sticky


def eligible_now(route: RouteRules, situation: Situation) -> tuple[tuple[Side, ...], Reason | None]:
    """Step 1: return who may answer a read, the write primary first, and the reason when that settles it."""
    reads = route.component.reads
    primary = (route.component.primary,)
    if route.follows_writes:
        return primary, Reason.FOLLOWS_WRITES
    if len(reads) == 1:
        return reads, Reason.PHASE
    if situation.store_lost:
        return primary, Reason.STORE_LOST
    if situation.dirty:
        return primary, Reason.MARKED
    if route.entity is None:  # a list, or as good as one: it may show any entity of the component
        if situation.pinned_session:
            return primary, Reason.PINNED_SESSION
        if situation.emergency is not None and route.component.phase is Phase.CUTOVER:
            return primary, Reason.PHASE
    return reads, None


def choose(route: RouteRules, situation: Situation, asked: Asked) -> _Choice:
    """Step 2: choose between two eligible sides: emergency, forced side, pin, weight."""
    if situation.emergency is not None:
        return situation.emergency, Reason.EMERGENCY, NO_BUCKET, PER_REQUEST
    if asked.forced is not None:
        return asked.forced, Reason.FORCED, NO_BUCKET, PER_REQUEST
    pin = pin_for(route.component, asked.head)
    if pin is not None:
        return pin.side, Reason.PIN, NO_BUCKET, PER_REQUEST
    bucket, sticky = bucket_for(route, asked.head, asked.params, asked.roll, asked.entity)
    return (_MODERN if bucket < route.weight_bp else _LEGACY), Reason.WEIGHT, bucket, sticky


def pin_for(component: ComponentRules, head: RequestHead) -> PinRules | None:
    """Return the first pin that the request meets."""
    for pin in component.pins:
        if value_of(head.fields, pin.name) in pin.values:
            return pin
    return None


def spare(route: RouteRules, situation: Situation, side: Side, reason: Reason) -> tuple[Side, Reason, Side | None]:
    """
    Step 3: return who answers when breakers are looked at, why, and who stands in if that side fails.

    Only for two eligible sides. A side that is down counts as one whose breaker is open. An emergency bars the other
    side altogether; a forced read is never moved by a breaker; when both are open the choice stands. A breaker does
    not keep a side from standing in: that read would fail.
    """
    if reason is Reason.EMERGENCY:
        return side, reason, None
    other = _MODERN if side is _LEGACY else _LEGACY
    is_open = situation.avoided
    moves = side in is_open and other not in is_open
    if moves and reason is not Reason.FORCED and route.may_stand_in(other):
        side, other, reason = other, side, Reason.BREAKER
    return side, reason, other if route.may_stand_in(other) else None


def shadow_now(route: RouteRules, situation: Situation, side: Side) -> Side | None:
    """
    Return who may be asked unseen what `side` answers; None where nothing is compared, and while a side is spared.

    An emergency bars the side it does not name, from shadows as from answers.
    """
    other = _MODERN if side is _LEGACY else _LEGACY
    return other if route.watch is not None and may_be_asked_unseen(situation, other) else None


def may_be_asked_unseen(situation: Situation, side: Side) -> bool:
    """Say whether a side may be sent reads that nobody waits for."""
    if situation.store_lost or side in situation.avoided:
        return False
    return situation.emergency is None or situation.emergency is side


def _plan_read(route: RouteRules, situation: Situation, asked: Asked) -> Planned:
    sides, settled = eligible_now(route, situation)
    if settled is not None:
        shadow = shadow_now(route, situation, sides[0])
        return Planned(route.plan(_READ, settled, sides[0], None, shadow), NO_BUCKET, asked.params)
    side, reason, bucket, sticky = choose(route, situation, asked)
    side, reason, fallback = spare(route, situation, side, reason)
    shadow = shadow_now(route, situation, side)
    return Planned(route.plan(_READ, reason, side, fallback, shadow), bucket, asked.params, sticky)


def _plan_write(route: RouteRules, kind: RequestKind, situation: Situation) -> Plan:
    primary = route.component.primary
    if kind is _TUNNEL:
        return route.plan(kind, Reason.TUNNEL, primary)
    if situation.store_lost and route.component.rules.kind is ComponentKind.ENTITY:
        return route.plan(kind, Reason.STORE_LOST, primary, refusal=WRITES_NOT_SAFE)
    return route.plan(kind, Reason.WRITE_PRIMARY, primary)


def _plan_ambiguous(table: Table, head: RequestHead, situations: Sequence[Situation]) -> Planned:
    """
    Decide about a path that can be read in more than one way: legacy, nobody stands in, or 400.

    It is refused if any of its readings leads to a component of which legacy may no longer have the truth, and if it is
    too tangled to be read.
    """
    if is_tangled(head.path):
        return Planned(table.unclaimed(kind_of(head), Reason.AMBIGUOUS, AMBIGUOUS_PATH))
    found = [match for path in readings(head.path) if (match := table.find(head.method, path)) is not None]
    strict = [match for match in found if match[0].component.phase.rank >= Phase.CUTOVER.rank]
    refusal = AMBIGUOUS_PATH if strict or table.defaults.ambiguous_paths == "refuse" else None
    if not found:
        return Planned(table.unclaimed(kind_of(head), Reason.AMBIGUOUS, refusal))
    route, params = (strict or found)[0]
    kind = kind_of(head, route)
    if refusal is None and kind is _WRITE:
        unsafe = _plan_write(route, kind, situations[route.component.index])
        if unsafe.refusal is not None:
            return Planned(unsafe, NO_BUCKET, params)
    return Planned(route.plan(kind, Reason.AMBIGUOUS, _LEGACY, refusal=refusal), NO_BUCKET, params)
