"""
How a fault is played: calm, fault, calm again, under a load that never stops; then the accounts and what must hold.

Knows neither which faults there are nor how they are reported.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from tests.faults import ledger
from tests.faults.ledger import Account, Latency
from tests.faults.load import Load, Outcome
from tests.faults.pace import pause
from tests.faults.stage import Stage, set_up
from tests.waiting import until

BACK_WITHIN_S = 45.0
LOOK_S = 0.2


@dataclass(frozen=True, slots=True)
class Tempo:
    """How long, how fast, and how patient: the defaults of the gateway unless a test has no time for them."""

    calm_s: float = 10.0
    fault_s: float = 10.0
    rate: float = 200.0
    breaker: Mapping[str, Any] = field(default_factory=dict)
    timeouts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Must:
    """Something that has to hold, whether it did, and what was found."""

    what: str
    holds: bool
    found: str


@dataclass(frozen=True, slots=True)
class Result:
    """What one fault came to."""

    name: str
    title: str
    account: Account
    calm: Latency
    fault: Latency
    noticed: int  # requests due while the fault lasted that a client can tell from calm ones
    fell_back_s: float | None
    recovered_s: float | None
    rss_growth_mb: float
    notes: dict[str, Any]
    musts: list[Must]

    @property
    def holds(self) -> bool:
        return all(must.holds for must in self.musts)


Scene = Callable[["Play"], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault of the plan; `settings` and `rules` are what the gateway needs besides its defaults."""

    name: str
    title: str
    scene: Scene
    proxied: bool = False
    instances: int = 1  # of modern
    settings: Mapping[str, Any] = field(default_factory=dict)
    rules: Mapping[str, Any] = field(default_factory=dict)


class Play:
    """One fault under way: for its scene to say when it is calm, and what must hold."""

    def __init__(self, stage: Stage, load: Load, tempo: Tempo) -> None:
        self.stage = stage
        self.load = load
        self.tempo = tempo
        self.notes: dict[str, Any] = {}
        self.musts: list[Must] = []
        self.begun = self.ended = self.started = 0.0
        self.account: Account | None = None
        self._rss_bytes = 0

    @property
    def outcomes(self) -> list[Outcome]:
        return self.load.outcomes

    @property
    def in_flight(self) -> int:
        """How many requests were under way when the fault began."""
        return sum(each.due < self.begun < each.ended for each in self.outcomes)

    def during(self, begin: float | None = None, end: float | None = None) -> list[Outcome]:
        """Return what was due while the fault lasted, or in a part of that time."""
        return ledger.due_between(self.outcomes, begin or self.begun, end or self.ended)

    async def calm(self) -> None:
        """Let it run as it should for a while."""
        self.started = time.monotonic()
        self.load.start()
        await pause(self.tempo.calm_s)

    @contextmanager
    def fault(self) -> Iterator[None]:
        """Take the time that the fault lasts."""
        self.begun = time.monotonic()
        try:
            yield
        finally:
            self.ended = time.monotonic()

    async def last(self, share: float = 1.0) -> None:
        """Let the fault last, or a share of its time."""
        await pause(self.tempo.fault_s * share)

    async def recovery(self) -> None:
        """Wait until all is answered as it was, which must come, and for a calm time more."""
        share = ledger.modern_share(self.during(self.started, self.begun))

        def back() -> bool:
            now = time.monotonic()
            return ledger.is_back(self.during(now - 1.5, now - 0.5), share)

        try:
            came = await until(back, BACK_WITHIN_S, LOOK_S)
        except AssertionError:
            came = False
        self.must(f"all is answered as before within {BACK_WITHIN_S:g} s", came)
        await pause(self.tempo.calm_s)

    async def settle(self) -> Account:
        """End the load, draw up the accounts, and hold against them what must hold whatever happens."""
        await self.load.stop()
        stage = self.stage
        account = self.account = ledger.settle(self.load.sent, self.outcomes, stage.legacy.deeds, stage.modern.deeds)
        for name in (
            "unaccounted",
            "torn",
            "crossed",
            "duplicated",
            "repeated_puts",
            "wrong_side",
            "phantom",
            "altered",
        ):
            self.must_be_0(name.replace("_", " "), getattr(account, name))
        self.must("the gateway lives", stage.alive, stage.replica.stderr[-2000:] if not stage.alive else "")
        complaints = stage.legacy.complaints + stage.modern.complaints
        self.must("the sides saw nothing malformed", not complaints, complaints[-500:])
        traces = sum(said.count("Traceback") for said in (*stage.said, stage.replica.stderr))
        self.must_be_0("tracebacks in the log", traces)
        return account

    def must(self, what: str, holds: object, found: object = "") -> None:
        self.musts.append(Must(what, bool(holds), str(found)))

    def must_be_0(self, what: str, count: int) -> None:
        self.must(f"{what}: 0", count == 0, count)

    def must_be_none(self, what: str, outcomes: list[Outcome]) -> None:
        """Hold that there are none of these requests; the first of them is named."""
        shown = [
            f"{each.request.method} {each.request.number}: {each.fate} {each.status} {each.detail}" for each in outcomes
        ]
        self.must(f"{what}: 0", not outcomes, f"{len(outcomes)}: {shown[0]}" if outcomes else 0)

    async def watch_memory(self) -> None:
        while True:
            with suppress(OSError, StopIteration):
                self._rss_bytes = max(self._rss_bytes, self.stage.replica.rss_bytes)
            await pause(LOOK_S)

    def result(self, fault: Fault, rss_before: int) -> Result:
        assert self.account is not None, "a scene ends with its accounts"
        calm = (self.started, self.begun)
        bad = [each for each in self.during() if ledger.is_bad(each)]
        self.notes["the load itself was late by up to, ms"] = round(self.load.late_s * 1e3)
        return Result(
            fault.name, fault.title, self.account,
            ledger.latency_of(ledger.due_between(self.outcomes, *calm)), ledger.latency_of(self.during()), len(bad),
            ledger.fell_back_s(self.outcomes, self.begun, self.ended),
            ledger.recovered_s(self.outcomes, self.ended, calm),
            (self._rss_bytes - rss_before) / 1e6, self.notes, self.musts,
        )  # fmt: skip


@asynccontextmanager
async def _watching(play: Play) -> AsyncIterator[None]:
    watching = asyncio.create_task(play.watch_memory())
    try:
        yield
    finally:
        watching.cancel()
        with suppress(asyncio.CancelledError):
            await watching


async def play(fault: Fault, tempo: Tempo) -> Result:
    """Play one fault on a stage of its own."""
    settings = {**fault.settings, "timeouts": {**fault.settings.get("timeouts", {}), **tempo.timeouts}}
    rules = {**fault.rules, **({"breaker": dict(tempo.breaker)} if tempo.breaker else {})}
    async with set_up(fault.proxied, fault.instances, rules, settings) as stage:
        playing = Play(stage, Load(stage.replica.port, tempo.rate), tempo)
        before = stage.replica.rss_bytes
        async with _watching(playing):
            try:
                await fault.scene(playing)
            except AssertionError as exc:  # something that the scene waited for never came
                playing.must("the scene comes to its end", False, exc)
                await playing.settle()
            finally:
                await playing.load.stop()
        return playing.result(fault, before)
