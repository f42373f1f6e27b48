"""Shadow reads over real sockets: what is sent, what never is, and what clients never notice."""

from __future__ import annotations

import asyncio
import gc

import pytest

from proxy.core.evidence import Outcome
from proxy.core.limits import SECOND_LOOKS
from proxy.core.rules import Side
from proxy.gateway.copies import Copy
from proxy.workers.asked import Asked
from proxy.workers.loads import Bounds
from tests.peers import Exchange, RawClient, answering, asked, ok
from tests.waiting import until
from tests.workers.shadowing import JSON, USERS, Stage, answer, request, says, shadowing

CANARY = {**USERS, "phase": "canary", "weight": 100}


async def hangs(exchange: Exchange) -> None:
    await asyncio.Event().wait()


async def cuts(exchange: Exchange) -> None:
    exchange.cut()


async def test_an_equal_answer_is_counted_as_a_match_and_the_client_gets_the_primary_s():
    async with shadowing() as stage:
        stage.rig.legacy.script = stage.rig.modern.script = says({"id": 42})

        assert await stage.get() == b'{"id":42}'
        await stage.counted(matched=1)

        assert stage.counts == {"matched": 1}
        assert stage.rig.count(side="legacy") == 1
        assert stage.rig.count(side="modern") == 0


async def test_the_shadow_repeats_the_request_and_says_that_it_is_one():
    async with shadowing() as stage:
        await stage.get("/api/users/42?full=1", b"X-User-Id: 7\r\n", b"Authorization: Bearer t\r\n")
        await stage.counted(matched=1)

        (first,), (second,) = stage.rig.legacy.seen, stage.rig.modern.seen
        assert second.value(b"x-banyan-role") == b"shadow"
        assert first.value(b"x-banyan-role") is None
        assert second.head.replace(b"x-banyan-role: shadow\r\n", b"") == first.head


async def test_a_client_cannot_pass_for_a_shadow():
    async with shadowing({**USERS, "shadow": 0}) as stage:
        await stage.get("/api/users/42", b"X-Banyan-Role: shadow\r\n")

        assert stage.rig.legacy.seen[0].value(b"x-banyan-role") is None


async def test_fields_that_shadows_leave_out_are_left_out():
    async with shadowing({**USERS, "shadow_headers": {"drop": ["authorization", "cookie"]}}) as stage:
        await stage.get("/api/users/42", b"Authorization: secret\r\n", b"Cookie: a=b\r\n", b"X-User-Id: 7\r\n")
        await stage.counted(matched=1)

        (seen,) = stage.rig.modern.seen
        assert (seen.value(b"authorization"), seen.value(b"cookie"), seen.value(b"x-user-id")) == (None, None, b"7")
        assert stage.rig.legacy.seen[0].value(b"authorization") == b"secret"


async def test_a_conditional_read_is_repeated_without_its_conditions():
    async with shadowing() as stage:
        await stage.get("/api/users/42", b'If-None-Match: "a"\r\n')
        await stage.counted(matched=1)

        assert stage.rig.legacy.seen[0].value(b"if-none-match") == b'"a"'
        assert stage.rig.modern.seen[0].value(b"if-none-match") is None


async def test_in_canary_the_side_that_did_not_answer_is_asked():
    async with shadowing(CANARY) as stage:
        await stage.get()
        await stage.counted(matched=1)

        assert stage.rig.modern.seen[0].value(b"x-banyan-role") is None
        assert stage.rig.legacy.seen[0].value(b"x-banyan-role") == b"shadow"


