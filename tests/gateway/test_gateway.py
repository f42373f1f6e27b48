"""The gateway as a whole: whose word counts, what is refused, what is counted, and what changes under way."""

from __future__ import annotations

import asyncio
import ipaddress
from dataclasses import replace

import pytest

from proxy.core.breaker import State
from proxy.core.limits import WireLimits
from proxy.core.rules import Side
from proxy.gateway.outgoing import Manner
from tests import pki
from tests.peers import Exchange, answering, asked, ok
from tests.rig import USERS, Rig, running
from tests.waiting import until

GET = b"GET /api/users/42 HTTP/1.1\r\nHost: shop.test\r\n\r\n"
POST = b"POST /api/users HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 5\r\n\r\nhello"
LOOPBACK = Manner(access_log=False, trusted=(ipaddress.ip_network("127.0.0.0/8"),))
FORCING = Manner(access_log=False, force_secret=b"s3cret")


def with_fields(*fields: bytes, request: bytes = GET) -> bytes:
    return request.replace(b"\r\n", b"\r\n" + b"".join(each + b"\r\n" for each in fields), 1)


# Forcing a side


@pytest.mark.parametrize(
    ("force", "side", "reason"),
    [
        (b"legacy;s3cret", b"legacy", b"forced"),
        (b"LEGACY ; s3cret ", b"legacy", b"forced"),
        (b"modern;s3cret", b"modern", b"forced"),
        (b"legacy;guess", b"modern", b"weight"),
        (b"legacy;", b"modern", b"weight"),
        (b"legacy", b"modern", b"weight"),
        (b"lgacy;s3cret", b"modern", b"weight"),
        (b";s3cret", b"modern", b"weight"),
        (b"\xff;s3cret", b"modern", b"weight"),
        (b"", b"modern", b"weight"),
    ],
)
async def test_a_read_is_forced_with_the_secret_only(force, side, reason):
    async with running(manner=FORCING) as rig:
        answer = await asked(rig.port, with_fields(b"X-Banyan-Force: " + force))

        assert answer.value(b"x-banyan-side") == side
        assert reason in answer.value(b"x-banyan-plan")
        seen = (rig.legacy.seen or rig.modern.seen)[0]
        assert b"force" not in seen.head.lower() and b"s3cret" not in seen.head


async def test_nothing_is_forced_without_a_secret_nor_for_writes():
    async with running() as rig:
        assert (await asked(rig.port, with_fields(b"X-Banyan-Force: legacy;"))).value(b"x-banyan-side") == b"modern"
    async with running(manner=FORCING) as rig:
        answer = await asked(rig.port, with_fields(b"X-Banyan-Force: modern;s3cret", request=POST))
        assert answer.value(b"x-banyan-side") == b"legacy"


async def test_no_breaker_changes_where_a_forced_read_is_sent():
    async with running(manner=FORCING) as rig:
        rig.gateway.breakers.breakers["users", Side.MODERN].trip(0.0)
        rig.gateway.breakers.changed("users", Side.MODERN)
        assert (await asked(rig.port, GET)).value(b"x-banyan-side") == b"legacy"
        answer = await asked(rig.port, with_fields(b"X-Banyan-Force: modern;s3cret"))
        assert (answer.status, answer.value(b"x-banyan-side")) == (200, b"modern")


# Whose word counts


async def test_a_trusted_proxy_says_whom_it_serves():
    said = (
        b"X-Forwarded-For: 6.6.6.6, 1.2.3.4",
        b"X-Forwarded-Proto: https",
        b"X-Request-Id: abc",
        b"Forwarded: for=x",
        b"X-Forwarded-Client-Cert: By=x",
        b"Client-Cert: :eA==:",
    )
    manner = Manner(access_log=True, trusted=LOOPBACK.trusted)
    async with running(manner=manner) as rig:
        rig.modern.script = answering(ok(extra=b"Location: http://127.0.0.1:%d/x\r\n" % rig.modern.port))
        answer = await asked(rig.port, with_fields(*said, b"X-Forwarded-Host: public.test"))

        seen = rig.modern.seen[0]
        assert seen.value(b"x-forwarded-for") == b"6.6.6.6, 1.2.3.4, 127.0.0.1"
        assert seen.value(b"x-forwarded-proto") == b"https"
        assert seen.value(b"x-request-id") == b"abc"
        assert seen.value(b"forwarded") == b"for=x"
        assert seen.value(b"x-forwarded-client-cert") == b"By=x"
        assert seen.value(b"client-cert") == b":eA==:"
        assert answer.value(b"location") == b"https://public.test/x"
        (line,) = rig.gateway.records.take_lines()
        assert b'"client":"1.2.3.4"' in line and b'"request_id":"abc"' in line


