"""Replicas for the tests: followers with a memory of every state that they told of."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from proxy.core.rules import RuleSet
from proxy.store.events import Events
from proxy.store.follower import Follower
from proxy.store.holding import State
from proxy.store.link import Link
from proxy.store.snapshot import Snapshot
from tests.store.logs import Lines


class Replica:
    """A follower of its own, as the gateway runs one; `seen` has each state that plans were told of."""

    def __init__(
        self, url: str, data_dir: Path | None = None, poll_s: float = 1.0, heal_s: float = 0.1, name: str = "r1",
        prepare: Callable[[RuleSet], None] | None = None,
    ) -> None:  # fmt: skip
        self.link = Link(url)
        self.lines = Lines()
        self.events = Events(self.link, self.lines, who=name)  # type: ignore[arg-type]
        self.seen: list[State] = []
        self.follower = Follower(
            self.link,
            self.events,
            self.lines,  # type: ignore[arg-type]
            on_change=self.seen.append,
            prepare=prepare,
            snapshot=Snapshot(data_dir) if data_dir else None,
            replica=name,
            poll_s=poll_s,
            heal_s=heal_s,
        )
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def state(self) -> State:
        return self.follower.state

    @property
    def version(self) -> int:
        """The version in force, 0 without any."""
        return self.state.held.version if self.state.held is not None else 0

    @property
    def versions(self) -> list[int]:
        """Every version that came into force, in order."""
        found = [state.held.version for state in self.seen if state.held is not None]
        return [version for at, version in enumerate(found) if at == 0 or found[at - 1] != version]

    def alarms(self) -> list[str]:
        return [alarm.kind for alarm in self.state.alarms]

    async def start(self) -> None:
        await self.follower.begin()
        self._tasks = [asyncio.create_task(work()) for work in (self.follower.run, self.events.run)]

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        ended = await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.link.close()
        assert all(isinstance(each, asyncio.CancelledError) for each in ended), ended
