"""Reads when a side fails: who stands in, what is never done, and how it shows."""

from __future__ import annotations

import asyncio
from time import perf_counter

import pytest

from proxy.core.rules import Side
from tests.peers import Exchange, answering, asked, ok
from tests.rig import USERS, Rig, running
from tests.scarcity import no_descriptors
from tests.waiting import until

GET = b"GET /api/users/42 HTTP/1.1\r\nHost: shop.test\r\n\r\n"
POST = b"POST /api/users HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 5\r\n\r\nhello"
LIST = b"GET /api/users HTTP/1.1\r\nHost: shop.test\r\n\r\n"


def answer_of(status: int, body: bytes = b"bad", extra: bytes = b"") -> bytes:
    return b"HTTP/1.1 %d X\r\n%bContent-Length: %d\r\n\r\n%b" % (status, extra, len(body), body)


async def closing(exchange: Exchange) -> None:
    exchange.writer.close()


async def torn(exchange: Exchange) -> None:
    await exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
    exchange.writer.close()


async def torn_chunks(exchange: Exchange) -> None:
    await exchange.send(b"HTTP/1.1 503 X\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n")
    exchange.writer.close()


async def garbage(exchange: Exchange) -> None:
    await exchange.send(b"what is this?\r\n\r\n")


FAILURES = {
    "close": (closing, b"reset"),
    "torn": (torn, b"reset"),
    "torn chunks of an error": (torn_chunks, b"reset"),
    "garbage": (garbage, b"reset"),
    "500": (answering(answer_of(500)), b"status"),
    "503": (answering(answer_of(503)), b"status"),
    "two lengths": (answering(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok"), b"reset"),
}


@pytest.mark.parametrize("failure", FAILURES)
async def test_a_read_that_modern_fails_is_answered_by_legacy_and_it_shows(failure):
    script, reason = FAILURES[failure]
    async with running() as rig:
        rig.modern.script = script
        rig.legacy.script = answering(ok(b"from legacy"))
        answer = await asked(rig.port, GET)

        assert (answer.status, answer.body) == (200, b"from legacy")
        assert answer.value(b"x-banyan-side") == b"legacy"
        assert answer.value(b"x-banyan-fallback") == b"modern;" + reason
        assert b"next-hop=legacy" in answer.value(b"proxy-status")
        assert rig.gateway.records.fallbacks.items() == [(("users", reason.decode()), 1)]
        assert rig.count(component="users", side="legacy") == 1


async def test_a_refused_connection_is_a_fallback_too():
    async with running() as rig:
        await rig.modern.stop()
        answer = await asked(rig.port, GET)

        assert (answer.status, answer.value(b"x-banyan-fallback")) == (200, b"modern;connect")


async def test_a_side_that_hangs_is_left_at_the_shorter_deadline():
    async def hanging(exchange: Exchange) -> None:
        await asyncio.Event().wait()

    async with running() as rig:
        rig.modern.script = hanging
        client = await rig.connect()
        await client.send(GET)
        await until(lambda: rig.modern.seen)
        rig.pass_s(2.8)
        assert rig.legacy.seen == []
        rig.pass_s(0.5)

        answer = await client.answer()
        assert (answer.status, answer.value(b"x-banyan-fallback")) == (200, b"modern;timeout")


async def test_legacy_does_not_fall_back_to_modern_unless_the_rule_says_so():
    async with running({**USERS, "weight": 1.0, "sticky": ["header:x-user-id"], "pin": []}) as rig:
        rig.rules({**USERS, "weight": 0.0, "phase": "canary"})
        rig.legacy.script = answering(answer_of(500))
        assert (await asked(rig.port, GET)).status == 500
        assert rig.modern.seen == []

        rig.rules({**USERS, "weight": 0.0, "phase": "canary", "fallback": {"to_modern": True}})
        assert (await asked(rig.port, GET)).status == 200
        assert len(rig.modern.seen) == 1


async def test_an_emergency_bars_the_other_side_from_standing_in():
    async with running() as rig:
        rig.emergency(users=Side.MODERN)
        rig.modern.script = answering(answer_of(500))
        answer = await asked(rig.port, GET)

        assert (answer.status, answer.body) == (500, b"bad")
        assert rig.legacy.seen == []


async def test_when_both_fail_a_real_answer_beats_a_problem_and_the_first_one_the_second():
    async with running() as rig:
        rig.modern.script = answering(answer_of(503, b"first"))
        rig.legacy.script = answering(answer_of(500, b"second"))
        answer = await asked(rig.port, GET)
        assert (answer.status, answer.body, answer.value(b"x-banyan-side")) == (503, b"first", b"modern")

        rig.legacy.script = closing
        assert (await asked(rig.port, GET)).body == b"first"

        rig.modern.script = closing
        rig.legacy.script = answering(answer_of(500, b"second"))
        assert (await asked(rig.port, GET)).body == b"second"

        rig.legacy.script = closing
        answer = await asked(rig.port, GET)
        assert answer.status == 502
        assert answer.value(b"content-type") == b"application/problem+json"
        assert b"connection_terminated" in answer.value(b"proxy-status")


async def test_a_404_of_an_entity_is_confirmed_by_legacy_outside_the_budget():
    async with running() as rig:
        rig.modern.script = answering(answer_of(404, b"modern has none"))
        rig.legacy.script = answering(ok(b"legacy has it"))
        answer = await asked(rig.port, GET)
        assert (answer.status, answer.body) == (200, b"legacy has it")
        assert rig.gateway.records.fallbacks.items() == [(("users", "missing"), 1)]
        assert rig.gateway.records.spent.items() == []

        rig.legacy.script = answering(answer_of(404, b"legacy neither"))
        answer = await asked(rig.port, GET)
        assert (answer.status, answer.body, answer.value(b"x-banyan-side")) == (404, b"modern has none", b"modern")

        rig.legacy.script = closing
        assert (await asked(rig.port, GET)).body == b"modern has none"


async def test_a_404_of_a_list_is_an_answer():
    async with running() as rig:
        rig.modern.script = answering(answer_of(404))
        assert (await asked(rig.port, LIST)).status == 404
        assert rig.legacy.seen == []


async def test_an_answer_that_was_passed_on_and_tears_is_cut_visibly():
    async def script(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + b"x" * 70_000)
        exchange.writer.close()

    async with running() as rig:
        rig.modern.script = script
        client = await rig.connect()
        await client.send(GET)
        raw = await client.rest()

        assert raw.count(b"HTTP/1.1") == 1
        assert len(raw.partition(b"\r\n\r\n")[2]) <= 70_000
        assert rig.legacy.seen == []


async def test_a_chunked_answer_that_tears_never_gets_its_last_chunk():
    async def script(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n")
        await exchange.reader.read(1)

    async with running() as rig:
        rig.modern.script = script
        client = await rig.connect()
        await client.send(GET)
        assert await client.reader.readuntil(b"half\r\n")
        await rig.modern.stop()
        assert not (await client.rest()).endswith(b"0\r\n\r\n")


async def test_a_stale_pooled_connection_costs_a_read_nothing_and_is_no_fallback():
    async with running() as rig:
        await asked(rig.port, GET)

        async def close_once(exchange: Exchange) -> None:
            rig.modern.script = answering(ok(b"fresh"))
            exchange.writer.close()

        rig.modern.script = close_once
        answer = await asked(rig.port, GET)
        assert (answer.body, answer.value(b"x-banyan-fallback")) == (b"fresh", None)
        assert len(rig.modern.seen) == 3


async def test_a_write_is_never_sent_twice_nor_to_the_other_side():
    async with running() as rig:
        for script in (closing, torn, garbage, answering(answer_of(503))):
            rig.legacy.seen.clear()
            rig.legacy.script = script
            client = await rig.connect()
            await client.send(POST)
            await client.rest() if script is torn else await client.answer()
            client.close()
            assert [exchange.line for exchange in rig.legacy.seen] == [b"POST /api/users HTTP/1.1"]
        assert rig.modern.seen == []


async def test_a_write_whose_connection_was_refused_is_tried_once_more_on_the_same_side():
    async with running() as rig:
        port = rig.legacy.port
        await rig.legacy.stop()
        answer = await asked(rig.port, POST)
        assert answer.status == 502
        assert b"destination_unavailable" in answer.value(b"proxy-status")
        assert rig.modern.seen == []

        await rig.legacy.start(port)
        assert (await asked(rig.port, POST)).status == 200


async def test_a_write_that_gets_no_answer_in_time_is_504_and_sent_once():
    async def hanging(exchange: Exchange) -> None:
        await exchange.read_body()
        await asyncio.Event().wait()

    async with running() as rig:
        rig.legacy.script = hanging
        client = await rig.connect()
        await client.send(POST)
        await until(lambda: rig.legacy.seen and rig.legacy.seen[0].body)
        rig.pass_s(16)

        assert (await client.answer()).status == 504
        assert len(rig.legacy.seen) == 1


async def ask_many(rig: Rig, count: int) -> list[bytes | None]:
    return [(await asked(rig.port, GET)).value(b"x-banyan-plan") for _ in range(count)]


async def test_five_transport_errors_in_a_row_open_the_breaker_and_the_plan_says_so():
    async with running() as rig:
        rig.modern.script = closing
        plans = await ask_many(rig, 7)

        assert [b"weight" in plan for plan in plans] == [True] * 5 + [False] * 2
        assert b"breaker" in plans[-1]
        assert [(trip.component, trip.side, str(trip.state)) for trip in rig.trips] == [("users", Side.MODERN, "open")]
        assert len(rig.modern.seen) == 5


async def test_an_open_breaker_lets_probes_through_and_closes_when_they_are_answered():
    async with running() as rig:
        rig.modern.script = closing
        await ask_many(rig, 6)
        breaker = rig.gateway.breakers.breakers["users", Side.MODERN]
        rig.modern.script = answering(ok())
        rig.gateway.breakers.tick(breaker.since_s + 5.1)
        plans = await ask_many(rig, 4)

        assert all(b"weight" in plan for plan in plans)
        assert [str(trip.state) for trip in rig.trips] == ["open", "half_open", "closed"]


async def test_a_spent_budget_opens_the_breaker_but_the_read_in_hand_is_answered():
    breaker = {"consecutive": 1000, "min_requests": 5, "error_pct": 100.0}
    rules = {**USERS, "breaker": breaker, "fallback": {"budget_pct": 1.0}}
    async with running(rules) as rig:
        rig.modern.script = answering(answer_of(500))
        answers = [await asked(rig.port, GET) for _ in range(8)]

        assert {answer.status for answer in answers} == {200}
        assert len(rig.modern.seen) == 5
        assert rig.gateway.records.spent.items() == [("users", 5)]


async def test_a_read_with_a_long_body_has_no_fallback_and_is_counted():
    rules = {**USERS, "routes": {"POST /rpc/find": {"kind": "read"}}}
    async with running(rules) as rig:
        rig.modern.script = answering(answer_of(500))
        short = b"POST /rpc/find HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"
        assert (await asked(rig.port, short)).status == 200
        assert rig.legacy.seen[0].body == b"abc"

        long = b"POST /rpc/find HTTP/1.1\r\nHost: a\r\nContent-Length: 70000\r\n\r\n" + b"x" * 70_000
        assert (await asked(rig.port, long)).status == 500
        assert rig.gateway.records.unbuffered.items() == [("users", 1)]


async def test_a_chunked_read_that_fails_is_replayed_with_what_was_kept_of_it():
    rules = {**USERS, "routes": {"POST /rpc/find": {"kind": "read"}}}
    async with running(rules) as rig:
        rig.modern.script = closing
        head = b"POST /rpc/find HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        client = await rig.connect()
        await client.send(head, b"3\r\nabc\r\n")
        await until(lambda: rig.legacy.seen)
        await client.send(b"2\r\nde\r\n0\r\n\r\n")

        assert (await client.answer()).status == 200
        assert rig.legacy.seen[0].body == b"abcde"


async def test_a_full_pool_is_a_connect_failure_where_nothing_was_sent():
    release = asyncio.Event()

    async def waiting(exchange: Exchange) -> None:
        await release.wait()
        await exchange.send(ok())

    async with running(connections=1) as rig:
        rig.modern.script = waiting
        first = await rig.connect()
        await first.send(GET)
        await until(lambda: rig.modern.seen)
        answer = await asked(rig.port, GET)
        assert (answer.value(b"x-banyan-fallback"), answer.status) == (b"modern;connect", 200)
        release.set()
        assert (await first.answer()).status == 200


async def test_our_own_shortage_counts_against_no_breaker_and_no_budget():
    hanging = asyncio.Event()

    async def waiting(exchange: Exchange) -> None:
        await hanging.wait()
        await exchange.send(ok())

    async with running({**USERS, "breaker": {"consecutive": 3, "min_requests": 3}}, connections=1) as rig:
        rig.modern.script = waiting
        first = await rig.connect()
        await first.send(GET)
        await until(lambda: rig.modern.seen)
        for _ in range(20):
            answer = await asked(rig.port, GET)
            assert (answer.status, answer.value(b"x-banyan-side")) == (200, b"legacy")
        hanging.set()
        assert (await first.answer()).value(b"x-banyan-side") == b"modern"

        records, breaker = rig.gateway.records, rig.gateway.breakers.of("users", Side.MODERN)
        assert rig.trips == [] and dict(records.spent.items()) == {}
        assert breaker is not None and breaker.shares(perf_counter())[:2] == (1, 0.0)
        assert dict(records.fallbacks.items()) == {("users", "connect"): 20}
        assert dict(records.alarms.items()) == {("", "modern_pool_full"): 20}
        assert (await asked(rig.port, GET)).value(b"x-banyan-side") == b"modern"


async def test_without_a_descriptor_a_read_is_answered_where_a_connection_stands():
    async with running({**USERS, "breaker": {"consecutive": 3, "min_requests": 3}}) as rig:
        client = await rig.connect()
        await client.send(POST)  # to legacy, whose connection stays
        assert (await client.answer()).status == 200
        with no_descriptors():
            for _ in range(10):
                await client.send(GET)
                answer = await client.answer()
                assert (answer.status, answer.value(b"x-banyan-fallback")) == (200, b"modern;connect")
        assert rig.trips == []
        assert dict(rig.gateway.records.alarms.items()) == {("", "no_descriptors"): 10}
        await client.send(GET)
        assert (await client.answer()).value(b"x-banyan-side") == b"modern"
        client.close()


async def test_without_a_descriptor_and_a_connection_it_is_we_who_cannot_serve():
    async with running({**USERS, "breaker": {"consecutive": 3, "min_requests": 3}}) as rig:
        client = await rig.connect()
        with no_descriptors():
            for request in (GET, POST) * 5:
                await client.send(request)
                answer = await client.answer()
                assert answer.status == 503
                assert b"error=proxy_internal_error" in (answer.value(b"proxy-status") or b"")
        assert rig.trips == [] and rig.modern.seen == rig.legacy.seen == []
        for request, side in ((GET, b"modern"), (POST, b"legacy")):
            await client.send(request)
            assert (await client.answer()).value(b"x-banyan-side") == side
        client.close()


async def test_an_event_stream_is_passed_on_as_it_comes():
    release = asyncio.Event()

    async def stream(exchange: Exchange) -> None:
        head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
        await exchange.send(head + b"9\r\ndata: 1\n\n\r\n")
        await release.wait()
        await exchange.send(b"9\r\ndata: 2\n\n\r\n0\r\n\r\n")

    async with running() as rig:
        rig.modern.script = stream
        client = await rig.connect()
        await client.send(GET)
        assert (await client.reader.readuntil(b"data: 1\n\n\r\n")).startswith(b"HTTP/1.1 200")
        release.set()
        assert await client.reader.readuntil(b"0\r\n\r\n") == b"9\r\ndata: 2\n\n\r\n0\r\n\r\n"


async def test_an_error_that_is_a_stream_of_events_falls_back_at_once():
    async def endless(exchange: Exchange) -> None:
        await exchange.send(
            b"HTTP/1.1 500 X\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n5\r\ndata:\r\n"
        )
        await exchange.reader.read()

    async with running() as rig:
        rig.modern.script = endless
        answer = await asked(rig.port, GET)
        assert (answer.status, answer.value(b"x-banyan-fallback")) == (200, b"modern;status")
        await until(lambda: rig.modern.open_now == 0)

        rig.legacy.script = closing
        assert (await asked(rig.port, GET)).status == 502  # there is no whole answer to give


async def test_head_falls_back_like_get_and_its_answers_have_no_body():
    head = GET.replace(b"GET", b"HEAD")
    async with running() as rig:
        rig.modern.script = answering(b"HTTP/1.1 500 X\r\nContent-Length: 7\r\n\r\n")
        rig.legacy.script = answering(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n")
        client = await rig.connect()
        await client.send(head)
        answer = await client.answer(head_only=True)
        assert (answer.status, answer.value(b"content-length")) == (200, b"9")

        rig.legacy.script = answering(b"HTTP/1.1 503 X\r\nContent-Length: 9\r\n\r\n")
        await client.send(head)
        answer = await client.answer(head_only=True)
        assert (answer.status, answer.value(b"content-length")) == (500, b"7")
        rig.legacy.script = rig.modern.script = closing
        await client.send(head)
        answer = await client.answer(head_only=True)
        assert answer.status == 502 and int(answer.value(b"content-length") or 0) > 0
        rig.modern.script = answering(ok())
        await client.send(GET)
        assert (await client.answer()).body == b"ok"


@pytest.mark.parametrize(("status", "reason"), [(200, b"timeout"), (500, b"status")])
@pytest.mark.parametrize("dribbles", [False, True])
async def test_an_answer_that_is_held_and_takes_too_long_is_replaced(status, reason, dribbles):
    """`head_with_fallback_s` for the rest of it, too; another byte now and then does not prolong that."""
    go_on = asyncio.Event()

    async def still(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 %d X\r\nContent-Length: 10\r\n\r\nhalf" % status)
        await go_on.wait()
        await exchange.send(b"x")
        await asyncio.Event().wait()

    async with running() as rig:
        rig.modern.script = still
        client = await rig.connect()
        await client.send(GET)
        (line,) = await until(lambda: [each for each in rig.pools[Side.MODERN].instances[0].lines if each._head])
        rig.pass_s(2.5)
        assert rig.legacy.seen == [] and line.receiver is not None
        if dribbles:
            go_on.set()
            await until(lambda: line._left == 5)
        rig.pass_s(1)
        answer = await client.answer()
        assert (answer.status, answer.body, answer.value(b"x-banyan-fallback")) == (200, b"ok", b"modern;" + reason)
        assert rig.pools[Side.MODERN].connections == 0


async def test_a_slow_answer_that_may_not_fall_back_for_its_time_is_passed_on():
    go_on = asyncio.Event()

    async def slow(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
        await go_on.wait()
        await exchange.send(b" whole")

    async with running({**USERS, "fallback": {"on": ["connect", "5xx"]}}) as rig:
        rig.modern.script = slow
        client = await rig.connect()
        await client.send(GET)
        await until(lambda: [each for each in rig.pools[Side.MODERN].instances[0].lines if each._head])
        rig.pass_s(3.5)
        assert await client.reader.readuntil(b"half")
        go_on.set()
        assert await client.reader.readexactly(6) == b" whole"
        assert rig.legacy.seen == []


async def test_a_held_answer_whose_client_leaves_leaves_nothing_behind():
    async def still(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
        await asyncio.Event().wait()

    async with running() as rig:
        rig.modern.script = still
        client = await rig.connect()
        await client.send(GET)
        await until(lambda: [each for each in rig.pools[Side.MODERN].instances[0].lines if each._head])
        client.reset()
        await until(lambda: rig.pools[Side.MODERN].connections == 0)
        assert rig.legacy.seen == [] and rig.count() == 1


async def test_an_instance_whose_held_answers_never_end_is_left_out():
    async def stalls(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 200 X\r\nContent-Length: 9\r\n\r\nx")
        await asyncio.Event().wait()

    async with running(instances=2) as rig:
        first, second = rig.peers[Side.MODERN]
        first.script = second.script = stalls
        clients = [await rig.connect() for _ in range(20)]
        for client in clients:
            await client.send(GET)
        for instance in rig.pools[Side.MODERN].instances:
            await until(lambda instance=instance: sum(bool(line._head) for line in instance.lines) == 10)
        for exchange in second.seen:
            await exchange.send(b"12345678")
        await until(lambda: rig.pools[Side.MODERN].instances[1].requests == 0)
        rig.pass_s(3.3)
        assert [(await client.answer()).status for client in clients] == [200] * 20
        assert rig.pools[Side.MODERN].roster.asked == (1,)