@pytest.mark.parametrize("percent", [0, 25, 100])
async def test_the_share_is_exact(percent):
    async with shadowing({**USERS, "shadow": percent}) as stage:
        for _ in range(20):
            await stage.get()
        await stage.counted(matched=20 * percent // 100)

        assert len(stage.rig.modern.seen) == 20 * percent // 100


async def test_a_read_that_fell_back_has_no_shadow():
    async with shadowing(CANARY) as stage:
        stage.rig.modern.script = answering(b"HTTP/1.1 500 X\r\nContent-Length: 0\r\n\r\n")
        await stage.get()

        assert stage.counts == {}
        assert len(stage.rig.legacy.seen) == 1


@pytest.mark.parametrize(
    ("path", "method", "fields"),
    [
        ("/api/users", b"POST", (b"Content-Length: 0\r\n",)),
        ("/api/users/42", b"OPTIONS", ()),
        ("/nobody", b"GET", ()),
        ("/api/users/42", b"GET", (b"X-HTTP-Method-Override: PUT\r\n",)),
    ],
)
async def test_what_is_no_read_of_a_component_has_no_shadow(path, method, fields):
    async with shadowing() as stage:
        await stage.get(path, *fields, method=method)
        await stage.get()
        await stage.counted(matched=1)

        assert [each.line for each in stage.rig.modern.seen] == [b"GET /api/users/42 HTTP/1.1"]
        assert stage.counts == {"matched": 1}


@pytest.mark.parametrize(
    ("script", "fields", "outcome"),
    [
        (answering(ok()), (b"Range: bytes=0-1\r\n",), "skipped:range"),
        (answering(ok(extra=b"Content-Type: text/event-stream\r\n")), (), "skipped:stream"),
        (answering(b"HTTP/1.1 304 X\r\n\r\n"), (b'If-None-Match: "a"\r\n',), "apart:not_modified"),
        (answering(ok(b"x" * 2_000)), (), "skipped:too_long"),
        (
            answering(
                b"HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\n3e8\r\n"
                + b"x" * 1_000
                + b"\r\n64\r\n"
                + b"y" * 100
                + b"\r\n0\r\n\r\n"
            ),
            (),
            "skipped:too_long",
        ),
        (answering(b"HTTP/1.1 500 X\r\nContent-Length: 0\r\n\r\n"), (), "skipped:primary_failed"),
        (answering(b"HTTP/1.1 503 X\r\nContent-Length: 0\r\n\r\n"), (), "skipped:primary_failed"),
    ],
)
async def test_what_cannot_be_compared_is_counted_and_not_asked(script, fields, outcome):
    async with shadowing(bounds=Bounds(body_bytes=1_050)) as stage:
        stage.rig.legacy.script = script
        await stage.get("/api/users/42", *fields)

        assert stage.counts.get(outcome) == 1
        assert stage.rig.modern.seen == []


async def test_a_torn_answer_has_no_shadow():
    async with shadowing() as stage:

        async def torn(exchange: Exchange) -> None:
            await exchange.send(b"HTTP/1.1 200 X\r\nContent-Length: 900000\r\n\r\nhalf")
            exchange.writer.close()

        stage.rig.legacy.script = torn
        client = await RawClient.connect(stage.rig.port)
        await client.send(request("/api/users/42"))
        await client.rest()

        assert stage.counts == {}
        assert stage.rig.modern.seen == []


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        (cuts, {"failed": 1, "failed:reset": 1}),
        (answering(b"what is this?\r\n\r\n"), {"failed": 1, "failed:reset": 1}),
        (answering(b"HTTP/1.1 429 X\r\nContent-Length: 0\r\n\r\n"), {"declined": 1}),
        (answering(b"HTTP/1.1 503 X\r\nContent-Length: 0\r\n\r\n"), {"declined": 1}),
        (answering(ok(b"x" * 3_000)), {"skipped": 1, "skipped:shadow_too_long": 1}),
    ],
)
async def test_a_shadow_that_gives_no_answer_is_counted_and_nobody_notices(script, expected):
    async with shadowing(bounds=Bounds(body_bytes=2_000)) as stage:
        stage.rig.modern.script = script

        assert await stage.get() == b"ok"
        await until(lambda: stage.counts == expected)
        assert stage.rig.trips == []


async def test_a_side_that_is_gone_is_counted():
    async with shadowing() as stage:
        await stage.rig.modern.stop()

        assert await stage.get() == b"ok"
        await stage.counted(**{"failed:connect": 1})


async def test_a_shadow_that_hangs_ends_at_its_deadline_and_not_before():
    async with shadowing() as stage:
        stage.rig.modern.script = hangs
        await stage.get()
        await until(lambda: stage.rig.modern.seen)

        stage.clock.by_s += 4.0
        stage.shadows.tick()
        assert stage.counts == {}
        stage.clock.by_s += 1.5
        stage.shadows.tick()
        assert stage.counts == {"failed": 1, "failed:timeout": 1}
        await until(lambda: stage.shadows.loads[Side.MODERN].pool.connections == 0)


