"""
Do the parts of the rules fit each other, and may this change be made?

Each value was found right by itself (`model`, `scalars`). Here: one component's values against each other, the
components against each other, and a change against what is in force. Returns problems and warnings, raises nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Literal

from proxy.core.circles import circles
from proxy.core.comparechecks import compare_doubts
from proxy.core.errors import Position, Problem
from proxy.core.model import (
    DEFAULT_SHADOW,
    MOST_COMPONENTS,
    MOST_ROUTES,
    Component,
    ComponentKind,
    Phase,
    Route,
    RuleSet,
    may_write,
)
from proxy.core.problems import KEY, Location, Positions, dotted, either, place, problem, shown, suggestion
from proxy.core.routes import Template, clashes, parse_template
from proxy.core.scalars import READ_METHODS, split_route

_Finding = tuple[Location, str]  # where in the component, what
_PositionsOf = Mapping[str, Positions]  # by component

_BEFORE_CANARY = (Phase.OFF, Phase.BACKFILL, Phase.SHADOW)
_PHASES_WITH_SHADOWS = (Phase.SHADOW, Phase.CANARY, Phase.CUTOVER)
_PHASES_WITHOUT_COPIES = (Phase.OFF, Phase.SHADOW, Phase.CANARY, Phase.RETIRED)
_HINTS = 3  # more unknown names than these are no slips, and each is compared with all that there are
_NAMED_IN_CIRCLE = 5
_NAMED_ROUTES = 3  # how many of the routes in question a sentence names


def component_problems(component: Component, positions: Positions, file: str) -> tuple[Problem, ...]:
    """Return what does not fit inside one component, in the order of the file."""
    return _in_order(positions, file, (*_phase_fits(component), *_routes_fit(component), *_words_fit(component)))


def not_built_problems(component: Component, positions: Positions, file: str) -> tuple[Problem, ...]:
    """Return what is valid and asks for something that this build does not have yet."""
    return _in_order(positions, file, _not_built(component))


def check_components(components: Mapping[str, Component], positions: _PositionsOf | None = None) -> tuple[Problem, ...]:
    """
    Return every problem of the components taken together: each one's own, and where they do not fit each other.

    `positions` holds, by component, what its file's parser told; without it a problem stands at the component's name.
    """
    places = positions or {}
    found: list[Problem] = []
    for name, component in components.items():
        own = (
            *_phase_fits(component),
            *_routes_fit(component),
            *_words_fit(component),
            *_not_built(component),
        )
        found += _in_order(places.get(name, {}), name, own)
    found += _names_known(components, places)
    found += _within_bounds(components, places)
    found += _circles(components, places)
    found += _clashes(components, places)
    return tuple(sorted(found, key=lambda each: each.at))


def warnings_of(
    components: Mapping[str, Component], positions: _PositionsOf | None = None, now_s: float = 0.0
) -> tuple[Problem, ...]:
    """
    Return what is allowed and probably not meant, in the order of the files.

    `now_s`, since 1970, tells which rules of `compare` have ended; without it none has.
    """
    places = positions or {}
    found = [
        each
        for name, component in components.items()
        for each in _in_order(places.get(name, {}), name, (*_doubts(component), *compare_doubts(component, now_s)))
    ]
    return tuple(sorted(found, key=lambda each: each.at))


def check_change(
    before: RuleSet | None,
    after: Mapping[str, Component],
    *,
    verb: bool,
    live_changes: Literal["all", "emergency_only"] = "all",
    positions: _PositionsOf | None = None,
) -> tuple[Problem, ...]:
    """
    Return why the components `after` may not follow on `before`; `verb` says that an operator asked for it by name.

    Only what changes is judged: a component that stays where it is, or goes back, never waits for another.
    """
    places = positions or {}
    published = before.components if before is not None else {}
    found = [each for name in published.keys() - after.keys() for each in removal_problems(published[name])]
    for name, component in after.items():
        was = published.get(name)
        if was is component or was == component:  # the first is quick, and nearly always it
            continue
        own = [*_order(component, was, after), *([] if verb or was is None else _by_verb_only(component, was))]
        if verb and live_changes == "emergency_only":
            own.append(((), "live changes are switched off (live_changes: emergency_only); edit the rule file"))
        found += _in_order(places.get(name, {}), name, own)
    return tuple(sorted(found, key=lambda each: each.at))


def removal_problems(component: Component) -> tuple[Problem, ...]:
    """Return why a component cannot be removed as it stands; empty when it can."""
    phase = component.effective_phase
    if phase in (Phase.OFF, Phase.RETIRED):
        return ()
    what = f"is in {phase}: a component can be removed only when it is off or retired"
    return (Problem(Position(component.component), "", what),)


def _in_order(positions: Positions, file: str, findings: Iterable[_Finding]) -> tuple[Problem, ...]:
    found = (problem(positions, path, file, what) for path, what in findings)
    return tuple(sorted(found, key=lambda each: each.at))


def _phase_fits(component: Component) -> Iterator[_Finding]:
    if component.kind is not ComponentKind.ENTITY and component.effective_phase not in _PHASES_WITHOUT_COPIES:
        phases = either(_PHASES_WITHOUT_COPIES)
        yield (
            ("phase",),
            f"should be {phases} for a component of kind {component.kind}, is `{component.phase}`; "
            "only `kind: entity` is copied",
        )


def _routes_fit(component: Component) -> Iterator[_Finding]:
    for key, route in component.routes.items():
        names = parse_template(key).names
        entity = route.entity
        if entity is not None and entity.startswith("{") and entity[1:-1] not in names:
            known = f"has {either(f'`{{{name}}}`' for name in names)}" if names else "has no parameter"
            yield ("routes", key, "entity"), f"should name a parameter of the path, is `{entity}`; the path {known}"


def _words_fit(component: Component) -> Iterator[_Finding]:
    for index, source in enumerate(component.sticky):
        if source in component.sticky[:index]:
            yield ("sticky", index), f"`{source}` stands here twice"
    for index, name in enumerate(component.after):
        if name == component.component:
            yield ("after", index), "a component cannot wait for itself"


def _not_built(component: Component) -> Iterator[_Finding]:
    phase = component.effective_phase
    if component.kind is ComponentKind.ENTITY and phase in (Phase.BACKFILL, Phase.CUTOVER):
        yield ("phase",), f"`{phase}` is not built yet: writes do not reach both sides so far"
    if phase is Phase.RETIRED and component.write_routes:
        yield (
            ("phase",),
            f"`retired` is not built yet for a component with routes that may write ({_some(component.write_routes)}); "
            "if it has no writes, say `kind: readonly`, or give the routes a method",
        )


def _within_bounds(components: Mapping[str, Component], places: _PositionsOf) -> Iterator[Problem]:
    """Report the components and routes that a rule set has no room for, at those that come last."""
    routes = 0
    for at, (name, component) in enumerate(components.items()):
        if at >= MOST_COMPONENTS:
            what = f"is one component too many: a rule set has at most {MOST_COMPONENTS:,}"
            yield problem(places.get(name, {}), (), name, what)
        routes += len(component.routes)
        if routes > MOST_ROUTES and component.routes:
            what = f"makes it {routes:,} routes: a rule set has at most {MOST_ROUTES:,}"
            yield problem(places.get(name, {}), ("routes",), name, what)


def _names_known(components: Mapping[str, Component], places: _PositionsOf) -> Iterator[Problem]:
    """Report what is named and does not exist; what was meant is looked for as long as it may be a slip."""
    unknown = 0
    for name, component in components.items():
        for path, other in _named_by(component):
            if other not in components:
                unknown += 1
                hint = suggestion(other, components) if unknown <= _HINTS else ""
                yield problem(places.get(name, {}), path, name, f"no component is called {shown(other)}{hint}")


def _named_by(component: Component) -> Iterator[tuple[Location, str]]:
    lists: list[tuple[Location, tuple[str, ...]]] = [(("after",), component.after)]
    lists += [(("routes", key, "affects"), route.affects) for key, route in component.routes.items()]
    for path, names in lists:
        for index, name in enumerate(names):
            yield (*path, index), name


def _circles(components: Mapping[str, Component], places: _PositionsOf) -> Iterator[Problem]:
    """Report each knot of `after` once, at its member that comes first by name."""
    for circle in circles({name: component.after for name, component in components.items()}):
        first, more = circle[0], len(circle) - _NAMED_IN_CIRCLE
        way = (*circle[:_NAMED_IN_CIRCLE], *([f"… {more:,} more"] if more > 0 else []), first)
        yield problem(places.get(first, {}), ("after",), first, f"goes in a circle: {' → '.join(way)}")


def _clashes(components: Mapping[str, Component], places: _PositionsOf) -> Iterator[Problem]:
    routes: list[tuple[Template, tuple[str, str]]] = [
        (parse_template(key), (name, key)) for name, component in components.items() for key in component.routes
    ]
    for (first, first_key), (name, key) in clashes(routes):
        at = place(places.get(first, {}), ("routes", first_key, KEY), first)
        there = f"`{first_key}` of {first}" + (f" ({at})" if at != Position(first) else "")
        path: Location = ("routes", key)
        yield Problem(
            place(places.get(name, {}), (*path, KEY), name), dotted(path), f"cannot be told apart from {there}"
        )


def _doubts(component: Component) -> Iterator[_Finding]:
    phase = component.effective_phase
    if not component.routes:
        yield (), "claims no route, so it gets no request"
    if component.weight > 0 and phase in _BEFORE_CANARY:
        yield ("weight",), f"has no effect in phase {phase}; it counts from canary on"
    if component.shadow > DEFAULT_SHADOW and phase not in _PHASES_WITH_SHADOWS:
        yield ("shadow",), f"has no effect in phase {phase}; reads are shadowed from phase shadow to cutover"
    if phase is Phase.CANARY and component.write_routes:
        stay = f"writes stay on legacy ({_some(component.write_routes)}): modern must get its data another way"
        yield ("weight",) if component.phase is None else ("phase",), stay
    for key, route in component.routes.items():
        yield from _route_doubts(component, key, route)
    if "client" in component.sticky[:-1]:
        index = component.sticky.index("client") + 1
        yield ("sticky", index), "is never asked: every request has a client, which stands before it"


def _route_doubts(component: Component, key: str, route: Route) -> Iterator[_Finding]:
    if route.weight is not None and route.weight > component.weight:
        yield (
            ("routes", key, "weight"),
            f"{route.weight:g} has no effect while the component's weight is {component.weight:g}: the smaller counts",
        )
    method = split_route(key)[0]
    explicit = method is not None and method not in READ_METHODS
    if component.kind is ComponentKind.READONLY and explicit and may_write(key, route):
        yield ("routes", key), "is a write in a component of kind readonly: it will go to legacy and raise an alarm"


_Progress = tuple[int, float]


def _progress(component: Component | None) -> _Progress:
    """How far a component is: its phase, then its weight where that counts."""
    if component is None:
        return (Phase.OFF.rank, 0.0)
    phase = component.effective_phase
    return (phase.rank, component.weight if phase is Phase.CANARY else 0.0)


def _order(component: Component, was: Component | None, after: Mapping[str, Component]) -> Iterator[_Finding]:
    goal = _progress(component)
    if goal <= _progress(was):
        return
    for name in component.after:
        other = after.get(name)
        if other is not None and _progress(other) < goal:
            yield (
                ("weight",) if component.phase is None else ("phase",),
                f"{name} should be at least as far first: it is at {_stand(other)}, this would be {_stand(component)}",
            )


def _stand(component: Component) -> str:
    phase = component.effective_phase
    return f"{phase} {component.weight:g} %" if phase is Phase.CANARY else str(phase)


def _by_verb_only(component: Component, was: Component) -> Iterator[_Finding]:
    """A phase that is spelled out moves by verb; without one the component follows its weight, as files may say."""
    now, before = component.effective_phase, was.effective_phase
    spelled_out = component.phase is not None or was.phase is not None
    if was.kind is ComponentKind.ENTITY and now is not before and spelled_out:
        verb = f"banyan phase {component.component} {now}"
        yield ("phase",), f"goes from {before} to {now} by verb only, as it moves writes: `{verb}`"


def _some(routes: tuple[str, ...]) -> str:
    named = ", ".join(f"`{key}`" for key in routes[:_NAMED_ROUTES])
    return named if len(routes) <= _NAMED_ROUTES else f"{named} and {len(routes) - _NAMED_ROUTES} more"
