"""
Every process of one parent as one: each answers the others on a unix socket of its own, and whoever is asked for
probes or metrics asks them all.

One that does not answer within ANSWER_S is left out and counted as silent; what it had counted stays in the sums.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import asdict, dataclass

import orjson
from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from proxy.admin.house import House
from proxy.admin.metrics import registry_of
from proxy.admin.readiness import not_ready
from proxy.board import Board, Standing
from proxy.core.claims import BUSIEST
from proxy.core.gathering import Family, merged
from proxy.ledger import ENDED, Ledger

ANSWER_S = 0.5
LINE_BYTES = 1 << 20
STATES = ("ready", "silent", "starting", "ended", "leaving")


@dataclass(frozen=True, slots=True)
class Told:
    """What one process says of itself; `unclaimed` are (first segments of a path, requests)."""

    name: str
    version: int
    not_ready: tuple[str, ...] = ()
    troubles: tuple[str, ...] = ()
    unclaimed: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True)
class All:
    """What all say: those of this generation, those of others (they leave, or come), and how many stand how."""

    serving: tuple[Told, ...]
    others: tuple[Told, ...]
    states: dict[str, int]
    complete: bool

    @property
    def version(self) -> int:
        """The oldest version of the rules that is in force in any of them."""
        return min((each.version for each in self.serving), default=0)

    def not_ready(self) -> tuple[str, ...]:
        """Return why there should be no traffic; a process that died and is started anew is no reason."""
        reasons = [reason for each in self.serving for reason in each.not_ready]
        if not self.complete:
            reasons.append(f"{self.states['ready']} of {sum(self._places())} processes are ready")
        return tuple(dict.fromkeys(reasons))

    def troubles(self) -> tuple[str, ...]:
        """Return what is not as it should be."""
        found = [trouble for each in self.serving for trouble in each.troubles]
        of = f"of {sum(self._places())} processes"
        if self.states["silent"]:
            found.append(f"{self.states['silent']} {of} did not answer within {ANSWER_S:g} s")
        if self.complete and (missing := self.states["ended"] + self.states["starting"]):
            found.append(f"{missing} {of} ended and will be back")
        return tuple(dict.fromkeys(found))

    def _places(self) -> Iterator[int]:
        return (self.states[state] for state in STATES if state != "leaving")


class Gathering:
    """This process among its siblings, for as long as `open` stands."""

    def __init__(self, house: House, name: str, board: Board, ledger: Ledger) -> None:
        self._house = house
        self._name = name
        self._generation = _generation(name)
        self._board = board
        self._ledger = ledger
        self._registry = registry_of(house)
        self._entering = asyncio.Lock()
        self._own: list[Family] = []
        self._under_way: dict[bool, asyncio.Task[All]] = {}

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Answer the others; on leaving, what was counted is in the ledger."""
        door = self._ledger.door(self._name)
        server = await asyncio.start_unix_server(self._answer, door)
        try:
            yield
        finally:
            server.close()
            door.unlink(missing_ok=True)
            await self._enter()

    async def ask_all(self, counts: bool = False) -> All:
        """Ask all processes, with `counts` for what they counted as well; who asks meanwhile gets the same answer."""
        task = self._under_way.get(counts)
        if task is None or task.done():
            task = self._under_way[counts] = asyncio.create_task(self._ask_all(counts))
        return await asyncio.shield(task)

    async def registry(self) -> CollectorRegistry:
        """Return what all of them counted, as one registry."""
        said = await self.ask_all(counts=True)
        registry = CollectorRegistry(auto_describe=False)
        registry.register(_Families(await asyncio.to_thread(self._sum, said)))
        return registry

    def told(self) -> Told:
        """Say how this process stands."""
        house = self._house
        top = house.records.unclaimed.top(BUSIEST)
        unclaimed = tuple((path.decode("latin-1"), count) for path, count in top)
        return Told(self._name, house.table.version, not_ready(house), house.troubles(), unclaimed)

    async def _ask_all(self, counts: bool) -> All:
        if counts:
            await self._enter()
        names = [name for name in self._ledger.doors() if name != self._name]
        answers = await asyncio.gather(*(self._ask(name, counts) for name in names))
        told = [self.told(), *(answer for answer in answers if answer is not None)]
        serving = tuple(each for each in told if self._is_sibling(each.name))
        others = tuple(each for each in told if not self._is_sibling(each.name))
        return All(serving, others, self._states(serving, others), self._board.complete)

    def _states(self, serving: Iterable[Told], others: Iterable[Told]) -> dict[str, int]:
        answered = {int(each.name.split("-")[1]) for each in serving}
        states = dict.fromkeys(STATES, 0)
        for place in range(self._board.places):
            standing = self._board.standing(place)
            silent = standing is Standing.READY and place not in answered
            states["silent" if silent else standing.name.lower()] += 1
        return states | {"leaving": sum(_generation(each.name) < self._generation for each in others)}

    def _is_sibling(self, name: str) -> bool:
        return _generation(name) == self._generation

    def _sum(self, said: All) -> list[Family]:
        entries = {**self._ledger.entries(), self._name: self._own}
        serving = [entries.pop(each.name) for each in said.serving if each.name in entries]
        others = [entries.pop(each.name) for each in said.others if each.name in entries]
        states = tuple(("banyan_processes", {"state": state}, float(said.states[state])) for state in STATES)
        processes = Family("banyan_processes", "gauge", "Processes of this parent, by how they stand", states)
        ended = entries.pop(ENDED)
        return [*merged(serving, others, [ended, *entries.values()]), processes]

    async def _ask(self, name: str, counts: bool) -> Told | None:
        with suppress(OSError, ValueError, TypeError, TimeoutError):
            async with asyncio.timeout(ANSWER_S):
                reader, writer = await asyncio.open_unix_connection(self._ledger.door(name), limit=LINE_BYTES)
                with closing(writer):
                    writer.write(b"counts\n" if counts else b"standing\n")
                    return Told(**orjson.loads(await reader.readline()))
        return None

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with closing(writer), suppress(OSError, ValueError):
            if await reader.readline() == b"counts\n":
                await self._enter()  # before it is told: what was seen once must not be lost
            writer.write(orjson.dumps(asdict(self.told())) + b"\n")
            await writer.drain()

    async def _enter(self) -> None:
        """Write down what was counted; without the folder (the parent has gone, the disk is full) it is only known."""
        async with self._entering:
            self._own = [_family(metric) for metric in self._registry.collect()]
            with suppress(OSError):
                await asyncio.to_thread(self._ledger.enter, self._name, self._own)


def _generation(name: str) -> int:
    return int(name.partition("-")[0])


class _Families(Collector):
    def __init__(self, families: Iterable[Family]) -> None:
        self._families = families

    def collect(self) -> Iterator[Metric]:
        for each in self._families:
            metric = Metric(each.name, each.text, each.kind)
            for name, labels, value in each.samples:
                metric.add_sample(name, dict(labels), value)
            yield metric


def _family(metric: Metric) -> Family:
    samples = tuple((sample.name, sample.labels, float(sample.value)) for sample in metric.samples)
    return Family(metric.name, metric.type, metric.documentation, samples)
