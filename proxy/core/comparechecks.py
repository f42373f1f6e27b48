"""
What is allowed in `compare` and probably not meant: rules that have ended, and rules that another one makes idle.

Each rule was found right by itself (`allowances`). Here they are held against each other and against the time.
"""

from __future__ import annotations

from collections.abc import Iterator

from proxy.core.allowances import Allowance, Ignored
from proxy.core.model import Compare, CompareOverride, Component
from proxy.core.problems import Location

_Finding = tuple[Location, str]
_Rule = tuple[Location, str, Allowance]  # where, its path, what it says
_Said = Compare | CompareOverride


def compare_doubts(component: Component, now_s: float) -> Iterator[_Finding]:
    """Yield (where in the component, what) for the `compare` of a component and those of its routes."""
    ignored = component.compare.ignore
    yield from _doubts(("compare",), component.compare, ignored, now_s)
    for key, route in component.routes.items():
        if route.compare is not None:
            own = route.compare.ignore
            yield from _doubts(("routes", key, "compare"), route.compare, ignored if own is None else own, now_s)


def _doubts(above: Location, said: _Said, ignored: tuple[Ignored, ...], now_s: float) -> Iterator[_Finding]:
    idle = {each.path for each in ignored if not _has_ended(each, now_s)}
    for where, path, rule in _rules(said):
        if _has_ended(rule, now_s):
            yield (*above, *where), f"`{where[0]} {path}` has ended ({rule.until}): take it out, or give it more time"
        elif path in idle and where[0] != "ignore":
            yield (*above, *where), f"`{where[0]} {path}` has no effect: what stands there is ignored"
    yield from _twice(above, "ignore", tuple(each.path for each in said.ignore or ()))
    yield from _twice(above, "headers", said.headers or ())
    yield from _twice(above, "reveal", said.reveal or ())


def _has_ended(rule: Allowance, now_s: float) -> bool:
    return rule.until_s is not None and rule.until_s <= now_s


def _rules(said: _Said) -> Iterator[_Rule]:
    """Yield every single rule."""
    for index, ignored in enumerate(said.ignore or ()):
        yield ("ignore", index), ignored.path, ignored
    for name, rules in (("unordered", said.unordered), ("tolerance", said.tolerance), ("equal_if", said.equal_if)):
        for path, rule in (rules or {}).items():
            yield (name, path), path, rule


def _twice(above: Location, name: str, words: tuple[str, ...]) -> Iterator[_Finding]:
    for index, word in enumerate(words):
        if word in words[:index]:
            yield (*above, name, index), f"`{word}` stands here twice"
