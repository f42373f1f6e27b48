"""
Expectations: which component, kind and entity a request must get, as `rules/expect.yaml` lists them.

A regression test of the rules, offline: it asks the same `plan` that serves the traffic, and looks at no file itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

import orjson
from pydantic import AfterValidator, BeforeValidator, Field, RootModel, ValidationError

from proxy.core.errors import Problem
from proxy.core.frozen import Frozen, Items
from proxy.core.headers import UPGRADE, meaning_in_request
from proxy.core.messages import RequestHead, Saw, field
from proxy.core.phases import RequestKind
from proxy.core.plan import CALM, UNCLAIMED, Planned, Table, plan
from proxy.core.problems import Location, Positions, problem, problems_of, shown, suggestion
from proxy.core.scalars import split_route


def _checked_request(value: str) -> str:
    method, target = split_route(value)
    if method is None or not method.isascii() or not method.isupper() or not target.startswith("/"):
        raise ValueError(f"should be a method, one space and a path, is {shown(value)}")
    if not target.isascii() or not target.isprintable():
        raise ValueError("should be a path as it stands in a request: ASCII, everything else percent-encoded")
    return value


def _checked_key(value: object) -> object:
    """A key in a path is text, and people write 42."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


class Expectation(Frozen):
    """One request and what the rules must make of it; what is left out is not looked at."""

    request: Annotated[str, AfterValidator(_checked_request)]  # GET /api/users/42
    headers: dict[str, str] = Field(default_factory=dict)
    body: Any = None  # JSON, for a key that stands in it
    component: str | None = None  # `unclaimed` for a request that no component may claim
    kind: Annotated[RequestKind, Field(strict=False)] | None = None
    entity: Annotated[str | None, BeforeValidator(_checked_key)] = None  # null: it must touch none

    @property
    def says_something(self) -> bool:
        """Whether anything is expected at all."""
        return bool(self.model_fields_set & {"component", "kind", "entity"})


class Expectations(RootModel[Items[Expectation]]):
    """All of `expect.yaml`: a list."""


def check_expectations(
    table: Table, values: object, *, file: str = "expect.yaml", positions: Positions | None = None
) -> tuple[Problem, ...]:
    """
    Return what is wrong with the list `values`, and each of its expectations that the rules do not meet.

    An empty file expects nothing. Every request is judged as while all is well: no emergency, no open breaker.
    """
    places = positions or {}
    entries, found = _entries(values if values is not None else [], places, file)
    unmet = (
        problem(places, (index, *path), file, what)
        for index, entry in entries.items()
        for path, what in _unmet(table, entry)
    )
    return tuple(sorted((*found, *unmet), key=lambda each: each.at))


def _entries(values: object, places: Positions, file: str) -> tuple[dict[int, Expectation], tuple[Problem, ...]]:
    """Return the entries that are right, by their place in the list, and what is wrong with the others."""
    try:
        return dict(enumerate(Expectations.model_validate(values).root)), ()
    except ValidationError as exc:
        found = problems_of(exc, places, file, Expectations)
        wrong = {each["loc"][0] for each in exc.errors(include_url=False) if each["loc"]}
    listed = enumerate(values) if isinstance(values, list) else ()
    return {index: Expectation.model_validate(each) for index, each in listed if index not in wrong}, found


def _unmet(table: Table, entry: Expectation) -> Iterator[tuple[Location, str]]:
    if not entry.says_something:
        yield (), "expects nothing; say which component, kind or entity it must get"
        return
    planned = plan(table, _head_of(entry), [CALM] * len(table.components))
    component = planned.plan.component or UNCLAIMED
    but = f", but `{entry.request}`"
    route = f"(route `{planned.plan.route}`)" if planned.plan.component else "(no route claims it)"
    if entry.component is not None and entry.component != component:
        known = (*(each.name for each in table.components), UNCLAIMED)
        hint = "" if entry.component in known else suggestion(entry.component, known)
        yield ("component",), f"expected {shown(entry.component)}{but} goes to `{component}` {route}{hint}"
    if entry.kind is not None and entry.kind is not planned.plan.kind:
        yield ("kind",), f"expected a {entry.kind}{but} is a {planned.plan.kind} {route}"
    if "entity" in entry.model_fields_set:
        key = _key_of(planned, entry)
        if entry.entity not in (key, f"{component}/{key}"):
            wanted = f"the entity {shown(entry.entity)}" if entry.entity is not None else "no entity"
            said = f"{component}/{key}" if "/" in (entry.entity or "") else key
            touches = f"touches {shown(said)}" if key is not None else "touches none"
            yield ("entity",), f"expected {wanted}{but} {touches} {route}"


def _head_of(entry: Expectation) -> RequestHead:
    """Return the head as the wire would hand it over."""
    method, target = split_route(entry.request)
    head = RequestHead((method or "").encode(), target.encode())
    for raw, value in entry.headers.items():
        name = raw.lower().encode()
        meaning = meaning_in_request(name)
        if meaning == UPGRADE:
            head.upgrade = value.encode()
        elif meaning == Saw.OVERRIDE:
            head.saw |= Saw.OVERRIDE
        head.fields += field(name, value.encode())
    return head


def _key_of(planned: Planned, entry: Expectation) -> str | None:
    source = planned.plan.entity
    if source is None:
        return None
    key = source.of_body(orjson.dumps(entry.body)) if source.in_body else source.of_path(planned.params)
    return None if key is None else key.decode(errors="replace")
