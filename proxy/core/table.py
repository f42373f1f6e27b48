"""
The rule set as it is used: components and routes compiled into slotted tables, and each plan made once.

Ground floor and hot: compiled once per version of the rules, read by every request. Decides nothing: it holds what
`plan` needs, in the form in which it is needed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from proxy.core.assign import Source, source_of
from proxy.core.decision import NO_FALLBACK, Plan, PlanDefaults, Reason, Refusal, Watch, fallback_on
from proxy.core.messages import COLON
from proxy.core.phases import RequestKind, compares, eligible, raises_alarm
from proxy.core.routes import EntityKey, Params, RouteTrie, Template, parse_template
from proxy.core.rules import Component, Phase, Route, RuleSet, Side, overlay, weight_bp

UNCLAIMED = "unclaimed"
_HEADER = "header:"


class PinRules:
    """One pin: callers whose field `name` has one of `values` get `side`."""

    __slots__ = ("name", "side", "values")

    def __init__(self, header: str, values: Iterable[str], side: Side) -> None:
        self.name = header.encode()
        self.values = frozenset(value.encode() for value in values)
        self.side = side


NOISE_PCT = 1.0  # where the rules say nothing of it, and shadow reads are sent
RECENT, RECENT_BYTES = 4096, 128  # paths that are kept, and how long they may be


class ComponentRules:
    """What all routes of a component share."""

    __slots__ = (
        "cohort", "deadlines", "first_header", "index", "name", "phase", "pins", "primary", "reads", "rules", "sticky",
        "takes_entity", "then_client", "weight_bp",
    )  # fmt: skip

    def __init__(self, index: int, rules: Component, defaults: PlanDefaults) -> None:
        self.index = index
        self.name = rules.component
        self.rules = rules
        self.phase: Phase = rules.effective_phase
        self.reads = eligible(rules.kind, self.phase, RequestKind.READ)  # the write primary first
        self.primary = eligible(rules.kind, self.phase, RequestKind.WRITE)[0]
        self.weight_bp: int = rules.weight_bp
        self.deadlines = {
            Side.LEGACY: overlay(defaults.legacy, rules.timeouts),
            Side.MODERN: overlay(defaults.modern, rules.timeouts),
        }
        self.cohort: bytes = rules.cohort.encode()
        self.sticky: tuple[Source, ...] = tuple(source_of(name) for name in rules.sticky)
        self.takes_entity = "entity" in rules.sticky  # only then the key is cut out of each path
        first = rules.sticky[0] if rules.sticky else ""
        self.then_client = rules.sticky[1:2] == ("client",)
        self.first_header = first.removeprefix(_HEADER).encode() + COLON if first.startswith(_HEADER) else b""
        self.pins = tuple(PinRules(pin.header, pin.values, pin.side) for pin in rules.pin)


class RouteRules:
    """What decides about the requests of one route, and the plans that were made for it so far."""

    __slots__ = (
        "_made", "_on", "_validators", "affects", "by_weight", "calm", "component", "deadlines", "entity",
        "follows_writes", "is_read", "key", "to_modern", "version", "watch", "weight_bp",
    )  # fmt: skip

    def __init__(self, key: str, route: Route, template: Template, component: ComponentRules, table: Table) -> None:
        rules = component.rules
        self.key = key
        self.component = component
        self.version = table.version
        self.affects = route.affects
        self.is_read = route.kind == "read"
        self.follows_writes = route.follow == "writes"
        self.entity = None if route.entity is None else EntityKey.of(route.entity, template)
        own = component.weight_bp if route.weight is None else weight_bp(route.weight)
        self.weight_bp = min(own, component.weight_bp)  # the component's weight stays the master fader
        fallback = rules.fallback if route.fallback is None else overlay(rules.fallback, route.fallback)
        self.to_modern = fallback.to_modern
        self._on = fallback.on
        self.deadlines = component.deadlines
        if route.timeouts is not None:
            self.deadlines = {side: overlay(given, route.timeouts) for side, given in component.deadlines.items()}
        self._validators = table.defaults.validators
        self.watch = _watch(route, component)
        self.calm: Plan | None = None  # of each read while all is well, when it does not depend on the bucket
        self.by_weight: tuple[Plan, Plan] | None = None  # (legacy, modern) while all is well, when it does
        self._made: dict[tuple[object, ...], Plan] = {}

    def may_stand_in(self, side: Side) -> bool:
        """Say whether the rules let `side` answer what was meant for the other one."""
        return self.to_modern or side is Side.LEGACY

    def prepare(self) -> None:
        """Make the plans of calm reads; put off until the first request, so that a swap of the rules is short."""
        reads = self.component.reads
        if self.follows_writes:
            self.calm = self.plan(RequestKind.READ, Reason.FOLLOWS_WRITES, self.component.primary)
        elif len(reads) == 1:
            self.calm = self.plan(RequestKind.READ, Reason.PHASE, reads[0], None, reads[0].other)
        else:
            self.by_weight = (self._weighted(Side.LEGACY), self._weighted(Side.MODERN))

    def _weighted(self, side: Side) -> Plan:
        fallback = side.other if self.may_stand_in(side.other) else None
        return self.plan(RequestKind.READ, Reason.WEIGHT, side, fallback, side.other)

    def plan(
        self,
        kind: RequestKind,
        reason: Reason,
        side: Side,
        fallback: Side | None = None,
        shadow: Side | None = None,
        refusal: Refusal | None = None,
    ) -> Plan:
        """Return the plan of this outcome, the same object each time; no `shadow` where nothing is compared."""
        outcome = (kind, reason, side, fallback, shadow, refusal)
        made = self._made.get(outcome)
        if made is None:
            made = self._made[outcome] = self._make(*outcome)
        return made

    def _make(
        self,
        kind: RequestKind,
        reason: Reason,
        side: Side,
        fallback: Side | None,
        shadow: Side | None,
        refusal: Refusal | None,
    ) -> Plan:
        component = self.component
        watch = self.watch if kind is RequestKind.READ and reason is not Reason.AMBIGUOUS else None
        primary = component.primary
        ours = self._validators == "primary"
        return Plan(
            version=self.version,
            component=component.name,
            component_index=component.index,
            route=self.key,
            kind=kind,
            side=side,
            reason=reason,
            label=label_of(self.version, reason),
            primary=primary,
            deadlines=self.deadlines[side],
            fallback_deadlines=self.deadlines[fallback or side],
            fallback=fallback,
            fallback_on=NO_FALLBACK if fallback is None else fallback_on(self._on),
            refusal=refusal,
            shadow=shadow if watch is not None and watch.shadow_bp else None,
            watch=watch if watch is not None and (watch.noise_bp or (watch.shadow_bp and shadow is not None)) else None,
            entity=self.entity,
            confirm_missing=self._confirms(side, fallback),
            strip_validators=ours and side is not primary,
            fallback_strips=ours and fallback is not None and fallback is not primary,
            needs_entity=reason is Reason.WEIGHT and self._needs_body(),
            alarm=raises_alarm(component.rules.kind, kind),
            ambiguous=reason is Reason.AMBIGUOUS,
            affects=self.affects if kind is RequestKind.WRITE else (),
        )

    def _confirms(self, side: Side, fallback: Side | None) -> bool:
        in_canary = self.component.phase is Phase.CANARY and self.entity is not None
        return in_canary and side is Side.MODERN and fallback is Side.LEGACY

    def _needs_body(self) -> bool:
        return self.component.takes_entity and self.entity is not None and self.entity.in_body


def _watch(route: Route, component: ComponentRules) -> Watch | None:
    """Return what is looked at behind the answers of a route, None if nothing is."""
    rules = component.rules
    shadowed = compares(rules.kind, component.phase) and route.follow is None  # what follows the writes is one side's
    share = rules.shadow if route.shadow is None else route.shadow
    noise = rules.noise.sample
    if noise is None:
        noise = NOISE_PCT if shadowed and share else 0.0  # who wants no shadow reads gets no others either
    if not (noise or (shadowed and share)) or component.phase is Phase.RETIRED:
        return None
    return Watch(
        shadow_bp=weight_bp(share) if shadowed else 0,
        noise_bp=weight_bp(noise),
        compare=overlay(rules.compare, route.compare),
        drop=frozenset(name.encode() for name in rules.shadow_headers.drop),
        any_method=route.kind == "read" and route.shadow is not None,
        phase=component.phase,
    )


class Table:
    """One version of the rules, compiled; `find` takes a method and a path in its normal form."""

    __slots__ = (
        "_refused", "_unclaimed", "by_name", "components", "defaults", "epoch", "find", "recent", "routes", "version",
    )  # fmt: skip

    find: Callable[[bytes, bytes], tuple[RouteRules, Params] | None]

    def __init__(self, rule_set: RuleSet | None, defaults: PlanDefaults) -> None:
        self.version = 0 if rule_set is None else rule_set.version
        self.epoch = "" if rule_set is None else rule_set.epoch
        self.defaults = defaults
        rules = () if rule_set is None else tuple(rule_set.components.values())
        self.components = tuple(ComponentRules(index, each, defaults) for index, each in enumerate(rules))
        self.by_name = {component.name: component for component in self.components}
        templates = [
            (parse_template(key), key, route, component)
            for component in self.components
            for key, route in component.rules.routes.items()
        ]
        compiled = [
            (template, RouteRules(key, route, template, component, self))
            for template, key, route, component in templates
        ]
        self.routes = tuple(route for _, route in compiled)
        self.find = RouteTrie.compile(compiled).find
        self.recent: dict[bytes, tuple[RouteRules, Params]] = {}  # what `find` said of the raw path of a GET
        self._unclaimed: dict[tuple[object, ...], Plan] = {}
        self._refused: dict[tuple[Plan, Refusal], Plan] = {}

    def remember(self, path: bytes, found: tuple[RouteRules, Params]) -> None:
        """Keep what `find` said of the raw path of a GET; paths that come again cost a look-up (0.65 → 0.05 µs)."""
        if len(self.recent) >= RECENT:
            self.recent.clear()
        if len(path) <= RECENT_BYTES:
            self.recent[path] = found

    def unclaimed(self, kind: RequestKind, reason: Reason = Reason.UNCLAIMED, refusal: Refusal | None = None) -> Plan:
        """Return the plan of what no component claims: legacy, and nobody stands in."""
        outcome = (kind, reason, refusal)
        made = self._unclaimed.get(outcome)
        if made is None:
            deadlines = self.defaults.legacy
            made = self._unclaimed[outcome] = Plan(
                self.version, None, -1, UNCLAIMED, kind, Side.LEGACY, reason, label_of(self.version, reason),
                Side.LEGACY, deadlines, deadlines, refusal=refusal, ambiguous=reason is Reason.AMBIGUOUS,
            )  # fmt: skip
        return made

    def refused(self, plan: Plan, refusal: Refusal) -> Plan:
        """Return a plan that no side is asked for; the same one each time."""
        made = self._refused.get((plan, refusal))
        if made is None:
            made = self._refused[plan, refusal] = replace(plan, refusal=refusal)
        return made


def compile_table(rule_set: RuleSet | None, defaults: PlanDefaults | None = None) -> Table:
    """Return the table of a rule set that passed its checks; without one everything is unclaimed."""
    return Table(rule_set, defaults or PlanDefaults())


def label_of(version: int, reason: Reason) -> bytes:
    """Return what X-Banyan-Plan begins with: `v41;weight`."""
    return b"v%d;%b" % (version, reason.encode())
