"""
A file edit applies exactly what was edited: what differs between two states of a rule file, laid over what is live.

Works on parsed values, before the defaults of the models, field by field. A field is a path of keys and not a dotted
word, because route templates contain dots. Decides what a changed file means; others read, publish and report.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

from proxy.core.brief import brief
from proxy.core.model import Component, FileRecord, Origin, RuleSet
from proxy.core.problems import dotted, shown

Path = tuple[str, ...]
Values = dict[str, Any]


class _Absent(Enum):
    ABSENT = "absent"


ABSENT: Final = _Absent.ABSENT  # the value of a field that is not there


@dataclass(frozen=True, slots=True)
class Edit:
    """One field that differs; `old` or `new` is ABSENT where the field is not there."""

    path: Path
    old: Any
    new: Any

    @property
    def field(self) -> str:
        """The field as operators write it: `breaker.error_pct`."""
        return dotted(self.path)

    def __str__(self) -> str:
        return f"{self.field}: {said(self.old)} → {said(self.new)}"


@dataclass(frozen=True, slots=True)
class Seed:
    """The component was never published: take the file whole."""


@dataclass(frozen=True, slots=True)
class Publish:
    """Lay these edits over what is live; `replaced` names the live values (old) that were not the file's own."""

    edits: tuple[Edit, ...]
    replaced: tuple[Edit, ...] = ()


@dataclass(frozen=True, slots=True)
class Remove:
    """The file of the live component is gone: remove it, if its phase allows."""


@dataclass(frozen=True, slots=True)
class Same:
    """This state of the file is live already."""


@dataclass(frozen=True, slots=True)
class Drift:
    """The file is not what is live, and nobody edited it into that just now: only show it."""

    why: str


Decision = Seed | Publish | Remove | Same | Drift


def on_file(
    live: FileRecord | None,
    live_component: Component | None,
    *,
    was: str | None,
    now: str | None,
    values: Mapping[str, Any] | None,
    starting: bool,
) -> Decision:
    """
    Decide what the state `now` (a hash, and its `values`) of a component's file means for the published rules.

    `live` is what was last taken from the file, with `live_component` None if the component was removed since.
    `was` is the last state that this replica saw live, or published; it stays what it was as long as a publication
    fails. `now` is None for a file that is gone, `was` for one that was not there. `starting`: the first look.
    """
    if live is None and live_component is None:
        return Same() if now is None else Seed()
    live_hash = live.hash if live is not None and live_component is not None else None
    if now == live_hash:
        return Same()
    known = live.hashes if live is not None else ()
    if starting and now is None:
        return Drift("the component is live and has no file here")
    if starting and now in known:
        return Drift("the file is in a state that was live before; it takes nothing back")
    if not starting and was != live_hash:
        why = "the file was edited from a state that is not what is live; `banyan rules push` publishes the edit"
        return Drift(why)
    if now is None:
        return Remove()
    return _publish(live.values if live is not None and live_hash is not None else {}, values or {}, live_component)


def leaves(values: Mapping[str, Any]) -> dict[Path, Any]:
    """
    Return every field by its path: words, numbers, whole lists, and whole rules of `compare`, short or long.

    A route is a field of its own (with the value {}) beside the fields in it, because being there is what counts.
    """
    return dict(_leaves(values, ()))


def edits(old: Mapping[str, Any], new: Mapping[str, Any]) -> tuple[Edit, ...]:
    """Return the fields that differ between two states of a file, in the order of the new one, the gone ones last."""
    before, after = leaves(old), leaves(new)
    changed = [
        Edit(path, before.get(path, ABSENT), value)
        for path, value in after.items()
        if path not in before or not _equal(before[path], value)
    ]
    return (*changed, *(Edit(path, value, ABSENT) for path, value in before.items() if path not in after))


def apply_edits(values: Mapping[str, Any], changes: Iterable[Edit]) -> Values:
    """Return a copy of `values` with the edits laid over it; every field that no edit names stays as it is."""
    result = copy.deepcopy(dict(values))
    changes = tuple(changes)
    for edit in changes:
        if edit.new is ABSENT:
            _take_out(result, edit)
    for edit in changes:
        if edit.new is not ABSENT:
            _put_in(result, edit)
    return result


def with_defaults(defaults: Mapping[str, Any], values: Mapping[str, Any]) -> Values:
    """Return `values` over `defaults`: mappings are joined, everything else is replaced whole, as is a field."""
    return _over(defaults, values, ())


def _over(defaults: Mapping[str, Any], values: Mapping[str, Any], path: Path) -> Values:
    result = copy.deepcopy(dict(defaults))
    for key, value in values.items():
        below, at = result.get(key), (*path, key)
        if isinstance(below, dict) and isinstance(value, Mapping) and not _is_allowance(at):
            result[key] = _over(below, value, at)
        else:
            result[key] = copy.deepcopy(value)
    return result


def values_of(component: Component) -> Values:
    """Return what a file would have to say for this component: what differs from the defaults, as plain values."""
    values = component.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    if values.get("cohort") == component.component:
        del values["cohort"]
    return values


