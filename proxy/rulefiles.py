"""
The folder of rule files: read whole, each file for itself, and watched for edits.

A file that is wrong takes nothing but its own component out of what is read. This room knows files and what they say;
what an edit means for the rules in force is decided in `core/merge.py` and done by `workers/files.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from watchfiles import awatch

from proxy import yamlfile
from proxy.core.checks import check_components
from proxy.core.errors import ConfigError, Position, Problem
from proxy.core.merge import with_defaults
from proxy.core.model import Component
from proxy.core.problems import KEY, Positions, place, problem, problems_of
from proxy.core.rules import outline_of, parse_component

DEFAULTS = "_defaults"
EXPECT = "expect"
SUFFIXES = frozenset({".yaml", ".yml"})

POLL_S = 30.0
QUIET_MS = 50  # an edit counts once nothing was written for so long: no half-written file is taken for an edit
LONGEST_MS = 400  # … and at the latest then
SECOND_LOOK_S = 0.3  # after a watch began: what changed while it was being set up
_NOT_IN_DEFAULTS = ("component", "routes")


@dataclass(frozen=True, slots=True)
class RuleFile:
    """One component's file; `values` and `hash` are those of the parsed file over `_defaults.yaml`."""

    component: str
    name: str
    path: Path
    hash: str
    values: Mapping[str, Any]
    rules: Component
    positions: Positions


@dataclass(frozen=True, slots=True)
class Frozen:
    """A component whose file is wrong: what was in force for it stays. Named after the file if it does not say."""

    component: str
    file: str
    problems: tuple[Problem, ...]


@dataclass(frozen=True, slots=True)
class RuleFolder:
    """
    What a folder says: the files that are right and those that are wrong, both by component.

    `problems` are all there are, over all files, also those between files that are each right. `expect` is
    `expect.yaml` as it was parsed, None if there is none. `fault` says why the folder itself cannot be read: then it
    says nothing, not even that there are no files.
    """

    folder: Path
    files: Mapping[str, RuleFile] = field(default_factory=dict)
    frozen: Mapping[str, Frozen] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()
    expect: yamlfile.Document | None = None
    fault: Problem | None = None

    @property
    def components(self) -> dict[str, Component]:
        """The rules of every file that is right."""
        return {name: file.rules for name, file in self.files.items()}

    @property
    def positions(self) -> dict[str, Positions]:
        """Where everything stands, by component: for the checks that look at several components."""
        return {name: file.positions for name, file in self.files.items()}

    @property
    def broken(self) -> frozenset[str]:
        """The components that are frozen."""
        return frozenset(self.frozen)


def read_folder(folder: Path) -> RuleFolder:
    """Return what the folder says now; never raises, whatever is in it."""
    try:
        paths = sorted(path for path in folder.iterdir() if is_rule_file(path.name))
    except OSError as exc:
        what = f"the folder of rule files cannot be read: {exc.strerror or exc}"
        fault = Problem(Position(str(folder)), "", what)
        return RuleFolder(folder, problems=(fault,), fault=fault)
    return _Reading(folder).read(paths)


def is_rule_file(name: str) -> bool:
    """Say whether a name is that of a rule file, and not what an editor or a ConfigMap leaves beside it."""
    return Path(name).suffix in SUFFIXES and not name.startswith((".", "#"))