async def test_nothing_that_a_stranger_says_is_believed_or_comes_back_to_anybody():
    said = (
        b"X-Forwarded-For: 6.6.6.6", b"X-Forwarded-Proto: javascript:x", b"X-Forwarded-Host: evil.test",
        b"X-Request-Id: evil", b"Forwarded: for=evil", b"X-Forwarded-Prefix: /evil",
        b"X-Forwarded-Client-Cert: Subject=evil", b"Client-Cert: :evil:", b"Client-Cert-Chain: :evil:",
    )  # fmt: skip
    async with running() as rig:
        rig.modern.script = answering(ok(extra=b"Location: http://127.0.0.1:%d/x\r\n" % rig.modern.port))
        answer = await asked(rig.port, with_fields(*said))

        assert answer.value(b"location") == b"http://shop.test/x"
        assert b"evil" not in rig.modern.seen[0].head
        assert rig.modern.seen[0].value(b"x-forwarded-for") == b"127.0.0.1"


async def test_the_bucket_of_a_client_is_that_of_the_address_a_trusted_proxy_names():
    async with running({**USERS, "weight": 50.0, "sticky": ["client"]}, manner=LOOPBACK) as rig:
        chains = (b"1.2.3.4", b"6.6.6.6, 1.2.3.4", b"6.6.6.6, 1.2.3.4, 127.0.0.9")
        answers = [await asked(rig.port, with_fields(b"X-Forwarded-For: " + chain)) for chain in chains]
        assert len({answer.value(b"x-banyan-plan") for answer in answers}) == 1


async def test_even_a_trusted_proxy_writes_no_other_scheme_or_host_into_a_location():
    async with running(manner=LOOPBACK) as rig:
        rig.modern.script = answering(ok(extra=b"Location: http://127.0.0.1:%d/x\r\n" % rig.modern.port))
        said = (b"X-Forwarded-Proto: javascript:x//", b"X-Forwarded-Host: a/b?c")
        assert (await asked(rig.port, with_fields(*said))).value(b"location") == b"http://shop.test/x"


async def test_request_ids_are_ours_and_different():
    async with running(manner=Manner(request_id_prefix=b"r1-", access_log=False)) as rig:
        client = await rig.connect()
        for _ in range(3):
            await client.send(GET)
            await client.answer()
        ids = [each.value(b"x-request-id") for each in rig.modern.seen]
        assert len(set(ids)) == 3 and all(each.startswith(b"r1-") for each in ids)


async def test_the_host_of_each_request_on_a_connection_is_its_own():
    async with running() as rig:
        client = await rig.connect()
        for host in (b"a", b"b", b"a", b"b:81"):
            await client.send(GET.replace(b"shop.test", host))
            await client.answer()
        assert [each.value(b"host") for each in rig.modern.seen] == [b"a", b"b", b"a", b"b:81"]
        assert [each.value(b"x-forwarded-host") for each in rig.modern.seen] == [b"a", b"b", b"a", b"b:81"]


# What is refused


@pytest.mark.parametrize("via", [b"1.1 banyan", b"1.0 x, 1.1 Banyan (c)", b"HTTP/1.1 BANYAN"])
@pytest.mark.parametrize("request_", [GET, POST])
async def test_a_loop_is_508_for_reads_and_writes(via, request_):
    async with running() as rig:
        client = await rig.connect()
        await client.send(with_fields(b"Via: " + via, request=request_))
        answer = await client.answer()

        assert answer.status == 508
        assert b"proxy_loop_detected" in answer.value(b"proxy-status")
        assert rig.modern.seen == [] and rig.legacy.seen == []
        assert dict(rig.gateway.records.refused.items()) == {"proxy_loop_detected": 1}


async def test_another_name_in_via_passes_and_ours_comes_behind_it():
    async with running(manner=Manner(via_name=b"Edge", access_log=False)) as rig:
        assert (await asked(rig.port, with_fields(b"Via: 1.1 banyan"))).value(b"via") == b"1.1 Edge"
        assert b"via: 1.1 banyan\r\n" in rig.modern.seen[0].head and b"via: 1.1 Edge\r\n" in rig.modern.seen[0].head
        assert (await asked(rig.port, with_fields(b"Via: 1.1 edge"))).status == 508


