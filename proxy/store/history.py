"""
The history of the rules: what each publication changed, as it is kept beside them, and what taking it back means.

Pure: entries in and out as words of a stream; reading and publishing is done in `rules`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from proxy.core.errors import NotAllowed
from proxy.core.merge import ABSENT, Edit, differences, merged
from proxy.core.rules import Component, RuleSet, parse_component


@dataclass(frozen=True, slots=True)
class Change:
    """One field of one component that a publication changed."""

    component: str
    edit: Edit

    def __str__(self) -> str:
        return f"{self.component}.{self.edit}"


@dataclass(frozen=True, slots=True)
class Publication:
    """One version: who published it and why, and every field that it changed."""

    version: int
    epoch: str
    who: str
    why: str
    at: str  # RFC 3339
    changes: tuple[Change, ...]


def changes_between(before: RuleSet | None, after: RuleSet) -> tuple[Change, ...]:
    """Return every field that differs between two rule sets, component by component."""
    was = before.components if before is not None else {}
    names = dict.fromkeys((*was, *after.components))
    return tuple(
        Change(name, edit) for name in names for edit in differences(was.get(name), after.components.get(name))
    )


def publication_of(before: RuleSet | None, after: RuleSet) -> Publication:
    """Return the entry that a publication of `after` over `before` adds to the history."""
    return Publication(after.version, after.epoch, after.who, after.why, after.at, changes_between(before, after))


def words_of(publication: Publication) -> list[str]:
    """Return an entry as the names and values of a stream's entry."""
    diff = orjson.dumps([_written(change) for change in publication.changes]).decode()
    texts = {"version": str(publication.version), "epoch": publication.epoch, "who": publication.who}
    texts |= {"why": publication.why, "at": publication.at, "diff": diff}
    return [word for pair in texts.items() for word in pair]


def read_publication(entry: Mapping[str, str]) -> Publication | None:
    """Return the entry that these fields make, None for one that is not of ours."""
    try:
        changes = tuple(_read(each) for each in orjson.loads(entry["diff"]))
        version = int(entry["version"])
        return Publication(version, entry["epoch"], entry["who"], entry["why"], entry["at"], changes)
    except (KeyError, TypeError, ValueError):
        return None


def taken_back(rule_set: RuleSet, publication: Publication) -> dict[str, Component]:
    """
    Return the components as they are without what `publication` changed; later changes of other fields stay.

    Raises NotAllowed when one of its fields was changed again since, ConfigError when the result is no component.
    """
    since = [change for change in publication.changes if not _still(rule_set, change)]
    if since:
        names = ", ".join(f"{change.component}.{change.edit.field}" for change in since)
        raise NotAllowed(f"version {publication.version} cannot be taken back alone: changed again since: {names}")
    components = dict(rule_set.components)
    for name in dict.fromkeys(change.component for change in publication.changes):
        back = [_reversed(change.edit) for change in publication.changes if change.component == name]
        if any(edit.path == ("component",) and edit.new is ABSENT for edit in back):
            components.pop(name, None)
        else:
            components[name] = parse_component(merged(components.get(name), back), file=name)
    return components


def _still(rule_set: RuleSet, change: Change) -> bool:
    """Say whether a field has the value that a change gave it."""
    component = rule_set.components.get(change.component)
    if component is None:
        return change.edit.new is ABSENT
    value: Any = component.model_dump(mode="json", by_alias=True)
    for key in change.edit.path:
        value = value.get(key, ABSENT) if isinstance(value, dict) else ABSENT
    if change.edit.new == {}:
        return value is not ABSENT
    return bool(value == change.edit.new)


def _reversed(edit: Edit) -> Edit:
    return Edit(edit.path, edit.new, edit.old)


def _written(change: Change) -> dict[str, Any]:
    said: dict[str, Any] = {"component": change.component, "path": list(change.edit.path)}
    if change.edit.old is not ABSENT:
        said["old"] = change.edit.old
    if change.edit.new is not ABSENT:
        said["new"] = change.edit.new
    return said


def _read(said: Mapping[str, Any]) -> Change:
    path: Iterable[str] = said["path"]
    return Change(said["component"], Edit(tuple(path), said.get("old", ABSENT), said.get("new", ABSENT)))
