"""
The readers and writers of the demo: about fifty requests a second through the gateway, each answer recorded.

Reads come at their times whether or not the ones before were answered, as people do; writes follow one another.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence

from proxy.demo.asks import WRITES_OF_ONE, Ask, reads, reads_of, writes
from proxy.demo.tally import Answer, Tally
from proxy.demo.web import NoAnswer, Reply, Web

READS_PER_S = 46.0
WRITES_PER_S = 4.0
BREATH_S = 0.008  # between an answer and the next question of a burst: some hundred reads a second in all
LATE_S = 1.0  # whoever is later than this leaves out what was missed
_DONE = Reply(0, b"")


class Traffic:
    """Asks `origin` until it is cancelled; what came back is in `tally`. Does not own `web`."""

    def __init__(self, web: Web, origin: str, tally: Tally, clock: Callable[[], float] = time.monotonic) -> None:
        self.tally = tally
        self.clock = clock
        self._web = web
        self._origin = origin
        self._asking: set[asyncio.Task[Answer]] = set()

    async def run(self, writes_to: Sequence[str], stop: asyncio.Event) -> None:
        """
        Read everything, and write to the components named, whose reads legacy has to answer, until `stop` is set.

        Returns when all that is under way is answered; cancelled, it drops that.
        """
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._read(stop))
                group.create_task(self._write(writes(writes_to), stop))
            while self._asking:
                await asyncio.wait(self._asking)
        finally:
            for task in self._asking:
                task.cancel()

    async def burst(self, component: str, users: Sequence[str], readers: int, stop: asyncio.Event) -> None:
        """Read one component by `readers` who wait for each answer and hardly more, until `stop` is set."""

        async def one(asks: Iterator[Ask]) -> None:
            while not stop.is_set():
                await self.ask(next(asks))
                await asyncio.sleep(BREATH_S)

        async with asyncio.TaskGroup() as group:
            for reader in range(readers):
                start = len(users) * reader // readers
                group.create_task(one(reads_of(component, (*users[start:], *users[:start]))))

    async def ask(self, ask: Ask) -> Answer:
        """Ask once and record what came."""
        started_s = self.clock()
        reply, failure = _DONE, ""
        try:
            reply = await self._web.ask(ask.method, self._origin + ask.path, ask.body, x_user_id=ask.user)
        except NoAnswer as exc:
            failure = str(exc)
        fields = reply.headers
        answer = Answer(
            ask,
            started_s,
            self.clock() - started_s,
            reply.status,
            fields.get("x-banyan-side", ""),
            fields.get("x-banyan-component", ""),
            fields.get("x-banyan-fallback", ""),
            failure,
        )
        self.tally.add(answer)
        return answer

    async def _read(self, stop: asyncio.Event) -> None:
        due_s = self.clock()
        for ask in reads():
            if stop.is_set():
                return
            task = asyncio.create_task(self.ask(ask))
            self._asking.add(task)
            task.add_done_callback(self._asking.discard)
            due_s = await self._pause(due_s + 1 / READS_PER_S)

    async def _write(self, asks: Iterator[Ask], stop: asyncio.Event) -> None:
        """Write all of one entity at a stretch, then rest: what is always written to never settles."""
        due_s = self.clock()
        for ask in asks:
            if stop.is_set() and ask.method == "POST":
                return  # what was made is removed first
            await self.ask(ask)
            if ask.method == "DELETE":
                due_s = await self._pause(due_s + WRITES_OF_ONE / WRITES_PER_S)

    async def _pause(self, due_s: float) -> float:
        """Wait until `due_s`, or for one turn of the loop; return from when on the next one is due."""
        late_s = self.clock() - due_s
        await asyncio.sleep(max(0.0, -late_s))
        return due_s if late_s < LATE_S else self.clock()