@pytest.mark.parametrize(
    ("value", "status", "passed"),
    [
        (b"0", 204, None),
        (b"1", 200, b"0"),
        (b"10", 200, b"9"),
        (b"010", 200, b"9"),
        (b"x", 200, b"x"),
        (b"-1", 200, b"-1"),
        (b"9" * 30, 200, b"9" * 30),
    ],
)
async def test_options_counts_max_forwards_down_and_ends_at_0(value, status, passed):
    async with running() as rig:
        rig.modern.script = rig.legacy.script = answering(ok())
        options = with_fields(b"Max-Forwards: " + value, request=GET.replace(b"GET", b"OPTIONS"))
        answer = await asked(rig.port, options)

        assert answer.status == status
        seen = rig.modern.seen + rig.legacy.seen
        assert [each.value(b"max-forwards") for each in seen] == ([passed] if passed else [])


async def test_max_forwards_of_other_methods_passes():
    async with running() as rig:
        assert (await asked(rig.port, with_fields(b"Max-Forwards: 0"))).status == 200
        assert rig.modern.seen[0].value(b"max-forwards") == b"0"


async def test_trace_is_405_with_what_is_allowed():
    async with running() as rig:
        answer = await asked(rig.port, GET.replace(b"GET", b"TRACE"))
        assert (answer.status, b"GET" in answer.value(b"allow")) == (405, True)
        assert dict(rig.gateway.records.refused.items()) == {"method": 1}


async def test_an_ambiguous_path_is_legacy_s_and_never_falls_back_to_modern():
    async with running() as rig:
        rig.legacy.script = answering(b"HTTP/1.1 500 X\r\nContent-Length: 3\r\n\r\nbad")
        answer = await asked(rig.port, GET.replace(b"/api/users/42", b"/api/users/%2e%2e/users/42"))

        assert (answer.status, answer.value(b"x-banyan-plan")) == (500, b"v1;ambiguous")
        assert rig.modern.seen == []


async def test_an_ambiguous_path_is_refused_where_the_settings_say_so_and_says_why():
    async with running(ambiguous_paths="refuse") as rig:
        answer = await asked(rig.port, GET.replace(b"/api/users/42", b"/api//users/42"))
        assert (answer.status, answer.value(b"x-banyan-plan")) == (400, b"v1;ambiguous")
        assert b"more than one way" in answer.body
        head = await asked(rig.port, b"HEAD /api//users/42 HTTP/1.1\r\nHost: a\r\n\r\n", head_only=True)
        assert head.status == 400
        assert rig.legacy.seen == [] and rig.count(reason="ambiguous", side="none") == 2


async def test_while_the_store_is_lost_writes_of_entities_wait_and_reads_are_legacy_s():
    async with running() as rig:
        rig.gateway.follow(rig.gateway.table, {}, store_lost=True)
        write = await asked(rig.port, POST)
        assert (write.status, write.value(b"retry-after")) == (503, b"5")
        read = await asked(rig.port, GET)
        assert (read.status, read.value(b"x-banyan-side")) == (200, b"legacy")
        assert [each.line for each in rig.legacy.seen] == [b"GET /api/users/42 HTTP/1.1"]


# What is planned and counted


@pytest.mark.parametrize("name", [b"X-HTTP-Method-Override", b"X-HTTP-Method", b"X-Method-Override"])
async def test_a_method_override_makes_a_write_of_a_read(name):
    async with running() as rig:
        answer = await asked(rig.port, with_fields(name + b": DELETE"))
        assert (answer.value(b"x-banyan-side"), answer.value(b"x-banyan-plan")) == (b"legacy", b"v1;write_primary")
        assert rig.legacy.seen[0].value(name) == b"DELETE"
        assert rig.count(kind="write") == 1


async def test_what_nobody_claims_goes_to_legacy_and_is_counted_by_its_first_segments():
    async with running() as rig:
        for path in (b"/shop/cart/1?x", b"/shop/cart/2", b"/other"):
            answer = await asked(rig.port, GET.replace(b"/api/users/42", path))
            assert (answer.value(b"x-banyan-side"), answer.value(b"x-banyan-component")) == (b"legacy", None)
            assert answer.value(b"x-banyan-plan") == b"v1;unclaimed"
        assert dict(rig.gateway.records.unclaimed.top(10)) == {b"/shop/cart": 2, b"/other": 1}
        assert rig.count(component="unclaimed", route="unclaimed", side="legacy") == 3