def merged(live: Component | None, changes: Iterable[Edit]) -> Values:
    """Return the values of the live component with the edits laid over them, to be parsed and checked anew."""
    return apply_edits(values_of(live) if live is not None else {}, changes)


def differences(before: Component | None, after: Component | None) -> tuple[Edit, ...]:
    """
    Return the fields in which two states of a component differ; a default counts as if it were written down.

    From live to file it is what `rules diff` shows, from file to live what `rules pull` writes; between two
    published states it is the diff that the history keeps.
    """
    found = edits(*(values_of(each) if each is not None else {} for each in (before, after)))
    old, new = (each.model_dump(mode="json", by_alias=True) if each is not None else {} for each in (before, after))
    return tuple(
        Edit(
            edit.path,
            _value_at(old, edit.path) if edit.old is ABSENT else edit.old,
            _value_at(new, edit.path) if edit.new is ABSENT else edit.new,
        )
        for edit in found
    )


def origins_after(
    before: RuleSet | None, components: Mapping[str, Component], origin: Origin
) -> dict[str, dict[str, Origin]]:
    """Return who set each field, once `components` follow on `before`: `origin` for what changes, else as it was."""
    return {
        name: _origins(
            before.components.get(name) if before is not None else None,
            component,
            before.origins.get(name, {}) if before is not None else {},
            origin,
        )
        for name, component in components.items()
    }


def _origins(was: Component | None, now: Component, known: Mapping[str, Origin], origin: Origin) -> dict[str, Origin]:
    changed = {edit.field: edit.new for edit in differences(was, now) if edit.path != ("component",)}
    kept = {field: who for field, who in known.items() if field not in changed}
    return kept | {field: origin for field, new in changed.items() if new is not ABSENT and new != {}}


def _publish(taken: Mapping[str, Any], values: Mapping[str, Any], live: Component | None) -> Publish:
    changes = edits(taken, values)
    document = live.model_dump(mode="json", by_alias=True) if live is not None else {}
    minimal = values_of(live) if live is not None else {}
    replaced = []
    for edit in changes:
        held = _value_at(minimal, edit.path)
        if edit.new != {} and not _equal(held, edit.old) and not _equal(held, edit.new):
            value = _value_at(document, edit.path)
            replaced += [Edit(edit.path, value, edit.new)] if not _equal(value, edit.old) else []
    return Publish(changes, tuple(replaced))


def _is_route(path: Path) -> bool:
    return len(path) == 2 and path[0] == "routes"


def _is_allowance(path: Path) -> bool:
    """Say whether a single rule of `compare` stands here: of the component, or of one of its routes."""
    within = path[2:] if _is_route(path[:2]) else path
    return len(within) == 3 and within[0] == "compare"


def _leaves(values: Mapping[str, Any], path: Path) -> Iterator[tuple[Path, Any]]:
    for key, value in values.items():
        below = (*path, key)
        if _is_route(below):
            yield below, {}
            if not value:
                continue
        if isinstance(value, Mapping) and value and not _is_allowance(below):
            yield from _leaves(value, below)
        elif not _is_route(below):
            yield below, value


def _take_out(values: Values, edit: Edit) -> None:
    parents: list[Values] = [values]
    for key in edit.path[:-1]:
        below = parents[-1].get(key)
        if not isinstance(below, dict):
            return
        parents.append(below)
    held = parents[-1].get(edit.path[-1])
    if held and edit.old == {} and not _is_route(edit.path):
        return  # it was empty in the file; what came into it since is not the file's
    parents[-1].pop(edit.path[-1], None)
    for depth in range(len(parents) - 1, 0, -1):
        if parents[depth] or _is_route(edit.path[:depth]):
            return
        del parents[depth - 1][edit.path[depth - 1]]


def _put_in(values: Values, edit: Edit) -> None:
    for key in edit.path[:-1]:
        below = values.get(key)
        if not isinstance(below, dict):
            below = values[key] = {}
        values = below
    key = edit.path[-1]
    if edit.new != {} or not isinstance(values.get(key), dict):
        values[key] = copy.deepcopy(edit.new)


def _value_at(values: Any, path: Path) -> Any:
    for key in path:
        if not isinstance(values, dict) or key not in values:
            return ABSENT
        values = values[key]
    return values


def _equal(one: Any, other: Any) -> bool:
    """Python's `==`, but 1 is not true."""
    return bool(one == other) and isinstance(one, bool) == isinstance(other, bool)


def said(value: Any) -> str:
    """Return a value as people write it."""
    if value is ABSENT:
        return "nothing"
    if isinstance(value, list):
        return f"[{', '.join(map(_item, value))}]"
    if isinstance(value, Mapping) and value:
        return _item(value)
    return shown(value).strip("`")


def _item(value: Any) -> str:
    """Show one item of a list, or one rule of `compare`: `{path: $.etag, until: 2027-01-31}`."""
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{name}: {_item(each)}' for name, each in value.items())}}}"
    return brief(str(value)) if isinstance(value, str | int | float) else "…"
