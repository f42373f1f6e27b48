"""
The rule files of this replica, followed: an edit is published, and nothing but what was edited.

Looks, has `edits.take_in` decide, and publishes; what the store does not take now is tried again until it is live or
the files say something else. What it cannot take it keeps for `status`, with the reason.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from proxy.core.adopt import Missing, Refused
from proxy.core.errors import Conflict, NotAllowed, Problem, StoreError
from proxy.core.model import RuleSet
from proxy.core.status import RefusedFile
from proxy.rulefiles import POLL_S, Frozen, RuleFolder, watch
from proxy.store.events import stamp
from proxy.store.rules import RuleStore
from proxy.workers.edits import FileDrift, Intake, Memory, listed, rules_of, take_in

RETRY_S = 1.0
TRIES = 5  # somebody else published in between: look again, decide anew


class Reports(Protocol):
    """Where events go: the stream that all replicas share, and the log."""

    def append(
        self, kind: str, component: str | None = None, who: str | None = None, why: str = "", **facts: Any
    ) -> None: ...


@dataclass(frozen=True, slots=True)
class FrozenFile:
    """A component that stays as it is because its file cannot be taken; `since` is RFC 3339."""

    component: str
    file: str
    problems: tuple[Problem, ...]
    since: str


@dataclass(frozen=True, slots=True)
class FilesState:
    """
    How the files of this replica stand to what is live.

    `problems` are all of the folder's, also those that freeze nothing; `waiting` says why edits are not published yet,
    empty if none wait; `fault` why the folder itself cannot be read, empty if it can; `rules` is what the files make
    by themselves, None before the first look.
    """

    frozen: tuple[FrozenFile, ...] = ()
    drifts: tuple[FileDrift, ...] = ()
    problems: tuple[Problem, ...] = ()
    waiting: str = ""
    fault: str = ""
    rules: RuleSet | None = None

    @property
    def refused(self) -> tuple[RefusedFile, ...]:
        """The files that are not taken, as a heartbeat tells of them: one entry for each problem."""
        return tuple(
            RefusedFile(frozen.component, frozen.file, str(each)) for frozen in self.frozen for each in frozen.problems
        )


class Wait(Exception):
    """Nothing can be published now; the text says why. The edits are kept."""


@dataclass(frozen=True, slots=True)
class Hooks:
    """
    What a follower of files asks and tells; each is called in the event loop and must not wait.

    `held` returns the rules that this replica holds from the store or a snapshot of it, `on_change` gets each new
    state, `published` is called when the store has new rules by us.
    """

    held: Callable[[], RuleSet | None] = field(default=lambda: None)
    on_change: Callable[[FilesState], None] = field(default=lambda state: None)
    published: Callable[[], None] = field(default=lambda: None)


class FileFollower:
    """
    Keeps the published rules in step with one folder; any number of replicas do so at once.

    `run` until it is cancelled. `reload` is the event that a SIGHUP sets: look at once. Owns nothing but its watch.
    """

    def __init__(
        self,
        folder: Path,
        store: RuleStore,
        reports: Reports,
        *,
        hooks: Hooks | None = None,
        reload: asyncio.Event | None = None,
        host: str = "",
        poll_s: float = POLL_S,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._folder = folder
        self._store = store
        self._reports = reports
        self._hooks = hooks or Hooks()
        self._reload = reload or asyncio.Event()
        self._host = host or socket.gethostname()
        self._poll_s = poll_s
        self._wall = wall
        self._found: RuleFolder | None = None
        self._memory = Memory()
        self._unfit: Mapping[str, Frozen] = {}  # right by themselves, refused beside what was in force last
        self._state = FilesState()
        self._due = asyncio.Event()

    @property
    def state(self) -> FilesState:
        """How the files stand now."""
        return self._state

    def poke(self) -> None:
        """Decide anew: the rules in force changed, or the store is back."""
        self._due.set()

    async def run(self) -> None:
        """Follow, for as long as this runs."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._look())
            group.create_task(self._decide())

    async def _look(self) -> None:
        async for found in watch(self._folder, poll_s=self._poll_s, reload=self._reload):
            self._found = found
            self._memory = self._memory.found(found)
            fault = str(found.fault) if found.fault is not None else ""
            if fault != self._state.fault:
                kind = "rules_folder_unreadable" if fault else "rules_folder_readable"
                self._reports.append(kind, None, self._who(()), fault or "the folder of rule files can be read again")
            at = stamp(self._wall())
            rules = await asyncio.to_thread(rules_of, found, epoch="files", who=self._who(()), why="files", at=at)
            self._tell(fault=fault, problems=found.problems, rules=rules)
            self._due.set()

    async def _decide(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(RETRY_S if self._state.waiting else self._poll_s):
                    await self._due.wait()
            self._due.clear()
            if self._found is not None:
                await self._take(self._found)

    async def _take(self, folder: RuleFolder) -> None:
        """Bring one state of the folder into the store, or say what it waits for."""
        try:
            for _ in range(TRIES):
                with contextlib.suppress(Conflict):
                    return await self._take_once(folder)
            raise Wait("the rules change all the time")
        except (StoreError, NotAllowed, Wait) as exc:
            unfit = {name: each for name, each in self._unfit.items() if name in folder.files}
            self._tell(frozen=self._frozen({**folder.frozen, **unfit}), waiting=str(exc))

    async def _take_once(self, folder: RuleFolder) -> None:
        live = self._live(await self._store.load())
        intake = await asyncio.to_thread(take_in, live, folder, self._memory)  # many files take their time
        if intake.rules is not None:
            await self._publish(intake, intake.rules)
        self._memory = self._memory.dealt_with({**intake.settled, **intake.published})
        told = {drift.what for drift in self._state.drifts}
        for drift in (each for each in intake.drifts if each.what not in told):
            self._reports.append("file_drift", drift.component, self._who(()), drift.why, file=drift.file)
        self._unfit = intake.refused
        frozen = self._frozen({**folder.frozen, **intake.refused})
        self._tell(frozen=frozen, drifts=intake.drifts, waiting="")

    def _live(self, found: Any) -> RuleSet | None:
        """Return the rules that edits may be laid over, None for a store to be seeded; raises Wait for any other."""
        held = self._hooks.held()
        if isinstance(found.read, Refused):
            raise Wait(f"the store holds no rules that could be changed: {found.read.why}")
        if isinstance(found.read, Missing):
            if held is not None:
                raise Wait("the store lost its rules; they are written back first")
            return None
        live: RuleSet = found.read.rule_set
        if held is not None and held.epoch != live.epoch:
            raise Wait(f"the store holds rules of another epoch ({live.epoch}), which this replica does not follow")
        if held is not None and held.version > live.version:
            raise Wait(f"the store went back to version {live.version}; {held.version} is written back first")
        return live

    async def _publish(self, intake: Intake, rules: RuleSet) -> None:
        who = self._who(intake.files)
        if rules.seed and not intake.expect:
            rules = rules.model_copy(update={"epoch": secrets.token_hex(8)})
        facts: dict[str, Any] = {"replaced": list(intake.replaced)} if intake.replaced else {}
        await self._store.publish(rules, expect=intake.expect, who=who, why=intake.why, **facts)
        self._hooks.published()

    def _who(self, files: tuple[str, ...]) -> str:
        return f"file:{listed(files)}@{self._host}" if files else f"files@{self._host}"

    def _frozen(self, now: Mapping[str, Frozen]) -> tuple[FrozenFile, ...]:
        """Return the frozen components, each with the time since when, and report what is new or over."""
        before = {each.component: each for each in self._state.frozen}
        found = []
        for name, each in sorted(now.items()):
            known = before.get(name)
            since = known.since if known is not None else stamp(self._wall())
            found.append(FrozenFile(name, each.file, each.problems, since))
            if known is None or known.problems != each.problems:
                why, told = str(each.problems[0]), [str(problem) for problem in each.problems]
                self._reports.append("file_refused", name, self._who((each.file,)), why, problems=told)
        for name in before.keys() - now.keys():
            self._reports.append("file_accepted", name, self._who((before[name].file,)), "its file is right again")
        return tuple(found)

    def _tell(self, **values: Any) -> None:
        state = FilesState(**{**{name: getattr(self._state, name) for name in FilesState.__slots__}, **values})
        if state != self._state:
            self._state = state
            self._hooks.on_change(state)