async def test_a_write_to_a_readonly_component_goes_to_legacy_and_raises_an_alarm():
    async with running({**USERS, "kind": "readonly", "routes": {"/api/users": {}}}) as rig:
        assert (await asked(rig.port, POST)).value(b"x-banyan-side") == b"legacy"
        assert dict(rig.gateway.records.alarms.items()) == {("users", "write_to_readonly"): 1}


async def test_names_with_an_underscore_are_dropped_and_counted():
    async with running() as rig:
        await asked(rig.port, with_fields(b"X_Odd: 1", b"Content_Length: 5"))
        assert b"_" not in rig.modern.seen[0].head
        assert dict(rig.gateway.records.alarms.items()) == {("", "underscore_field"): 1}


@pytest.mark.parametrize("name", [b"X-Original-URL", b"x-rewrite-url"])
async def test_another_target_than_the_request_lines_is_dropped_and_counted(name):
    async with running() as rig:
        client = await rig.connect()
        for _ in range(2):
            await client.send(with_fields(name + b": /api/admin"))
            await client.answer()
        assert not any(b"/api/admin" in exchange.head for exchange in rig.modern.seen)
        assert dict(rig.gateway.records.alarms.items()) == {("", "reroute_field"): 2}
        client.close()


@pytest.mark.parametrize("name", [b"X-Original-URL", b"x-rewrite-url"])
async def test_from_a_trusted_proxy_another_target_passes(name):
    async with running(manner=LOOPBACK) as rig:
        await asked(rig.port, with_fields(name + b": /api/admin"))
        assert rig.modern.seen[0].value(name) == b"/api/admin"
        assert dict(rig.gateway.records.alarms.items()) == {}


async def test_clients_for_whom_there_is_no_room_are_counted_and_told_of():
    async with running(limits=WireLimits(connections=1)) as rig:
        first = await rig.connect()
        await until(lambda: rig.listener.clients)
        assert await (await rig.connect()).rest() == b""
        assert dict(rig.gateway.records.refused.items()) == {"connections": 1}
        await first.send(GET)
        assert (await first.answer()).status == 200
        assert (await asked(rig.port, GET)).status == 200
        assert dict(rig.gateway.records.alarms.items()) == {("", "connections"): 1, ("", "connections_idle"): 1}
        assert dict(rig.gateway.records.refused.items()) == {"connections": 1}


async def test_sticky_values_are_sampled():
    async with running() as rig:
        client = await rig.connect()
        for _ in range(64):
            await client.send(with_fields(b"X-User-Id: 7"))
            await client.answer()
        assert rig.gateway.records.sticky["users"].total == 4


async def test_an_entity_in_the_body_decides_the_side_once_the_body_is_read():
    rules = {
        **USERS,
        "weight": 50.0,
        "sticky": ["entity"],
        "routes": {"POST /rpc/get": {"kind": "read", "entity": "body:$.id"}, "/api/users/{id}": {"entity": "{id}"}},
    }
    async with running(rules) as rig:
        sides = set()
        for n in range(30):
            body = b'{"id": %d}' % n
            request = b"POST /rpc/get HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
            first, second = await asked(rig.port, request), await asked(rig.port, request)
            assert first.value(b"x-banyan-side") == second.value(b"x-banyan-side")
            sides.add(first.value(b"x-banyan-side"))
            by_path = await asked(rig.port, GET.replace(b"/42", b"/%d" % n))
            assert by_path.value(b"x-banyan-plan") == first.value(b"x-banyan-plan")
        assert sides == {b"legacy", b"modern"}
        no_json = b"POST /rpc/get HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n{{{"
        assert (await asked(rig.port, no_json)).status == 200


# What changes under way


async def test_new_rules_hold_from_the_next_request_on_and_do_not_tear_one_under_way():
    release = asyncio.Event()

    async def waiting(exchange: Exchange) -> None:
        await release.wait()
        await exchange.send(ok(b"planned before"))

    async with running() as rig:
        rig.modern.script = waiting
        client = await rig.connect()
        await client.send(GET + GET)
        await until(lambda: rig.modern.seen)
        rig.rules({**USERS, "weight": 0.0}, version=2)
        release.set()
        first, second = await client.answer(), await client.answer()

        assert (first.body, first.value(b"x-banyan-plan").split(b";")[0]) == (b"planned before", b"v1")
        assert (second.value(b"x-banyan-side"), second.value(b"x-banyan-plan").split(b";")[0]) == (b"legacy", b"v2")