async def test_a_connection_that_the_side_closed_meanwhile_is_no_failure():
    async with shadowing() as stage:

        async def closes(exchange: Exchange) -> None:
            await exchange.send(ok())
            if exchange.connection == 0 and len(stage.rig.modern.seen) == 1:
                exchange.writer.transport.abort()

        stage.rig.modern.script = closes
        for _ in range(3):
            await stage.get()
        await stage.counted(matched=3)

        assert stage.counts == {"matched": 3}


async def test_no_more_are_asked_at_once_than_may_be_and_those_that_wait_come_later():
    async with shadowing(concurrency=2, bounds=Bounds(pending=3)) as stage:
        held = asyncio.Event()

        async def waits(exchange: Exchange) -> None:
            await held.wait()
            await exchange.send(ok())

        stage.rig.modern.script = waits
        for _ in range(7):
            await stage.get()
        await until(lambda: len(stage.rig.modern.seen) == 2)
        assert stage.counts == {"dropped": 2, "dropped:pending": 2}

        held.set()
        await stage.counted(matched=5)


async def test_those_that_wait_too_long_are_dropped():
    async with shadowing(concurrency=1) as stage:
        stage.rig.modern.script = hangs
        await stage.get()
        await stage.get()
        await until(lambda: stage.rig.modern.seen)

        stage.clock.by_s += 6.0
        stage.shadows.tick()

        assert stage.counts == {"dropped": 1, "dropped:late": 1, "failed": 1, "failed:timeout": 1}


async def test_no_more_bytes_are_held_than_may_be():
    async with shadowing(bounds=Bounds(buffer_bytes=2_500)) as stage:
        stage.rig.modern.script = hangs
        stage.rig.legacy.script = answering(ok(b"x" * 1_000))
        for _ in range(3):
            await stage.get()

        assert stage.counts == {"dropped": 1, "dropped:buffer": 1}
        stage.clock.by_s += 6.0
        stage.shadows.tick()
        await stage.get()
        assert stage.counts["dropped"] == 1


async def test_a_cap_is_kept():
    async with shadowing(per_s=0.001) as stage:
        for _ in range(5):
            await stage.get()
        await stage.counted(matched=1)

        assert stage.counts == {"matched": 1, "dropped": 4, "dropped:cap": 4}


async def test_a_side_in_trouble_gets_fewer_and_all_again_later():
    async with shadowing() as stage:
        stage.rig.modern.script = cuts
        for _ in range(4):
            await stage.get()
        await stage.counted(failed=4)
        stage.shadows.second()
        stage.rig.modern.script = answering(ok())
        for _ in range(4):
            await stage.get()
        await stage.counted(matched=2)
        assert stage.counts["dropped:backed_off"] == 2

        for _ in range(4):
            stage.shadows.loads[Side.MODERN].back_off.record(0.01, True)
            stage.shadows.second()
        await stage.get()
        await stage.counted(matched=3)


async def test_a_side_that_asks_for_time_gets_it():
    async with shadowing() as stage:
        stage.rig.modern.script = answering(b"HTTP/1.1 429 X\r\nRetry-After: 30\r\nContent-Length: 0\r\n\r\n")
        await stage.get()
        await stage.counted(declined=1)
        await stage.get()

        assert stage.counts["dropped:backed_off"] == 1
        assert len(stage.rig.modern.seen) == 1


async def test_an_emergency_drops_the_shadows_that_wait_for_the_side_it_bars():
    async with shadowing(concurrency=1) as stage:
        held = asyncio.Event()

        async def waits(exchange: Exchange) -> None:
            await held.wait()
            await exchange.send(ok())

        stage.rig.modern.script = waits
        await stage.get()
        await stage.get()
        await until(lambda: stage.rig.modern.seen)
        stage.rig.emergency(users=Side.LEGACY)
        held.set()
        await stage.counted(matched=1, dropped=1)

        assert stage.counts == {"matched": 1, "dropped": 1, "dropped:barred": 1}
        await stage.get()
        assert len(stage.rig.modern.seen) == 1


async def test_shadows_have_connections_of_their_own():
    async with shadowing(connections=1) as stage:
        stage.rig.modern.script = hangs
        for _ in range(3):
            assert await stage.get() == b"ok"
        await until(lambda: len(stage.rig.modern.seen) == 3)

        assert stage.rig.pools[Side.MODERN].connections == 0


