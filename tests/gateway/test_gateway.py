"""The gateway itself: what is planned for whom, who is believed, and what never reaches a side."""

from __future__ import annotations

import ipaddress

import pytest

from proxy.core.rules import Side
from proxy.gateway.outgoing import Manner
from tests.peers import asked
from tests.rig import USERS, running, table_of

GET = b"GET /api/users/42 HTTP/1.1\r\nHost: shop.test\r\n\r\n"
TRUSTING = Manner(trusted=(ipaddress.ip_network("127.0.0.0/8"),), access_log=False)


def with_field(request: bytes, line: bytes) -> bytes:
    return request.replace(b"\r\n\r\n", b"\r\n" + line + b"\r\n\r\n")


async def test_what_no_component_claims_goes_to_legacy_and_is_counted_by_its_first_segments():
    async with running() as rig:
        for path in (b"/shop/1/a", b"/shop/1/b", b"/cart"):
            answer = await asked(rig.port, GET.replace(b"/api/users/42", path))
            assert answer.value(b"x-banyan-side") == b"legacy"
            assert answer.value(b"x-banyan-plan") == b"v1;unclaimed"
            assert answer.value(b"x-banyan-component") is None
        assert rig.gateway.records.unclaimed.top(2) == [(b"/shop/1", 2), (b"/cart", 1)]


@pytest.mark.parametrize(
    ("force", "side"),
    [
        (b"legacy;sesame", b"legacy"),
        (b"Legacy; sesame", b"legacy"),
        (b"legacy;wrong", b"modern"),
        (b"legacy", b"modern"),
        (b"elsewhere;sesame", b"modern"),
        (b"\xff;sesame", b"modern"),
    ],
)
async def test_a_side_is_forced_with_the_secret_only_and_the_field_goes_no_further(force, side):
    async with running(manner=Manner(force_secret=b"sesame", access_log=False)) as rig:
        answer = await asked(rig.port, with_field(GET, b"X-Banyan-Force: " + force))

        assert answer.value(b"x-banyan-side") == side
        assert b"sesame" not in (rig.legacy.seen + rig.modern.seen)[0].head


async def test_without_a_secret_of_ours_nothing_can_be_forced():
    async with running() as rig:
        answer = await asked(rig.port, with_field(GET, b"X-Banyan-Force: legacy;"))
        assert answer.value(b"x-banyan-side") == b"modern"


async def test_a_forced_side_moves_no_write():
    async with running(manner=Manner(force_secret=b"sesame", access_log=False)) as rig:
        post = b"POST /api/users HTTP/1.1\r\nHost: a\r\nX-Banyan-Force: modern;sesame\r\nContent-Length: 0\r\n\r\n"
        assert (await asked(rig.port, post)).value(b"x-banyan-side") == b"legacy"


async def test_a_method_override_makes_any_request_a_write():
    async with running() as rig:
        answer = await asked(rig.port, with_field(GET, b"X-HTTP-Method-Override: DELETE"))
        assert answer.value(b"x-banyan-plan") == b"v1;write_primary"
        assert rig.legacy.seen[0].value(b"x-http-method-override") == b"DELETE"


async def test_a_trusted_proxy_is_believed_about_whom_it_serves():
    async with running({**USERS, "weight": 50.0, "sticky": ["client"]}, manner=TRUSTING) as rig:
        told = b"X-Forwarded-For: 6.6.6.6, 1.2.3.4\r\nX-Forwarded-Proto: https\r\nX-Request-Id: theirs\r\n"
        told += b"X-Forwarded-Host: www.shop.test\r\nX-Forwarded-Port: 443"
        answers = {(await asked(rig.port, with_field(GET, told))).value(b"x-banyan-plan") for _ in range(3)}
        assert len(answers) == 1
        direct = await asked(rig.port, with_field(GET, b"X-Forwarded-For: 1.2.3.4"))
        assert direct.value(b"x-banyan-plan") in answers

        seen = (rig.legacy.seen + rig.modern.seen)[0]
        assert seen.value(b"x-forwarded-for") == b"6.6.6.6, 1.2.3.4, 127.0.0.1"
        assert seen.value(b"x-forwarded-proto") == b"https"
        assert seen.value(b"x-forwarded-host") == b"www.shop.test"
        assert seen.value(b"x-forwarded-port") == b"443"
        assert seen.value(b"x-request-id") == b"theirs"


