"""Several processes as one: real sockets between them, one of them in this process."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from proxy.admin.gathering import ANSWER_S, Gathering
from proxy.admin.metrics import exposition, registry_of
from proxy.admin.probes import build_probes
from proxy.board import Board, Standing
from proxy.core.gathering import GAUGES
from proxy.ledger import Ledger
from tests.admin.small import SmallHouse, served, small_house
from tests.admin.test_metrics import answered


class Family:
    """A few houses that are processes of one parent."""

    def __init__(self, board: Board, ledger: Ledger, stack: AsyncExitStack) -> None:
        self.board = board
        self.ledger = ledger
        self._stack = stack

    async def join(self, place: int, generation: int = 1) -> tuple[SmallHouse, Gathering]:
        house = await self._stack.enter_async_context(small_house())
        await house.seed()
        gathering = Gathering(house, f"{generation}-{place}-{1000 + place}", self.board, self.ledger)
        await self._stack.enter_async_context(gathering.open())
        if generation == 1:
            self.board.set_standing(place, Standing.READY)
        return house, gathering


@pytest.fixture
async def family() -> AsyncIterator[Family]:
    board, ledger = Board.create(2), Ledger.create()
    async with AsyncExitStack() as stack:
        yield Family(board, ledger, stack)
    board.close()
    ledger.remove()


async def scraped(gathering: Gathering) -> dict[str, float]:
    body, _ = exposition(await gathering.registry(), "")
    lines = (line.rsplit(" ", 1) for line in body.decode().splitlines() if not line.startswith("#"))
    return {name: float(value) for name, value in lines}


def requests(samples: dict[str, float]) -> float:
    return sum(value for name, value in samples.items() if name.startswith("banyan_requests_total"))


async def test_whoever_is_asked_answers_for_all(family):
    (first, one), (second, other) = await family.join(0), await family.join(1)
    family.board.set_complete()
    for _ in range(3):
        answered(first, b"/api/users/1", 200)
    for _ in range(4):
        answered(second, b"/api/users/1", 200)

    for gathering in (one, other):
        samples = await scraped(gathering)
        assert requests(samples) == 7
        assert samples['banyan_request_duration_seconds_count{component="users",side="modern"}'] == 7
        assert samples["banyan_connections"] == 6
        assert samples["banyan_ready"] == 1
        assert samples['banyan_processes{state="ready"}'] == 2
        assert samples["process_open_fds"] > 0


async def test_one_that_does_not_answer_is_left_out_and_its_counts_stay(family):
    (first, one), (second, _) = await family.join(0), await family.join(1)
    family.board.set_complete()
    answered(second, b"/api/users/1", 200)
    assert requests(await scraped(one)) == 1
    door = family.ledger.door("1-1-1001")
    door.unlink()
    with socket.socket(socket.AF_UNIX) as deaf:
        deaf.bind(str(door))
        deaf.listen()
        samples = await scraped(one)
        found = await one.ask_all()

    assert samples['banyan_processes{state="silent"}'] == samples['banyan_processes{state="ready"}'] == 1
    assert samples["banyan_connections"] == first.connections
    assert requests(samples) == 1
    assert found.not_ready() == ()
    assert found.troubles() == (f"1 of 2 processes did not answer within {ANSWER_S:g} s",)


async def test_what_was_told_once_is_not_lost_with_its_process(family):
    (_, one), (second, other) = await family.join(0), await family.join(1)
    answered(second, b"/api/users/1", 200)
    assert requests(await scraped(other)) == 1
    family.ledger.fold("1-1-1001")  # as the parent does when it was killed
    family.board.set_standing(1, Standing.ENDED)
    family.board.set_complete()

    assert requests(await scraped(one)) == 1
    assert (await one.ask_all()).troubles() == ("1 of 2 processes ended and will be back",)


async def test_ready_only_when_all_are_and_at_first_when_all_were(family):
    (_, one), (second, _) = await family.join(0), await family.join(1)
    family.board.set_standing(1, Standing.STARTING)
    assert (await one.ask_all()).not_ready() == ("1 of 2 processes are ready",)
    family.board.set_standing(1, Standing.READY)
    family.board.set_complete()
    assert (await one.ask_all()).not_ready() == ()
    second.draining = True
    assert (await one.ask_all()).not_ready() == ("it was told to end",)


async def test_those_that_others_took_over_from_count_and_do_not_decide(family):
    (first, one), (old, _) = await family.join(0), await family.join(1, generation=0)
    family.board.set_standing(1, Standing.READY)
    family.board.set_complete()
    old.draining = True
    answered(old, b"/api/users/1", 200)
    answered(first, b"/api/users/1", 200)

    samples = await scraped(one)
    assert requests(samples) == 2
    assert samples["banyan_connections"] == 6
    assert samples["banyan_ready"] == 1
    assert samples['banyan_processes{state="leaving"}'] == 1
    assert (await one.ask_all()).not_ready() == ()


async def test_without_a_folder_a_process_still_speaks_for_itself(family):
    first, one = await family.join(0)
    answered(first, b"/api/users/1", 200)
    family.ledger.remove()

    samples = await scraped(one)
    assert requests(samples) == 1
    assert samples["banyan_connections"] == 3


async def test_those_that_are_to_take_over_do_not_leave(family):
    _, one = await family.join(0)
    await family.join(1, generation=2)
    states = (await one.ask_all()).states
    assert (states["ready"], states["leaving"]) == (1, 0)


async def test_who_asks_at_the_same_time_gets_the_same_answer(family):
    _, one = await family.join(0)
    first, second = await asyncio.gather(one.ask_all(), one.ask_all())
    assert first is second
    assert await one.ask_all() is not first


async def test_the_probes_speak_for_all(family, client):
    (house, one), (second, _) = await family.join(0), await family.join(1)
    family.board.set_complete()
    answered(second, b"/api/users/1", 200)
    async with served(build_probes(house, one)) as server:
        async with client.get(server.make_url("/readyz")) as answer:
            document = await answer.json()
            assert (answer.status, document["status"], document["version"]) == (200, "ready", 1)
            assert document["processes"] == {"ready": 2, "silent": 0, "starting": 0, "ended": 0, "leaving": 0}
        async with client.get(server.make_url("/metrics")) as answer:
            assert 'banyan_processes{state="ready"} 2.0' in await answer.text()
        second.draining = True
        async with client.get(server.make_url("/readyz")) as answer:
            assert answer.status == 503


async def test_every_gauge_has_a_meaning_for_all_processes(house):
    await house.seed()
    gauges = {metric.name for metric in registry_of(house).collect() if metric.type == "gauge"}
    assert gauges <= set(GAUGES), "say in core/gathering.py what these mean for several processes"