async def test_an_emergency_holds_from_the_next_request_on():
    async with running() as rig:
        client = await rig.connect()
        sides = []
        for emergency in ({}, {"users": Side.LEGACY}, {}):
            rig.emergency(**emergency)
            await client.send(GET)
            answer = await client.answer()
            sides.append((answer.value(b"x-banyan-side"), b"emergency" in answer.value(b"x-banyan-plan")))
        assert sides == [(b"modern", False), (b"legacy", True), (b"modern", False)]


async def test_an_emergency_moves_no_write():
    async with running({**USERS, "weight": 50.0}) as rig:
        rig.emergency(users=Side.MODERN)
        assert (await asked(rig.port, POST)).value(b"x-banyan-side") == b"legacy"


PAUSE_S = 0.4  # that a slow client takes in the middle of its body


@pytest.mark.parametrize("slow", ["read", "write"])
async def test_slow_clients_open_no_breaker(slow):
    """How long a client takes for its body says nothing of the side."""
    rules = {
        **USERS, "routes": {"/api/users": {}, "POST /rpc/find": {"kind": "read"}},
        "breaker": {"slow_ms": 1, "min_requests": 1, "error_pct": 1.0},
    }  # fmt: skip
    target = b"/api/users" if slow == "write" else b"/rpc/find"
    async with running(rules) as rig:
        elapsed: list[float] = []
        for side in Side:
            rig.gateway.breakers.breakers["users", side] = Noting(elapsed)  # type: ignore[assignment]
        await trickle(rig, target)
        assert elapsed and max(elapsed) < PAUSE_S


class Noting:
    """A breaker that only notes what it is told."""

    def __init__(self, elapsed: list[float]) -> None:
        self.state = State.CLOSED
        self.avoided = False
        self._elapsed = elapsed

    def record(self, now: float, elapsed_s: float, fault: int = 0) -> bool:
        self._elapsed.append(elapsed_s)
        return False


async def trickle(rig: Rig, target: bytes) -> None:
    """Send a body over more than PAUSE_S, by its length and in chunks."""
    loop = asyncio.get_running_loop()
    for framing, parts in (
        (b"Content-Length: 2", (b"h", b"i")),
        (b"Transfer-Encoding: chunked", (b"1\r\nh\r\n", b"1\r\ni\r\n0\r\n\r\n")),
    ):
        client = await rig.connect()
        await client.send(b"POST %b HTTP/1.1\r\nHost: a\r\n%b\r\n\r\n" % (target, framing) + parts[0])
        later_s = loop.time() + PAUSE_S
        await until(lambda later_s=later_s: loop.time() > later_s)
        await client.send(parts[1])
        assert (await client.answer()).status == 200
        client.close()


async def test_over_tls_the_scheme_is_https_unless_a_trusted_proxy_says_otherwise():
    with pki.spoken():
        async with running(manner=LOOPBACK) as rig:
            rig.modern.script = answering(ok(extra=b"Location: https://127.0.0.1:%d/x\r\n" % rig.modern.port))
            for field, scheme in (
                (b"X: y", b"https"),
                (b"X-Request-Id: a", b"https"),
                (b"X-Forwarded-Proto: http", b"http"),
            ):
                answer = await asked(rig.port, with_fields(field))
                assert rig.modern.seen[-1].value(b"x-forwarded-proto") == scheme
                assert answer.value(b"location") == scheme + b"://shop.test/x"


async def test_what_tls_was_at_fault_is_said_to_the_client_of_a_write():
    with pki.spoken():
        async with running({**USERS, "weight": 0.0}) as rig:
            (instance,) = rig.pools[Side.LEGACY].instances
            instance.place = replace(instance.place, tls=replace(pki.trust(), server_name="other.test"))
            answer = await asked(rig.port, b"PUT /api/users/1 HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx")
            assert answer.status == 502
            assert b"error=tls_certificate_error" in (answer.value(b"proxy-status") or b"")
            assert b"Hostname mismatch" in answer.body
            assert rig.legacy.raw == []


async def test_an_overloaded_process_refuses_reads_at_once_and_takes_writes():
    async with running() as rig:
        client = await rig.connect()
        rig.gateway.heed_load(True)
        await client.send(GET)
        refused = await client.answer()
        assert (refused.status, refused.value(b"retry-after")) == (503, b"1")
        await client.send(b"PUT /api/users/1 HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx")
        assert (await client.answer()).status == 200
        assert (rig.modern.seen, len(rig.legacy.seen)) == ([], 1)

        rig.gateway.heed_load(False)
        await client.send(GET)
        assert (await client.answer()).status == 200
