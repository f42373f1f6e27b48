"""
The rule files of a folder published by hand: what was edited in them, laid over what is live, all of it or nothing.

Pure, like `changes`. A folder does not say from which state it was edited, so what looks like an old state of it is
refused and named, unless the operator says that the files count whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from proxy.core.changes import Draft, FileState, drafted
from proxy.core.checks import removal_problems
from proxy.core.errors import ConfigError, NotAllowed
from proxy.core.merge import Edit, edits, merged
from proxy.core.rules import (
    Component,
    FileRecord,
    Phase,
    RuleSet,
    check_change,
    check_components,
    parse_component,
    record_of,
)

Change = tuple[str, Edit]  # a component's name, and one of its fields that a publication changed

_BOTH_WAYS = "`rules pull --write` brings it up to date, `rules push --take files` publishes it as it is"


def push(
    rules: RuleSet, files: Mapping[str, FileState], past: Iterable[Change] = (), *, take_files: bool = False
) -> Draft:
    """
    Publish what was edited in the rule files since they were last taken, all of them or none.

    A component without a file is removed, which only one that is off or retired can be. With `take_files` the files
    count whole: live values that differ are replaced. `past` are the changes that the history knows. Raises
    NotAllowed for a component that cannot be removed, for an empty folder, for a file that would take something back
    because it is in a state from before or says a value from before, unless `take_files` says that it is meant;
    ConfigError, with every place, when the result would not be valid.
    """
    if not take_files:
        _check_pushed(rules, files)
    components = {name: _taken(rules, name, file, take_files) for name, file in files.items()}
    records = {**rules.files, **{name: _record(rules, name, file.hash, file.values) for name, file in files.items()}}
    records |= {name: _record(rules, name, "", {}) for name in rules.components if name not in components}
    draft = drafted(rules, components, files=records)
    if not take_files:
        old = frozenset(name for name, file in files.items() if _is_from_before(rules, name, file))
        _check_kept(rules, draft, past, old)
    positions = {name: file.positions for name, file in files.items()}
    problems = (
        *check_components(components, positions),
        *check_change(rules, components, verb=False, positions=positions),
    )
    if problems:
        raise ConfigError(sorted(problems))
    gone = (live for name, live in rules.components.items() if name not in files)
    moved = tuple(f"{each.component}: legacy answers its requests again" for each in gone if _is_retired(each))
    return Draft(draft.rules, draft.edits, (*draft.warnings, *moved), always=records != rules.files)


def _check_pushed(rules: RuleSet, files: Mapping[str, FileState]) -> None:
    """Raise NotAllowed when the files are probably not those that are meant."""
    if rules.components and not files:
        raise NotAllowed("there are no rule files here: `rules push --take files` removes every component")
    for name, live in rules.components.items():
        if name not in files and (problems := removal_problems(live)):
            raise NotAllowed(f"{name} has no file here and {problems[0].what}; `rules pull --write` writes its file")


def _check_kept(rules: RuleSet, draft: Draft, past: Iterable[Change], old: frozenset[str]) -> None:
    """Raise NotAllowed when an edit says what a field, or the whole file, said before: is that meant?"""
    back = tuple(_taken_back(rules, draft, past, old))
    if back:
        raise NotAllowed(
            f"the files here would take back: {'; '.join(back)}; if these files are older than that, {_BOTH_WAYS}"
        )


def _taken_back(rules: RuleSet, draft: Draft, past: Iterable[Change], old: frozenset[str]) -> Iterator[str]:
    """Say each field that would be taken back; all that a file in a state from before (`old`) changes is."""
    said_before = [(name, edit.path, edit.old) for name, edit in past]
    for name, changed in draft.edits.items():
        if name not in rules.components or name not in draft.rules.components:
            continue
        for edit in changed:
            if name in old or (name, edit.path, edit.new) in said_before:
                origin = rules.origins.get(name, {}).get(edit.field)
                whose = f" (now by {origin.who}, {origin.at})" if origin is not None else ""
                yield f"{name}.{edit}{whose}"


def _is_retired(component: Component) -> bool:
    return component.effective_phase is Phase.RETIRED


def _is_from_before(rules: RuleSet, name: str, file: FileState) -> bool:
    record = rules.files.get(name)
    return name in rules.components and record is not None and file.hash in record.hashes and file.hash != record.hash


def _taken(rules: RuleSet, name: str, file: FileState, whole: bool) -> Component:
    """Return the component that a file makes: all of it, or what was edited in it laid over what is live."""
    live, record = rules.components.get(name), rules.files.get(name)
    if live is None or whole or record is None:
        return file.rules
    values = merged(live, edits(record.values, file.values))
    return parse_component(values, file=name, positions=file.positions)


def _record(rules: RuleSet, name: str, file_hash: str, values: Mapping[str, Any]) -> FileRecord:
    record = rules.files.get(name)
    return record_of(file_hash, dict(values), record.hashes if record is not None else ())
