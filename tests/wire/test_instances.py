"""Instances of a side: who is asked next, who is asked no more, and what a retry goes to."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from proxy.core.errors import POOL_FULL, UpstreamError
from proxy.core.instances import Blame, Change, OutlierDetection, Roster, Turn
from proxy.core.limits import PoolLimits, WireLimits
from proxy.wire.instances import Instance, Place, least_busy
from proxy.wire.pool import Pool, Waits
from proxy.wire.upstream import Line, Upstream
from proxy.wire.wheel import Wheel
from tests import pki
from tests.peers import Exchange, Side, ok
from tests.rig import Clock
from tests.waiting import until
from tests.wire.told import GET, WAITS, Told


def failing(status: int) -> bytes:
    return b"HTTP/1.1 %d X\r\nContent-Length: 0\r\n\r\n" % status


@dataclass
class Family:
    """A pool to several scripted instances."""

    sides: list[Side]
    pool: Pool
    wheel: Wheel
    clock: Clock
    changes: list[Change] = field(default_factory=list)

    def pass_s(self, seconds: float) -> None:
        self.clock.now += seconds
        self.wheel.turn()

    async def ask(self, times: int = 1, **how: object) -> list[Told]:
        """Ask one after the other."""
        found = []
        for _ in range(times):
            told = Told()
            self.pool.send(GET, told, WAITS, **how)  # type: ignore[arg-type]
            await until(lambda told=told: told.over)
            found.append(told)
        return found

    def seen(self) -> list[int]:
        return [len(side.seen) for side in self.sides]

    def answer(self, index: int, data: bytes) -> None:
        async def script(exchange: Exchange) -> None:
            await exchange.send(data)

        self.sides[index].script = script


@asynccontextmanager
async def family(count: int = 3, connections: int = 64, pending: int = 64, **rules: object) -> AsyncIterator[Family]:
    sides = [Side() for _ in range(count)]
    for side in sides:
        await side.start()
    clock = Clock()
    wheel = Wheel(clock)
    trust = pki.trust() if pki.switch.on else None
    places = [Place("127.0.0.1", side.port, trust) for side in sides]
    roster = Roster(count, OutlierDetection.model_validate(rules))
    changes: list[Change] = []
    pool = Pool("modern", places, wheel, WireLimits(), PoolLimits(connections, pending), roster, changes.append)
    try:
        yield Family(sides, pool, wheel, clock, changes)
    finally:
        await pool.close()
        for side in sides:
            await side.stop()


async def hang(exchange: Exchange) -> None:
    await asyncio.Event().wait()


async def test_all_instances_are_asked():
    async with family() as house:
        await house.ask(60)

        assert sum(house.seen()) == 60
        assert all(house.seen())


async def test_of_two_the_one_with_fewer_requests_is_asked():
    async with family(2) as house:
        house.sides[0].script = hang
        house.sides[1].script = hang
        waiting = [Told() for _ in range(20)]
        for told in waiting:
            house.pool.send(GET, told, WAITS)
        await until(lambda: sum(house.seen()) == 20)

        assert house.seen() == [10, 10]
        assert [each.requests for each in house.pool.instances] == [10, 10]


def test_of_many_two_are_looked_at_and_a_busy_one_is_left_alone():
    instances = [Instance(index, Place("h", index), print) for index in range(5)]
    instances[2].opening = 9
    asked = Counter(least_busy(instances, None).index for _ in range(400))

    assert set(asked) == {0, 1, 3, 4}


async def test_what_failed_is_tried_at_another_instance():
    async with family(2) as house:
        for _ in range(20):
            told = Told()
            line = house.pool.send(GET, told, WAITS)
            await until(lambda told=told: told.over)
            assert house.pool.blame(line) is Blame.SHARED
            before = house.seen()
            await house.ask(after=line)
            other = 1 - next(index for index, each in enumerate(house.pool.instances) if each is line.instance)
            assert house.seen()[other] == before[other] + 1


async def test_where_there_is_no_other_instance_the_same_one_is_tried():
    async with family(1) as house:
        (told,) = await house.ask()
        line = house.pool.send(GET, told := Told(), WAITS)
        await until(lambda: told.over)

        assert house.pool.blame(line) is Blame.SIDE
        assert (await house.ask(after=line))[0].complete


async def test_an_instance_that_refuses_is_left_out_until_its_time_is_over():
    async with family() as house:
        await house.sides[1].stop()
        errors = [told for told in await house.ask(60) if told.error is not None]

        assert len(errors) == 5
        assert [(change.index, change.turn) for change in house.changes] == [(1, Turn.EJECTED)]

        house.pass_s(30.2)
        assert house.changes[-1].turn is Turn.RETURNED
        assert len([told for told in await house.ask(60) if told.error is not None]) == 5
        assert house.changes[-1].ejected_s == 60


async def test_an_instance_that_answers_5xx_is_left_out_and_one_that_answers_4xx_is_not():
    async with family() as house:
        house.answer(0, failing(404))
        house.answer(1, failing(503))
        await house.ask(100)

        assert [(change.index, change.turn) for change in house.changes] == [(1, Turn.EJECTED)]
        assert house.seen()[1] == 5


async def test_answers_that_end_with_their_connection_count_as_well():
    async with family(2, consecutive_5xx=3) as house:

        async def closing(exchange: Exchange) -> None:
            status = 200 if exchange.line.endswith(b"/fine HTTP/1.1") else 500
            await exchange.send(b"HTTP/1.1 %d X\r\n\r\nx" % status)
            exchange.writer.close()

        await house.sides[1].stop()
        house.pool.judge(house.pool.instances[1], fine=False)
        for _ in range(2):
            house.pool.judge(house.pool.instances[1], fine=False)
        assert house.pool.roster.asked == (0,)
        house.sides[0].script = closing
        instance = house.pool.instances[0]
        for path, failing_now in ((b"/", True), (b"/fine", False), (b"/", True)):
            told = Told()
            house.pool.send(GET.replace(b"/ ", path + b" ", 1), told, WAITS)
            await until(lambda told=told: told.over)
            assert instance.failing is failing_now


async def test_a_switch_of_protocols_is_a_good_answer():
    async with family(2) as house:
        house.answer(0, b"HTTP/1.1 101 X\r\nConnection: upgrade\r\nUpgrade: a\r\n\r\n")
        house.answer(1, b"HTTP/1.1 101 X\r\nConnection: upgrade\r\nUpgrade: a\r\n\r\n")
        for instance in house.pool.instances:
            house.pool.judge(instance, fine=False)
        told = Told(upgrade=b"a")
        line = house.pool.send(GET, told, WAITS)
        await until(lambda: told.status == 101)
        assert line.instance is not None and not line.instance.failing
        line.cancel()


async def test_who_waited_in_vain_may_blame_the_instance_but_not_for_the_queue():
    async with family(2, connections=2, consecutive_5xx=1) as house:
        house.sides[0].script = house.sides[1].script = hang
        queued = Waits(connect_s=1, head_s=15, idle_s=60, queue_s=5)
        lines = [house.pool.send(GET, Told(), queued) for _ in range(3)]
        await until(lambda: sum(house.seen()) == 2)
        lines[2].blame()
        assert house.changes == []
        lines[0].blame()
        assert [change.turn for change in house.changes] == [Turn.EJECTED]
        for line in lines:
            line.cancel()


async def test_a_try_that_failed_is_not_in_the_way_of_the_next_one():
    async with family(2, connections=1, pending=0, consecutive_5xx=0) as house:
        await house.sides[0].stop()
        answered = 0
        for _ in range(20):
            told, again = Told(), Told()
            failed: list[object] = []

            def retry(line: Line, error: UpstreamError, again: Told = again, failed: list[object] = failed) -> None:
                failed.append(error)
                house.pool.send(GET, again, WAITS, after=line)

            told.failed = retry  # type: ignore[method-assign]
            house.pool.send(GET, told, WAITS)
            await until(lambda told=told, again=again: told.over or again.over)
            assert again.error is None
            answered += told.complete or again.complete
        assert answered == 20


async def test_an_instance_that_does_not_answer_is_left_out():
    async with family(2) as house:
        house.sides[0].script = hang
        waiting = [Told() for _ in range(10)]
        for told in waiting:
            house.pool.send(GET, told, WAITS)
        await until(lambda: sum(house.seen()) == 10)
        house.pass_s(15.3)

        assert [change.turn for change in house.changes] == [Turn.EJECTED]
        assert house.pool.roster.asked == (1,)


async def test_an_idle_connection_that_an_instance_closed_says_nothing_against_it():
    async with family(2, consecutive_5xx=1) as house:

        async def closing(exchange: Exchange) -> None:
            await exchange.send(ok())
            exchange.writer.close()

        for side in house.sides:
            side.script = closing
        await house.ask(10)
        await until(lambda: house.pool.connections == 0)

        assert house.changes == []


async def test_a_client_that_leaves_says_nothing_against_an_instance():
    async with family(2, consecutive_5xx=1) as house:
        for side in house.sides:
            side.script = hang
        lines = [house.pool.send(GET, Told(), WAITS) for _ in range(10)]
        await until(lambda: sum(house.seen()) == 10)
        for line in lines:
            line.cancel()

        assert house.changes == []


async def test_our_own_limit_says_nothing_against_an_instance():
    async with family(2, connections=1, pending=0, consecutive_5xx=1) as house:
        house.sides[0].script = house.sides[1].script = hang
        house.pool.send(GET, Told(), WAITS)
        (told,) = await house.ask()

        assert told.error is not None and told.error.kind == POOL_FULL
        assert house.changes == []


async def test_the_limit_counts_for_all_instances_together_and_idle_connections_of_others_are_used():
    async with family(2, connections=2) as house:
        for _ in range(10):
            await house.ask()
        assert house.pool.connections <= 2

        first, second, third = Told(), Told(), Told()
        house.sides[0].script = house.sides[1].script = hang
        waits = Waits(connect_s=1, head_s=15, idle_s=60, queue_s=2)
        for told in (first, second, third):
            house.pool.send(GET, told, waits)
        await until(lambda: sum(house.seen()) == 12)
        assert house.pool.pending == 1


async def test_an_ejected_instance_finishes_what_it_has():
    async with family(2, consecutive_5xx=1) as house:
        release = asyncio.Event()

        async def late(exchange: Exchange) -> None:
            await release.wait()
            await exchange.send(ok(b"late"))

        for side in house.sides:
            side.script = late
        told = Told()
        line = house.pool.send(GET, told, WAITS)
        await until(lambda: sum(house.seen()) == 1)
        assert line.instance is not None
        house.pool.judge(line.instance, fine=False)
        assert house.changes[-1].turn is Turn.EJECTED
        release.set()
        await until(lambda: told.over)

        assert told.body == b"late"


async def test_where_checks_fail_everywhere_all_are_asked():
    async with family(2) as house:
        for instance in house.pool.instances:
            house.pool.check(instance, False, "it answers 503")
        assert house.pool.roster.is_down
        await house.ask(40)

        assert all(house.seen())


async def test_a_closed_pool_forgets_its_ejections():
    async with family(2, consecutive_5xx=1) as house:
        house.pool.judge(house.pool.instances[0], fine=False)
        await house.pool.close()
        house.pass_s(1000)

        assert [change.turn for change in house.changes] == [Turn.EJECTED]


def test_a_place_is_shown_as_people_write_it():
    assert (str(Place("app", 80)), str(Place("::1", 8080))) == ("app:80", "[::1]:8080")


async def test_a_second_try_does_not_wait_behind_those_who_wait_for_the_first():
    async with family(2, connections=1, pending=2, consecutive_5xx=0) as house:
        await house.sides[0].stop()
        house.answer(1, b"HTTP/1.1 200 X\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok")  # else it is used again
        waits = Waits(connect_s=1, head_s=15, idle_s=60, queue_s=5)
        order: list[str] = []
        failed: list[str] = []

        class Retrying(Told):
            name = ""

            def answer(self, *args: Any) -> None:
                order.append(self.name)
                super().answer(*args)

            def failed(self, line: Line, error: UpstreamError) -> None:
                failed.append(error.kind)
                house.pool.send(GET, self, waits, after=line)

        for _ in range(10):
            order.clear()
            messages = [Retrying() for _ in range(3)]
            for name, told in zip("abc", messages, strict=True):
                told.name = name
                house.pool.send(GET, told, waits)
            await until(lambda messages=messages: all(told.complete for told in messages))
            assert order == ["a", "b", "c"]
        assert failed and POOL_FULL not in failed


async def test_on_a_connection_that_stood_the_instance_is_blamed_as_well():
    async with family(2, connections=2, consecutive_5xx=1) as house:
        await house.ask(20)
        assert all(instance.idle for instance in house.pool.instances)
        house.sides[0].script = house.sides[1].script = hang
        line = house.pool.send(GET, Told(), WAITS)
        assert isinstance(line, Upstream)
        line.blame()
        assert [change.turn for change in house.changes] == [Turn.EJECTED]
        line.cancel()
