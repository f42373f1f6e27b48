"""
What the rule files mean for the published rules, all files taken together: which edits to publish, what to refuse.

Pure: (folder, rules in force, what this replica saw before) → `Intake`. A single file is judged by `core.merge`; here
the edits of several files have to fit each other, and one that does not fit stops nobody but its own component.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from proxy.core.checks import check_change, check_components, removal_problems
from proxy.core.errors import ConfigError, Problem
from proxy.core.merge import Drift, Edit, Publish, Same, Seed, differences, merged, on_file
from proxy.core.model import Component, FileRecord, RuleSet, record_of
from proxy.core.problems import Positions
from proxy.core.rules import parse_component
from proxy.rulefiles import Frozen, RuleFile, RuleFolder

EDITS_TOLD = 3  # how many edits of a file a sentence names
FILES_TOLD = 4
_REMOVED = "the component was removed; `banyan rules push` publishes its file as a new one"


@dataclass(frozen=True, slots=True)
class Memory:
    """
    What a replica knows of its files, by component.

    `seen` is the state that was last dealt with: an edit is a step from there. `first` is the state in which a file
    was found at all, perhaps before the store could be read. `gone` are files that were here and went: one of them
    that is back was put back.
    """

    seen: Mapping[str, str] = field(default_factory=dict)
    first: Mapping[str, str] = field(default_factory=dict)
    gone: frozenset[str] = frozenset()

    def found(self, folder: RuleFolder) -> Memory:
        """Return the memory after another look at the folder."""
        if folder.fault is not None:
            return self
        here = {name: file.hash for name, file in folder.files.items()}
        gone = self.gone | (self.first.keys() - here.keys() - folder.frozen.keys())
        return Memory(self.seen, {**here, **self.first}, gone)

    def dealt_with(self, states: Mapping[str, str]) -> Memory:
        """Return the memory after these states (hashes) were published, or need not be."""
        return Memory({**self.seen, **states}, self.first, self.gone - states.keys())


@dataclass(frozen=True, slots=True)
class FileDrift:
    """A component whose file (None: it has none here) is not what is live, its state, and why that is only shown."""

    component: str
    file: str | None
    why: str
    state: str = ""  # a hash

    @property
    def what(self) -> tuple[str, str | None, str]:
        """What is told once: each further edit of such a file is another one."""
        return self.component, self.file, self.state


@dataclass(frozen=True, slots=True)
class Intake:
    """
    What is to be done about a folder.

    `rules`, if there is anything to publish, are to follow on version `expect`; then `published` is dealt with, while
    `settled` is in any case. `refused` are files that are right but do not fit what is in force.
    """

    rules: RuleSet | None = None
    expect: int = 0
    files: tuple[str, ...] = ()
    why: str = ""
    replaced: tuple[str, ...] = ()  # live values that an edited one wins over
    published: Mapping[str, str] = field(default_factory=dict)
    settled: Mapping[str, str] = field(default_factory=dict)
    refused: Mapping[str, Frozen] = field(default_factory=dict)
    drifts: tuple[FileDrift, ...] = ()


@dataclass(frozen=True, slots=True)
class _Wish:
    """One component as its file would have it."""

    file: RuleFile
    component: Component
    record: FileRecord
    edits: tuple[Edit, ...] = ()
    replaced: tuple[Edit, ...] = ()
    is_new: bool = False

    @property
    def said(self) -> str:
        """The edits in one line, for the history."""
        if not self.edits:
            return f"{self.file.name} {'is new' if self.is_new else 'was brought up to date with what is live'}"
        told = ", ".join(map(str, self.edits[:EDITS_TOLD]))
        more = len(self.edits) - EDITS_TOLD
        return f"{self.file.name}: {told}" + (f" and {more} more" if more > 0 else "")


def take_in(live: RuleSet | None, folder: RuleFolder, memory: Memory) -> Intake:
    """Decide about a folder; `live` is what the store holds, None when it holds nothing and is to be seeded."""
    wishes: dict[str, _Wish] = {}
    refused: dict[str, Frozen] = {}
    settled: dict[str, str] = {}
    drifts = [*_without_file(live, folder)]
    for name, file in folder.files.items():
        decision = _decided(live, file, memory)
        if isinstance(decision, Seed | Publish):
            try:
                wishes[name] = _wish(live, file, decision)
            except ConfigError as exc:
                refused[name] = Frozen(name, file.name, exc.problems)
        else:
            settled[name] = file.hash
        if isinstance(decision, Drift):
            why = decision.why if _is_live(live, name) else _REMOVED
            drifts.append(FileDrift(name, file.name, why, file.hash))
    taken = _fitting(live, wishes, folder.positions)
    for name in wishes.keys() - taken.keys():
        refused[name] = Frozen(name, wishes[name].file.name, _objections(live, taken, wishes[name], folder.positions))
    found = Intake(settled=settled, refused=refused, drifts=tuple(sorted(drifts, key=lambda each: each.component)))
    return _with_rules(found, live, taken) if taken else found


def rules_of(folder: RuleFolder, *, epoch: str, who: str, why: str, at: str) -> RuleSet:
    """Return the rules that the files make by themselves, without those that do not fit: a seed, or a cold start."""
    wishes = {name: _wish(None, file, Seed()) for name, file in folder.files.items()}
    taken = _fitting(None, wishes, folder.positions)
    return RuleSet(
        epoch=epoch, version=1, seed=True, who=who, why=why, at=at,
        files={name: wish.record for name, wish in taken.items()},
        components={name: wish.component for name, wish in taken.items()},
    )  # fmt: skip


def _decided(live: RuleSet | None, file: RuleFile, memory: Memory) -> Any:
    """Return the decision about one file, or Same for one that did not change since it was dealt with."""
    record = live.files.get(file.component) if live is not None else None
    component = live.components.get(file.component) if live is not None else None
    was = memory.seen.get(file.component)
    first = memory.first.get(file.component)
    starting = was is None
    if starting and first not in (None, file.hash) and record is not None and first == record.hash:
        was, starting = first, False  # edited before this replica could ask the store: an edit all the same
    if was == file.hash and component is not None:
        return Same() if record is not None and record.hash == was else Drift(_why_not(record, file))
    if component is None and file.component in memory.gone:
        was, starting = None, False  # removed, and put back by somebody: a step from nothing
    decision = on_file(record, component, was=was, now=file.hash, values=file.values, starting=starting)
    if isinstance(decision, Drift) and not starting and not differences(component, file.rules):
        return Publish(())  # as after `rules pull --write`: from here on it counts as live, and its next edit as one
    return decision


def _is_live(live: RuleSet | None, name: str) -> bool:
    return live is not None and name in live.components


def _why_not(record: FileRecord | None, file: RuleFile) -> str:
    known = record is not None and file.hash in record.hashes
    if known:
        return "the file is in a state that was live before"
    return "the file is in another state than the one that is live; `banyan rules push` publishes what was edited"


def _without_file(live: RuleSet | None, folder: RuleFolder) -> Iterable[FileDrift]:
    if live is None or folder.fault is not None:
        return
    for name, component in live.components.items():
        if name not in folder.files and name not in folder.frozen:
            ends = "`banyan rules push` removes it, `rules pull --write` writes its file"
            if removal_problems(component):
                ends = "`banyan rules pull --write` writes it; the component can be removed once it is off or retired"
            yield FileDrift(name, None, f"the component is live and has no file here; {ends}")


def _wish(live: RuleSet | None, file: RuleFile, decision: Seed | Publish) -> _Wish:
    """Return the component as it would be published; raises ConfigError when live values and edits make no rules."""
    if isinstance(decision, Seed) or live is None:
        return _Wish(file, file.rules, record_of(file.hash, dict(file.values)), is_new=True)
    record = live.files.get(file.component)
    values = merged(live.components.get(file.component), decision.edits)
    values["component"] = file.component
    component = parse_component(values, file=file.name, positions=file.positions)
    hashes = record.hashes if record is not None else ()
    return _Wish(file, component, record_of(file.hash, dict(file.values), hashes), decision.edits, decision.replaced)


def _fitting(live: RuleSet | None, wishes: Mapping[str, _Wish], positions: Mapping[str, Positions]) -> dict[str, _Wish]:
    """Return the wishes that can be fulfilled together: all, else those without fault and what fits beside them."""
    taken = dict(wishes)
    while taken and (problems := _new_problems(live, taken, positions)):
        named = {problem.at.file for problem in problems}
        guilty = {name for name, wish in taken.items() if wish.file.name in named or name in named}
        taken = {name: wish for name, wish in taken.items() if guilty and name not in guilty}
    left = {name: wish for name, wish in wishes.items() if name not in taken}
    progress = True
    while progress:
        progress = False
        for name in tuple(left):
            if not _new_problems(live, {**taken, name: left[name]}, positions):
                taken[name] = left.pop(name)
                progress = True
    return taken


def _objections(
    live: RuleSet | None, taken: Mapping[str, _Wish], wish: _Wish, positions: Mapping[str, Positions]
) -> tuple[Problem, ...]:
    return _new_problems(live, {**taken, wish.component.component: wish}, positions)


def _new_problems(
    live: RuleSet | None, wishes: Mapping[str, _Wish], positions: Mapping[str, Positions]
) -> tuple[Problem, ...]:
    """Return what would be wrong with the rules once the wishes are fulfilled, and is not wrong without them."""
    before = live.components if live is not None else {}
    after = {**before, **{name: wish.component for name, wish in wishes.items()}}
    known = set(check_components(before, positions))
    found = [each for each in check_components(after, positions) if each not in known]
    return tuple(sorted({*found, *check_change(live, after, verb=False, positions=positions)}))


def _with_rules(found: Intake, live: RuleSet | None, taken: Mapping[str, _Wish]) -> Intake:
    components = {**(live.components if live is not None else {})}
    components |= {name: wish.component for name, wish in taken.items()}
    records = {**(live.files if live is not None else {}), **{name: wish.record for name, wish in taken.items()}}
    if live is not None:
        rules = live.model_copy(update={"components": components, "files": records})
    else:  # the epoch is given by whoever publishes
        rules = RuleSet(epoch="seed", version=1, seed=True, who="", why="", at="", files=records, components=components)
    names = tuple(wish.file.name for wish in taken.values())
    said = "; ".join(wish.said for wish in taken.values()) if live is not None else f"seeded from {listed(names)}"
    return Intake(
        rules, live.version if live is not None else 0, names, said,
        tuple(f"{name}.{edit}" for name, wish in taken.items() for edit in wish.replaced),
        {name: wish.file.hash for name, wish in taken.items()}, found.settled, found.refused, found.drifts,
    )  # fmt: skip


def listed(names: tuple[str, ...]) -> str:
    """Return file names as one word: `users.yaml,analytics.yaml`, shortened when there are many."""
    more = len(names) - FILES_TOLD
    return ",".join(names[:FILES_TOLD]) + (f",+{more}" if more > 0 else "")
