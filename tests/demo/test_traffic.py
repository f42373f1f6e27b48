from __future__ import annotations

import asyncio

from proxy.demo.asks import WRITES_OF_ONE
from proxy.demo.entities import COMPONENTS
from proxy.demo.tally import Tally
from proxy.demo.traffic import READS_PER_S, WRITES_PER_S, Traffic
from proxy.demo.web import Web
from tests.demo.pretend import pretend, rightly
from tests.waiting import until


async def test_it_reads_everything_writes_what_it_may_and_counts_exactly(tmp_path):
    stop = asyncio.Event()
    served = []

    def counting(stage, component, user):
        served.append(component)
        return rightly(stage, component, user)

    async with pretend(tmp_path, counting) as play:
        running = asyncio.create_task(play.traffic.run(["analytics"], stop))
        tally = play.traffic.tally
        await until(lambda: tally.reads >= 60 and tally.writes >= 4)
        stop.set()
        await asyncio.wait_for(running, 10)

        assert tally.reads + tally.writes == len(served)
        assert {component for component, _, is_read in tally.by_side if is_read} == set(COMPONENTS)
        assert {component for component, _, is_read in tally.by_side if not is_read} == {"analytics"}
        assert tally.failed_reads == 0
        assert tally.writes % 4 == 0, "what was made is removed before it ends"


async def test_reads_come_at_their_times_even_while_nobody_answers(tmp_path):
    async with Web() as web:
        silent = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
        tally = Tally()
        traffic = Traffic(web, f"http://127.0.0.1:{silent.sockets[0].getsockname()[1]}", tally)
        running = asyncio.create_task(traffic.run([], asyncio.Event()))
        await until(lambda: len(traffic._asking) >= 20, within_s=20 * 10 / READS_PER_S)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await until(lambda: not traffic._asking)
        silent.close()

    assert tally.reads == 0


async def test_no_answer_is_an_error_of_the_reader(tmp_path):
    async with Web() as web:
        traffic = Traffic(web, "http://127.0.0.1:1", Tally())
        stop = asyncio.Event()
        running = asyncio.create_task(traffic.run(["analytics"], stop))
        await until(lambda: traffic.tally.reads >= 3)
        stop.set()
        await running

    assert traffic.tally.failed_reads == traffic.tally.reads
    assert traffic.tally.first_errors[0].error


async def test_what_is_written_rests_as_long_as_it_takes_to_settle(tmp_path):
    stop, written = asyncio.Event(), []

    async with pretend(tmp_path) as play:
        ask = play.traffic.ask

        async def noting(each):
            if not each.is_read:
                written.append((each.method, play.now()))
            return await ask(each)

        play.traffic.ask = noting
        running = asyncio.create_task(play.traffic.run(["analytics"], stop))
        await until(lambda: len(written) >= 2 * WRITES_OF_ONE)
        stop.set()
        await asyncio.wait_for(running, 10)

    assert [method for method, _ in written[:WRITES_OF_ONE]] == ["POST", "PATCH", "PUT", "DELETE"]
    assert written[WRITES_OF_ONE][1] - written[0][1] >= WRITES_OF_ONE / WRITES_PER_S - 0.05