async def test_request_ids_differ_and_begin_with_the_replica_s_name():
    async with running(manner=Manner(request_id_prefix=b"vm-1-", access_log=False)) as rig:
        await asked(rig.port, GET)
        await asked(rig.port, GET)
        ids = [exchange.value(b"x-request-id") for exchange in rig.modern.seen]
        assert len(set(ids)) == 2 and all(each.startswith(b"vm-1-") for each in ids)


@pytest.mark.parametrize(("hops", "status", "forwarded"), [(b"0", 204, None), (b"3", 200, b"2"), (b"x", 200, b"x")])
async def test_options_counts_its_hops_down(hops, status, forwarded):
    async with running() as rig:
        request = with_field(GET.replace(b"GET", b"OPTIONS"), b"Max-Forwards: " + hops)
        assert (await asked(rig.port, request)).status == status
        assert [each.value(b"max-forwards") for each in rig.modern.seen] == ([forwarded] if forwarded else [])


async def test_an_ambiguous_path_goes_raw_to_legacy_or_is_refused():
    crooked = GET.replace(b"/api/users/42", b"/api/x/../users//42")
    async with running() as rig:
        answer = await asked(rig.port, crooked)
        assert answer.value(b"x-banyan-plan") == b"v1;ambiguous"
        assert rig.legacy.lines == [b"GET /api/x/../users//42 HTTP/1.1"]

        rig.rules(USERS, ambiguous_paths="refuse")
        assert (await asked(rig.port, crooked)).status == 400
        assert len(rig.legacy.seen) == 1 and rig.modern.seen == []


async def test_a_lost_store_keeps_reads_on_legacy_and_turns_writes_of_entities_away():
    async with running() as rig:
        rig.gateway.follow(rig.gateway.table, {}, store_lost=True)
        assert (await asked(rig.port, GET)).value(b"x-banyan-plan") == b"v1;store_lost"

        answer = await asked(rig.port, b"POST /api/users HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi")
        assert (answer.status, answer.value(b"retry-after")) == (503, b"5")
        assert [exchange.line[:4] for exchange in rig.legacy.seen] == [b"GET "]
        assert rig.count(reason="store_lost", kind="write", side="none") == 1


async def test_a_write_to_a_readonly_component_goes_to_legacy_and_is_an_alarm():
    async with running({**USERS, "kind": "readonly"}) as rig:
        answer = await asked(rig.port, b"DELETE /api/users/1 HTTP/1.1\r\nHost: a\r\n\r\n")
        assert answer.value(b"x-banyan-side") == b"legacy"
        assert rig.gateway.records.alarms.items() == [(("users", "write_to_readonly"), 1)]


async def test_a_key_in_the_body_decides_the_bucket_where_the_rules_say_so():
    rules = {
        **USERS, "weight": 50.0, "sticky": ["entity"],
        "routes": {"POST /rpc/get": {"kind": "read", "entity": "body:$.id"}, "/api/users/{id}": {"entity": "{id}"}},
    }  # fmt: skip
    async with running(rules) as rig:
        for number in range(6):
            body = b'{"id": %d}' % number
            head = b"POST /rpc/get HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(body)
            by_body = await asked(rig.port, head + body)
            by_path = await asked(rig.port, GET.replace(b"/42", b"/%d" % number))
            assert by_body.value(b"x-banyan-plan") == by_path.value(b"x-banyan-plan")


async def test_other_rules_count_from_the_next_request_on_and_plans_carry_their_version():
    async with running() as rig:
        client = await rig.connect()
        await client.send(GET)
        assert (await client.answer()).value(b"x-banyan-plan").startswith(b"v1;")
        rig.gateway.follow(table_of({**USERS, "weight": 0.0}, version=2), {}, store_lost=False)
        await client.send(GET)
        answer = await client.answer()
        assert (answer.value(b"x-banyan-side"), answer.value(b"x-banyan-plan")) == (b"legacy", b"v2;phase")


async def test_an_emergency_sends_all_reads_to_one_side_and_moves_no_write():
    async with running({**USERS, "weight": 50.0}) as rig:
        rig.emergency(users=Side.MODERN)
        answers = [await asked(rig.port, with_field(GET, b"X-User-Id: u%d" % n)) for n in range(10)]
        assert {answer.value(b"x-banyan-plan") for answer in answers} == {b"v1;emergency"}
        assert {answer.value(b"x-banyan-side") for answer in answers} == {b"modern"}
        post = b"POST /api/users HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"
        assert (await asked(rig.port, post)).value(b"x-banyan-side") == b"legacy"
