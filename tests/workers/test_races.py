"""
Nobody cries wolf: writes that race with reads, restarts and faults of either side are never taken for a difference.

And the one thing that is wrong in the middle of all that is found.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from proxy.core.evidence import Outcome
from proxy.core.rules import Side
from tests.peers import Exchange
from tests.waiting import until
from tests.workers.onetruth import Crowd, Fault, World, concluded, quiet
from tests.workers.shadowing import USERS, Stage, shadowing
from tests.workers.test_findings import Keeping, findings_of

SETTLE_S = 30.0  # of stepped time and of real time together: nothing is on its way for longer
CANARY = {**USERS, "phase": "canary", "weight": 50, "sticky": []}
EMPTY = b"Content-Length: 0\r\n\r\n"


# Faults: each does what it does to one request of three, so that second looks meet it, too


def now_and_then(fault: Fault) -> Fault:
    async def sometimes(world: World, exchange: Exchange, said: bytes) -> bytes:
        return await fault(world, exchange, said) if world.requests % 3 == 0 else said

    return sometimes


async def resets(world: World, exchange: Exchange, said: bytes) -> bytes:
    exchange.cut()
    return b""


async def tears(world: World, exchange: Exchange, said: bytes) -> bytes:
    await exchange.send(said[: len(said) * 2 // 3])
    exchange.writer.close()
    return b""


async def fails(world: World, exchange: Exchange, said: bytes) -> bytes:
    return b"HTTP/1.1 500 X\r\n" + EMPTY


async def has_no_time(world: World, exchange: Exchange, said: bytes) -> bytes:
    return b"HTTP/1.1 503 X\r\n" + EMPTY


async def has_too_many(world: World, exchange: Exchange, said: bytes) -> bytes:
    return b"HTTP/1.1 429 X\r\nRetry-After: 1\r\n" + EMPTY


async def hangs(world: World, exchange: Exchange, said: bytes) -> bytes:
    return await world.hang(exchange)


async def hangs_in_its_body(world: World, exchange: Exchange, said: bytes) -> bytes:
    await exchange.send(said[:-3])
    return await world.hang(exchange)


async def is_slow(world: World, exchange: Exchange, said: bytes) -> bytes:
    """Send a few bytes at a time, and let everybody else have many turns in between."""
    step = max(1, len(said) // 5)
    for at in range(0, len(said), step):
        await exchange.send(said[at : at + step])
        for _ in range(40):
            await asyncio.sleep(0)
    return b""


async def stumbles(world: World, exchange: Exchange, said: bytes) -> bytes:
    """Say something wrong, and the next time what is right."""
    is_read = exchange.line.startswith(b"GET") and exchange.value(b"x-banyan-role") is not None
    return (
        b"HTTP/1.1 200 X\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n[]"
        if (is_read and world.is_first_time(exchange))
        else said
    )


FAULTS: dict[str, Fault] = {
    each.__name__: now_and_then(each)
    for each in (resets, tears, fails, has_no_time, has_too_many, hangs, hangs_in_its_body, is_slow, stumbles)
}


@dataclass
class Scene:
    """Two sides with one truth, a gateway between them, and those who read and write."""

    stage: Stage
    world: World
    crowd: Crowd
    keeping: Keeping

    async def first(self) -> None:
        """Let everybody read and write, and then nobody, until all is said."""
        await self.crowd.come()
        self.stage.shadows.second()
        self.stage.clock.by_s += 1.1  # some are looked at again while others write
        await self.crowd.come(each=10)
        await concluded(self.stage, self.world)

    async def then(self) -> None:
        """Let everybody read while nothing is on its way, and all second looks can say something."""
        await self.crowd.come(each=15, writing=False)
        await concluded(self.stage, self.world)

    def every_read_has_one_outcome(self) -> None:
        """Hold that whatever a side answered to a reader was counted once, and nothing else was."""
        counts = self.stage.counts
        assert sum(counts.get(outcome.value, 0) for outcome in Outcome) == self.crowd.answers["whole"], counts
        assert self.stage.shadows.held_bytes == 0

    def nobody_cried_wolf(self) -> None:
        assert self.stage.counts.get("mismatched", 0) == 0, (self.stage.counts, self.keeping.found)
        assert self.keeping.found == []


@asynccontextmanager
async def scene(
    monkeypatch: pytest.MonkeyPatch, rules: Mapping[str, Any] = USERS, **options: Any
) -> AsyncIterator[Scene]:
    async with shadowing({**rules, "breaker": {"observe_only": True}}, differences=1_000) as stage:
        monkeypatch.setattr("proxy.gateway.exchange.perf_counter", stage.clock)
        world = World(**options)
        stage.rig.gateway.settling.settle_s = SETTLE_S
        stage.rig.legacy.script, stage.rig.modern.script = world.script(Side.LEGACY), world.script(Side.MODERN)
        _, keeping = findings_of(stage)
        yield Scene(stage, world, Crowd(stage, world), keeping)


@pytest.mark.parametrize("noisy", [False, True], ids=["", "noisy"])
@pytest.mark.parametrize("rules", [USERS, CANARY], ids=["shadow", "canary"])
async def test_writes_that_race_with_reads_are_no_mismatch(monkeypatch, rules, noisy):
    async with scene(monkeypatch, rules, noisy=noisy) as play:
        await play.crowd.come()
        await quiet(play.stage, play.world)
        assert play.stage.sandwiches.waiting > 0  # there were races
        await play.first()
        await play.then()

        play.every_read_has_one_outcome()
        play.nobody_cried_wolf()


@pytest.mark.parametrize("noisy", [False, True], ids=["", "noisy"])
async def test_writes_by_another_replica_are_no_mismatch(monkeypatch, noisy):
    async with scene(monkeypatch, noisy=noisy) as play:
        play.stage.sandwiches.cap.replicas = 2
        play.crowd.elsewhere = True
        for _ in range(4):
            await play.crowd.come(each=20)
            await quiet(play.stage, play.world)
            play.world.arrive()
            play.stage.clock.by_s += SETTLE_S + 1  # what stood is looked at anew, while others are on their way
        await concluded(play.stage, play.world)

        play.every_read_has_one_outcome()
        play.nobody_cried_wolf()


@pytest.mark.parametrize(("side", "noisy"), [(Side.LEGACY, False), (Side.MODERN, False), (Side.MODERN, True)])
@pytest.mark.parametrize("fault", FAULTS)
async def test_faults_are_no_mismatch(monkeypatch, fault, side, noisy):
    async with scene(monkeypatch, noisy=noisy) as play:
        play.world.faults[side] = FAULTS[fault]
        await play.first()
        await play.then()
        play.world.faults[side] = None
        await play.first()

        play.every_read_has_one_outcome()
        play.nobody_cried_wolf()


@pytest.mark.parametrize("side", list(Side))
async def test_a_restart_is_no_mismatch(monkeypatch, side):
    async with scene(monkeypatch) as play:
        peer = play.stage.rig.peers[side][0]
        reading = asyncio.create_task(play.crowd.come(each=60))
        for _ in range(3):
            seen = play.world.requests
            await until(lambda seen=seen: play.world.requests > seen + 50 or reading.done())
            await peer.stop()
            asked = play.crowd.asked
            await until(lambda asked=asked: play.crowd.asked > asked + 40 or reading.done())
            await peer.start()
        await reading
        await play.first()
        await play.then()

        play.every_read_has_one_outcome()
        play.nobody_cried_wolf()


@pytest.mark.parametrize("fault", FAULTS)
async def test_what_is_wrong_in_the_middle_of_all_that_is_found_and_nothing_else(monkeypatch, fault):
    async with scene(monkeypatch, noisy=True) as play:
        await play.first()
        play.world.corrupt = "3"
        play.world.faults[Side.MODERN] = FAULTS[fault]
        await play.first()
        play.world.faults[Side.MODERN] = None
        await play.first()

        play.every_read_has_one_outcome()
        assert play.stage.counts["mismatched"] > 0
        assert {each.of.path for each in play.keeping.found} == {"$.unread", "$.items[*].unread"}


async def test_with_the_question_of_settling_switched_off_races_are_taken_for_mismatches(monkeypatch):
    """What the rule is for: without it all of this is found, and there is nothing."""
    async with scene(monkeypatch) as play:
        play.stage.rig.gateway.settling.settle_s = -1e9
        await play.crowd.come()
        await quiet(play.stage, play.world)

        assert play.stage.counts["mismatched"] > 0