async def test_a_cookie_of_a_shadow_reaches_nobody():
    async with shadowing() as stage:
        stage.rig.modern.script = answering(ok(extra=b"Set-Cookie: a=b\r\nWWW-Authenticate: Basic\r\n"))
        answered = await asked(stage.rig.port, request("/api/users/42"))
        await stage.counted(matched=1)

        assert b"set-cookie" not in answered.head.lower()
        assert b"authenticate" not in answered.head.lower()


async def test_a_head_is_compared_and_counted_apart():
    async with shadowing() as stage:
        stage.rig.legacy.script = stage.rig.modern.script = answering(b"HTTP/1.1 200 X\r\nContent-Length: 900\r\n\r\n")
        await stage.get(method=b"HEAD")
        await stage.counted(apart=1)

        assert stage.counts == {"apart": 1, "apart:head": 1}


@pytest.mark.parametrize(("status", "reason"), [(404, "error"), (302, "redirect")])
async def test_equal_errors_and_redirects_are_counted_apart(status, reason):
    async with shadowing() as stage:
        stage.rig.legacy.script = stage.rig.modern.script = says({}, status=status)
        await stage.get()
        await stage.counted(apart=1)

        assert stage.counts == {"apart": 1, f"apart:{reason}": 1}


async def test_a_body_in_pieces_is_compared_as_a_whole():
    async with shadowing() as stage:
        stage.rig.legacy.script = answering(answer(b'{"id": [1,2]}'))
        stage.rig.modern.script = answering(
            b"HTTP/1.1 200 X\r\n"
            + JSON
            + b"Transfer-Encoding: chunked\r\n\r\n5\r\n"
            + b'{"id"\r\n7\r\n:[1,2]}\r\n0\r\n\r\n'
        )
        await stage.get()
        await stage.counted(matched=1)


async def test_a_read_with_a_body_is_shadowed_only_where_its_route_says_so():
    rpc = {"kind": "read", "entity": "body:$.id"}
    for shadow, count in ((None, 0), (100, 1)):
        async with shadowing({**USERS, "routes": {"POST /rpc": {**rpc, "shadow": shadow}}}) as stage:
            client = await RawClient.connect(stage.rig.port)
            await client.send(request("/rpc", b"Content-Length: 8\r\n", method=b"POST") + b'{"id":7}')
            await client.answer()
            await stage.counted(matched=count)
            assert len(stage.rig.modern.seen) == count
            if count:
                assert stage.rig.modern.raw[0].endswith(b'{"id":7}')


async def test_with_rules_changed_reads_go_by_the_new_ones():
    async with shadowing() as stage:
        await stage.get()
        await stage.counted(matched=1)
        stage.rig.rules({**USERS, "shadow": 0}, version=2)
        await stage.get()

        assert len(stage.rig.modern.seen) == 1


async def test_a_share_goes_on_where_it_stood_under_other_rules():
    async with shadowing({**USERS, "shadow": 50}) as stage:
        await stage.get()  # taken: the first one
        stage.rig.rules({**USERS, "shadow": 50, "weight": 1}, version=2)
        await stage.get()
        await stage.get()
        await stage.counted(matched=2)

        assert len(stage.rig.modern.seen) == 2


async def test_noise_is_learned_by_asking_the_same_side_twice():
    async with shadowing({**USERS, "shadow": 0, "noise": {"sample": 100}}) as stage:
        stage.rig.legacy.script = says({"at": 1}, {"at": 2})
        await stage.get()
        await until(lambda: stage.noisy)

        (pairing,) = stage.noisy
        assert [each.path for each in pairing.comparison.differences] == ["$.at"]
        assert (stage.rig.modern.seen, stage.counts) == ([], {})


@pytest.mark.parametrize("location", [b"http://%b/new", b"/new"])
async def test_a_location_that_names_its_own_side_is_compared_by_its_path(location):
    async with shadowing() as stage:
        for peer in (stage.rig.legacy, stage.rig.modern):
            named = location % (b"127.0.0.1:%d" % peer.port) if b"%" in location else location
            peer.script = says({}, status=302, extra=b"Location: " + named + b"\r\n")
        await stage.get()
        await stage.counted(apart=1)

        assert stage.counts == {"apart": 1, "apart:redirect": 1}


# What is held comes back


def nothing_is_held(stage: Stage) -> bool:
    loads = stage.shadows.loads.values()
    return (
        not any(load.waiting or load.under_way for load in loads)
        and not stage.sandwiches.waiting
        and stage.shadows.held_bytes == 0
    )


