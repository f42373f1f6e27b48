"""
The rules: read from a parsed file or from the published document, checked, and written back.

This is the room that the others import for everything about rules. It does no I/O; it takes and returns values.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal, NoReturn

import orjson
from pydantic import BaseModel, TypeAdapter, ValidationError

from proxy.core.checks import (
    check_change,
    check_components,
    component_problems,
    not_built_problems,
    warnings_of,
)
from proxy.core.errors import ConfigError, NewerSchema, Position, Problem, Unreadable
from proxy.core.model import (
    HASHES_KEPT,
    MOST_COMPONENTS,
    MOST_ROUTES,
    MOST_VALUES,
    SCHEMA,
    Breaker,
    Compare,
    CompareOverride,
    Component,
    ComponentKind,
    EntityMapping,
    Fallback,
    FallbackOverride,
    FileRecord,
    ListShape,
    Origin,
    Phase,
    Pin,
    Route,
    RuleSet,
    Side,
    Timeouts,
    TimeoutsOverride,
    may_write,
    overlay,
    record_of,
)
from proxy.core.problems import MOST_PROBLEMS, Positions, did_you_mean, first_of, joined, problems_of, shown
from proxy.core.scalars import Percent, is_larger, split_route, weight_bp

__all__ = [
    "HASHES_KEPT",
    "SCHEMA",
    "Breaker",
    "Compare",
    "CompareOverride",
    "Component",
    "ComponentKind",
    "EntityMapping",
    "Fallback",
    "FallbackOverride",
    "FileRecord",
    "ListShape",
    "Origin",
    "Percent",
    "Phase",
    "Pin",
    "Route",
    "RuleSet",
    "Side",
    "Timeouts",
    "TimeoutsOverride",
    "check_change",
    "check_components",
    "did_you_mean",
    "dump_rule_set",
    "may_write",
    "outline_of",
    "overlay",
    "parse_component",
    "parse_rule_set",
    "problems_of",
    "record_of",
    "split_route",
    "warnings_of",
    "weight_bp",
]


_SCHEMA = re.compile(r"([0-9]{1,6})(?:\.([0-9]{1,6}))?")
_MODELS: Mapping[str, type[BaseModel]] = {"components": Component, "files": FileRecord}
_PARTS: Mapping[str, TypeAdapter[Any]] = {  # each is validated by itself, name by name
    **{key: TypeAdapter(model) for key, model in _MODELS.items()},
    "origins": TypeAdapter(dict[str, Origin]),
}


def parse_component(values: object, *, file: str, positions: Positions | None = None) -> Component:
    """
    Return the component that a rule file (over `_defaults.yaml`) describes.

    Raises ConfigError with every problem of the file, each at its place. Whether it fits the other components
    is not looked at: that is `check_components`.
    """
    places = positions or {}
    if not isinstance(values, Mapping):
        what = "has no rules" if values is None else f"should be a mapping, is {shown(values)}"
        raise ConfigError([Problem(places.get((), Position(file)), "", what)])
    try:
        component = Component.model_validate(values)
    except ValidationError as exc:
        found = (*problems_of(exc, places, file, Component), *_problems_beside(values, exc, places, file))
        raise ConfigError(sorted(found, key=lambda problem: problem.at)) from exc
    problems = (*component_problems(component, places, file), *not_built_problems(component, places, file))
    if problems:
        raise ConfigError(sorted(problems, key=lambda problem: problem.at))
    return component


def outline_of(name: str, values: object) -> Component | None:
    """
    Return what is known of a component whose file is refused: for whom it waits and what it claims.

    Enough to say whether the others fit it, and no more: every other value is the default. None for a name that is
    none.
    """
    said = values if isinstance(values, Mapping) else {}
    routes = said.get("routes")
    claimed: dict[str, object] = {key: {} for key in routes} if isinstance(routes, Mapping) else {}
    outline = {"component": name, "after": said.get("after", []), "routes": claimed}
    try:
        return Component.model_validate(outline)
    except ValidationError as exc:
        left = _without(outline, exc)
    try:
        return Component.model_validate(left)
    except ValidationError:
        return None


def _problems_beside(
    values: Mapping[str, object], refused: ValidationError, places: Positions, file: str
) -> tuple[Problem, ...]:
    """Return what is wrong beside the values that were refused, without what may only follow from their absence."""
    left = _without(values, refused)
    try:
        component = Component.model_validate(left)
    except ValidationError:
        return ()
    found = (*component_problems(component, places, file), *not_built_problems(component, places, file))
    unsure = any(values.get(key) != left.get(key) for key in ("kind", "phase", "weight", "routes"))
    return tuple(each for each in found if not (unsure and each.where == "phase"))


def _without(values: Mapping[str, object], refused: ValidationError) -> dict[str, object]:
    """Return the values without the keys that were refused; of the routes, without those that were."""
    left = dict(values)
    for key, *below in (each["loc"] for each in refused.errors(include_url=False) if each["loc"]):
        routes = left.get("routes")
        if key == "routes" and below and isinstance(routes, Mapping):
            left["routes"] = {route: rules for route, rules in routes.items() if route != below[0]}
        else:
            left.pop(str(key), None)
    return left


def parse_rule_set(raw: bytes, source: str) -> RuleSet:
    """
    Return the rule set of a published document, whole or not at all; `source` names it in problems.

    Raises Unreadable when it is no JSON object, NewerSchema when it is of a newer major schema or asks for what
    this build does not have, and ConfigError when its values are no rules. Keys that a newer minor schema added
    are left out; in a document of this build's own schema an unknown key is refused. Takes time by its size, in
    short pieces when it is called in a thread: nothing in here is a long call that holds all others up.
    """
    document = _object(raw, source)
    newer = _is_newer_minor(document.get("schema"), source)
    theirs, document["schema"] = document["schema"], SCHEMA  # in memory a rule set is always of this build's schema
    try:
        _check_size(document, source)
        rule_set = _read(document, source, "ignore" if newer else "forbid")
        _check(rule_set, source)
    except ConfigError as exc:
        problems = exc.problems
    else:
        return rule_set
    if newer:
        raise NewerSchema(f"schema {theirs}, this build knows {SCHEMA}: {problems[0]}")
    raise ConfigError(problems)


def dump_rule_set(rule_set: RuleSet) -> bytes:
    """Return the document to publish: JSON, every default spelled out, weights in percent."""
    return orjson.dumps(rule_set.model_dump(mode="json", by_alias=True))


def _object(raw: bytes, source: str) -> dict[str, Any]:
    try:
        document = orjson.loads(raw)
    except orjson.JSONDecodeError as exc:
        raise Unreadable(f"{source} is not JSON: {exc}") from exc
    if not isinstance(document, dict):
        raise Unreadable(f"{source} should be a JSON object, is {shown(document)}")
    return document


def _is_newer_minor(schema: object, source: str) -> bool:
    """Say whether a document has a newer minor schema; raises NewerSchema for a newer major one."""
    known_major, known_minor = map(int, SCHEMA.split("."))
    said = _SCHEMA.fullmatch(str(schema))
    if isinstance(schema, bool | float) or said is None:
        raise Unreadable(f"{source} should say its schema like `{SCHEMA}`, says {shown(schema)}")
    major, minor = int(said[1]), int(said[2] or 0)
    if major > known_major:
        raise NewerSchema(f"{source} has schema {schema}; this build knows {SCHEMA}: upgrade before it can follow")
    return (major, minor) > (known_major, known_minor)


def _check_size(document: Mapping[str, Any], source: str) -> None:
    """Raise ConfigError for a document that has more of anything than is read: the store may hold any bytes."""
    components = document.get("components")
    found = components if isinstance(components, dict) else {}
    routes = [each.get("routes") for each in found.values() if isinstance(each, dict)]
    count = sum(len(each) for each in routes if isinstance(each, dict))
    if len(found) > MOST_COMPONENTS:
        _refuse(source, "components", f"should be at most {MOST_COMPONENTS}, are {len(found)}")
    if count > MOST_ROUTES:
        _refuse(source, "components", f"should have at most {MOST_ROUTES} routes, have {count}")
    beside = {key: value for key, value in document.items() if key not in _PARTS}
    if is_larger(beside, MOST_VALUES):
        _refuse(source, "", f"should have at most {MOST_VALUES} values beside its components")
    for key in _PARTS:
        part = document.get(key)
        for name, values in part.items() if isinstance(part, dict) else ():
            if is_larger(values, MOST_VALUES):
                _refuse(source, f"{key}.{name}", f"should have at most {MOST_VALUES} values")


def _refuse(source: str, where: str, what: str) -> NoReturn:
    raise ConfigError([Problem(Position(source), where, what)])


def _read(document: dict[str, Any], source: str, extra: Literal["ignore", "forbid"]) -> RuleSet:
    """Return the rule set of a document's values, part by part; raises ConfigError with the first problems of all."""
    problems: list[Problem] = []
    parts: dict[str, dict[str, Any]] = {key: {} for key in _PARTS if isinstance(document.get(key), dict)}
    for key, name in [(part, name) for part in parts for name in document[part]]:
        if len(problems) >= MOST_PROBLEMS:
            problems.append(Problem(Position(source), "", "and perhaps more: nothing was read behind these"))
            break
        try:
            parts[key][name] = _PARTS[key].validate_python(document[key][name], extra=extra)
        except ValidationError as exc:
            found = problems_of(exc, {}, source, _MODELS.get(key))
            problems += (replace(each, where=joined(key, name, each.where)) for each in found)
    try:
        rule_set = RuleSet.model_validate({**document, **parts}, extra=extra)
    except ValidationError as exc:
        problems += problems_of(exc, {}, source, RuleSet)
    if problems:
        raise ConfigError(problems)
    return rule_set


def _check(rule_set: RuleSet, source: str) -> None:
    """Raise NewerSchema for what a later build may have published, ConfigError for what no build would."""
    for name, component in rule_set.components.items():
        if component.component != name:
            where = f"components.{name}.component"
            raise ConfigError([Problem(Position(source), where, f"should be {name}, is {shown(component.component)}")])
        for later in not_built_problems(component, {}, source):
            raise NewerSchema(f"{later.at}: components.{name}.{later.where}: {later.what}")
    if found := check_components(rule_set.components):
        raise ConfigError(
            [
                Problem(Position(source), joined("components", each.at.file, each.where), each.what)
                for each in first_of(found)
            ]
        )