def hash_of(values: Mapping[str, Any]) -> str:
    """Return the name of a state of a file: the same for the same values, however they are written."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]


async def watch(
    folder: Path, *, poll_s: float = POLL_S, reload: asyncio.Event | None = None
) -> AsyncIterator[RuleFolder]:
    """
    Yield what the folder says: at once, then whenever it says something else, for as long as the caller goes on.

    `reload` asks for a look at once, and yields its result even if nothing changed; it is cleared here. What the
    system does not tell (a network drive, a link to elsewhere) is found by looking every `poll_s`.
    """
    changed = asyncio.Event()
    reload = reload if reload is not None else asyncio.Event()
    last: RuleFolder | None = None
    async with _Watcher(folder, changed) as watcher:
        while True:
            asked = reload.is_set()
            reload.clear()
            changed.clear()
            now = await asyncio.to_thread(read_folder, folder)
            if asked or now != last:
                last = now
                yield now
            watcher.follow(await asyncio.to_thread(_folders_of, folder))
            await _first_of(changed, reload, within_s=poll_s)


async def _first_of(*events: asyncio.Event, within_s: float) -> None:
    waiting = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        await asyncio.wait(waiting, timeout=within_s, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for each in waiting:
            each.cancel()


@dataclass(slots=True)
class _Reading:
    """One reading of a folder, file by file."""

    folder: Path
    defaults: yamlfile.Document = field(default_factory=lambda: yamlfile.Document({}, {}, ()))
    defaults_problems: tuple[Problem, ...] = ()
    below: dict[str, Any] = field(default_factory=dict)  # the values of the defaults, once they are right
    expect: yamlfile.Document | None = None
    files: dict[str, RuleFile] = field(default_factory=dict)
    frozen: dict[str, Frozen] = field(default_factory=dict)
    outlines: dict[str, Component] = field(default_factory=dict)  # of the frozen ones, so that others may refer to them
    places: dict[str, Positions] = field(default_factory=dict)  # in their files

    def read(self, paths: list[Path]) -> RuleFolder:
        twice = [path.name for path in paths if path.stem == DEFAULTS][1:]
        what = f"stands beside {DEFAULTS}.yaml; one of them must go"
        self.defaults_problems = tuple(Problem(Position(name), "", what) for name in twice)
        for path in paths:
            if path.stem == DEFAULTS:
                self.defaults = yamlfile.load(path, path.name)
                self.defaults_problems = (*self.defaults_problems, *_problems_of_defaults(self.defaults, path.name))
                if isinstance(self.defaults.values, dict) and not self.defaults_problems:
                    self.below = self.defaults.values
            elif path.stem == EXPECT:
                self.expect = yamlfile.load(path, path.name)
        for path in paths:
            if path.stem not in (DEFAULTS, EXPECT):
                self._take(path)
        own = {problem for frozen in self.frozen.values() for problem in frozen.problems}
        own |= {*self.defaults_problems, *(self.expect.problems if self.expect else ())}
        found = RuleFolder(self.folder, self.files, self.frozen)
        clashes = check_components({**self.outlines, **found.components}, {**self.places, **found.positions})
        return RuleFolder(self.folder, self.files, self.frozen, tuple(sorted({*own, *clashes})), self.expect)

    def _take(self, path: Path) -> None:
        document = yamlfile.load(path, path.name)
        values = document.values
        name = values.get("component") if isinstance(values, dict) else None
        component = name if isinstance(name, str) else path.stem
        try:
            file = self._parsed(path, document)
        except ConfigError as exc:
            return self._freeze(component, path.name, exc.problems, document)
        if self.defaults_problems:
            return self._freeze(component, path.name, self.defaults_problems, document)
        other = self.files.get(component) or self.frozen.get(component)
        if other is None:
            self.files[component] = file
            return None
        there = other.name if isinstance(other, RuleFile) else other.file
        what = f"`{component}` has a file already: {there}; a component stands in one file"
        return self._freeze(component, path.name, (problem(file.positions, ("component",), path.name, what),), document)

    def _parsed(self, path: Path, document: yamlfile.Document) -> RuleFile:
        """Return the file, or raise ConfigError with the problems of its YAML and of its rules alike."""
        positions = {**self.defaults.positions, **document.positions}
        values: Any = document.values
        if isinstance(values, dict):
            values = _normal(with_defaults(self.below, values))
        found = list(document.problems)
        try:
            if document.values is not None or not found:
                rules = parse_component(values, file=path.name, positions=positions)
        except ConfigError as exc:
            said = {each.at for each in found}  # a scalar that YAML refuses is refused once
            found += (each for each in exc.problems if each.at not in said)
        if found:
            raise ConfigError(sorted(found))
        return RuleFile(rules.component, path.name, path, hash_of(values), values, rules, positions)

    def _freeze(self, component: str, file: str, problems: tuple[Problem, ...], document: yamlfile.Document) -> None:
        outline = outline_of(component, document.values)
        if outline is not None and component not in self.outlines:
            self.outlines[component], self.places[component] = outline, document.positions
        self.files.pop(component, None)
        known = self.frozen.get(component)
        self.frozen[component] = Frozen(component, file, (*(known.problems if known else ()), *problems))


def _problems_of_defaults(document: yamlfile.Document, file: str) -> tuple[Problem, ...]:
    """Return what is wrong with `_defaults.yaml` by itself, before any component stands over it."""
    values = document.values
    if values is None:
        return document.problems
    if not isinstance(values, dict):
        return (
            *document.problems,
            problem(document.positions, (), file, "should be a mapping of defaults"),
        )
    wrong = [key for key in _NOT_IN_DEFAULTS if key in values]
    found = [
        Problem(place(document.positions, (key, KEY), file), key, "cannot be a default: each component has its own")
        for key in wrong
    ]
    try:
        Component.model_validate({**{k: v for k, v in values.items() if k not in wrong}, "component": "defaults"})
    except ValidationError as exc:
        found += problems_of(exc, document.positions, file, Component)
    said = {each.at for each in document.problems}
    return (*document.problems, *(each for each in found if each.at not in said))


def _normal(values: dict[str, Any]) -> dict[str, Any]:
    """Return values as they are compared: 25 for 25.0, and `{}` for a route with nothing behind it."""
    routes = values.get("routes")
    if isinstance(routes, dict):
        values["routes"] = {key: {} if route is None else route for key, route in routes.items()}
    plain = _plain(values)
    return plain if isinstance(plain, dict) else values


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(below) for key, below in value.items()}
    if isinstance(value, list):
        return [_plain(below) for below in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


class _Watcher:
    """
    The system's word that something in some folders changed; it only ever sets an event.

    A folder that cannot be watched, or is not there yet, is tried again with each `follow`.
    """

    def __init__(self, folder: Path, changed: asyncio.Event) -> None:
        self._name = f"watch {folder}"
        self._changed = changed
        self._folders: frozenset[tuple[Path, int]] = frozenset()
        self._tasks: list[asyncio.Task[None]] = []

    def follow(self, folders: frozenset[tuple[Path, int]]) -> None:
        """Watch these folders, given with their inodes, instead of those before."""
        self._tasks = [task for task in self._tasks if not task.done()]
        if folders == self._folders and self._tasks:
            return
        self._stop()
        self._folders = folders
        if folders:
            self._tasks.append(asyncio.create_task(self._run([path for path, _ in folders]), name=self._name))
            asyncio.get_running_loop().call_later(SECOND_LOOK_S, self._changed.set)

    async def __aenter__(self) -> _Watcher:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stop()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _run(self, folders: list[Path]) -> None:
        with contextlib.suppress(OSError):  # gone again, or no more watches to be had: the poll goes on
            async for _ in awatch(
                *folders, watch_filter=None, debounce=LONGEST_MS, step=QUIET_MS, recursive=False, rust_timeout=1_000,
            ):  # fmt: skip
                self._changed.set()

    def _stop(self) -> None:
        for task in self._tasks:
            task.cancel()


def _folders_of(folder: Path) -> frozenset[tuple[Path, int]]:
    """
    Return the folders whose changes may change the rules, with their inodes: one made anew is another one.

    Follows links: a folder that is one is swapped in its parent, a file that is one is edited elsewhere.
    """
    try:
        found = {folder.resolve(), *((folder.parent.resolve(),) if folder.is_symlink() else ())}
        found |= {path.resolve().parent for path in folder.iterdir() if is_rule_file(path.name) and path.is_symlink()}
        return frozenset((path, path.stat().st_ino) for path in found if path.is_dir())
    except (OSError, RuntimeError):  # gone meanwhile, or links in a circle
        return frozenset()