async def answers_in_part(exchange: Exchange) -> None:
    await exchange.send(answer({"id": 42})[:-3])
    exchange.writer.close()


async def hangs_in_its_body(exchange: Exchange) -> None:
    await exchange.send(answer({"id": 42})[:-3])
    await asyncio.Event().wait()


ENDINGS = {
    "equal": says({"id": 42}),
    "differs": says({"id": 43}),
    "differs, too long to be compared at once": says({"id": 42, "more": "x" * 20_000}),
    "differs at first": says({"id": 43}, {"id": 42}),
    "not json": says(b"HTTP/1.1 200 X\r\nContent-Type: application/json\r\nContent-Length: 1\r\n\r\n{"),
    "too long": says({"id": 42, "more": "x" * 70_000}),
    "500": says({}, status=500),
    "404": says({}, status=404),
    "401": says({}, status=401),
    "429": says({}, status=429),
    "503": says({}, status=503),
    "no http": answering(b"what is this?\r\n\r\n"),
    "reset": cuts,
    "torn": answers_in_part,
    "hangs": hangs,
    "hangs in its body": hangs_in_its_body,
}


@pytest.mark.parametrize("noise", [0, 100])
@pytest.mark.parametrize("ending", ENDINGS)
async def test_whatever_becomes_of_a_read_nothing_of_it_is_held_in_the_end(ending, noise):
    rules = {**USERS, "noise": {"sample": noise}}
    async with shadowing(rules, bounds=Bounds(body_bytes=60_000, pending=5), concurrency=3) as stage:
        stage.rig.legacy.script, stage.rig.modern.script = says({"id": 42}), ENDINGS[ending]
        for _ in range(12):  # some are under way, some wait, and some are too many
            await stage.get()
        assert stage.shadows.held_bytes > 0 or not stage.shadows.loads[Side.MODERN].under_way

        async def ended() -> bool:
            if not stage.sandwiches.at_work:
                stage.clock.by_s += 61
                stage.shadows.tick()
            return nothing_is_held(stage)

        await until(ended, 30)
        await until(lambda: sum(stage.counts.get(outcome.value, 0) for outcome in Outcome) == 12)


async def test_what_waits_for_a_second_look_counts_as_held_and_more_than_may_be_held_is_not_looked_at():
    async with shadowing(bounds=Bounds(buffer_bytes=100_000), rereads_per_s=0.001) as stage:
        stage.sandwiches.cap.takes(stage.clock())
        stage.rig.legacy.script = says({"id": 42, "more": "x" * 10_000})
        stage.rig.modern.script = says({"id": 42, "more": "y" * 10_000})
        for _ in range(20):
            await stage.get()
        await until(lambda: stage.sandwiches.waiting + stage.counts.get("inconclusive", 0) == 20)

        assert stage.sandwiches.waiting == SECOND_LOOKS + 4  # those at work have a bound of their own
        assert stage.counts == {"inconclusive": 8, "inconclusive:no_budget": 8}
        assert 80_000 < stage.shadows.held_bytes <= 100_000


async def test_of_what_is_looked_at_again_later_no_answer_is_held_meanwhile():
    async with shadowing() as stage:
        stage.rig.legacy.script, stage.rig.modern.script = says({"id": 42}), says({}, status=500)
        await stage.get()
        await until(lambda: stage.sandwiches.waiting == 1 and not stage.sandwiches.at_work)

        assert stage.shadows.held_bytes == 0
        (later,) = stage.sandwiches._later
        assert (later.pairing.first.body, later.pairing.second.body, later.pairing.copy.blocks) == (b"", b"", [])


@pytest.mark.parametrize("ending", [hangs, hangs_in_its_body, cuts, says({"id": 42})])
async def test_nothing_of_a_read_waits_for_the_collector(ending):
    """An answer may have a megabyte, and the oldest generation is collected rarely."""
    async with shadowing() as stage:
        stage.rig.legacy.script, stage.rig.modern.script = says({"id": 42}), ending
        gc.collect()
        gc.disable()
        try:
            for _ in range(5):
                await stage.get()
            await until(lambda: len(stage.rig.modern.seen) >= 5)

            def is_gone() -> bool:
                stage.clock.by_s += 6
                stage.shadows.tick()
                stage.rig.pass_s(10)
                return not any(isinstance(each, Asked | Copy) for each in gc.get_objects())

            await until(is_gone)
        finally:
            gc.enable()
