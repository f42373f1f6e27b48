"""Differences looked at again over real sockets: what stands is a mismatch, and nothing else is."""

from __future__ import annotations

import asyncio
import gzip

import pytest

from proxy.core.evidence import Outcome
from proxy.core.limits import SECOND_LOOKS
from proxy.core.rules import Side
from proxy.workers.loads import Bounds
from tests.peers import Exchange, RawClient, answering, asked
from tests.waiting import until
from tests.workers.shadowing import JSON, USERS, Stage, answer, request, says, shadowing

A, B = {"id": 42, "unread": 3}, {"id": 42, "unread": 4}
PUT = b"PUT /api/users/42 HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 2\r\n\r\nhi"


def paths(stage: Stage) -> list[str]:
    return [each.path for _, verdict in stage.findings.mismatches for each in verdict.differences]


async def test_a_difference_that_stands_is_a_mismatch():
    async with shadowing() as stage:
        stage.rig.legacy.script, stage.rig.modern.script = says(A), says(B)

        await stage.get()
        await stage.counted(mismatched=1)

        assert stage.counts == {"mismatched": 1}
        assert paths(stage) == ["$.unread"]
        assert len(stage.rig.legacy.seen) == 3  # the client, and twice more
        assert len(stage.rig.modern.seen) == 2
        assert all(each.value(b"x-banyan-role") == b"shadow" for each in stage.rig.legacy.seen[1:])


async def test_the_primary_is_the_first_whoever_answered():
    async with shadowing({**USERS, "phase": "canary", "weight": 100}) as stage:
        stage.rig.legacy.script, stage.rig.modern.script = says(A), says({"id": 42})
        await stage.get()
        await stage.counted(mismatched=1)

        ((_, verdict),) = stage.findings.mismatches
        assert [(each.kind, each.path) for each in verdict.differences] == [("missing", "$.unread")]


async def test_what_the_primary_does_not_say_twice_is_noise_and_what_lies_beside_it_is_found():
    async with shadowing() as stage:
        stage.rig.legacy.script = says(*({**A, "at": at} for at in range(9)))
        stage.rig.modern.script = says(*({**A, "at": at} for at in range(10, 19)))
        await stage.get()
        await stage.counted(noise=1)
        assert [each.path for _, verdict in stage.findings.noises for each in verdict.noise] == ["$.at", "$.at"]

        stage.rig.modern.script = says(*({**B, "at": at} for at in range(20, 29)))
        await stage.get()
        await stage.counted(mismatched=1)
        assert paths(stage) == ["$.unread"]


async def test_what_is_gone_at_the_second_look_is_no_mismatch():
    async with shadowing() as stage:
        stage.rig.legacy.script, stage.rig.modern.script = says(A), says(B, A)
        await stage.get()
        await stage.counted(inconclusive=1)

        assert stage.counts == {"inconclusive": 1, "inconclusive:transient": 1}


async def test_an_entity_that_was_written_to_is_looked_at_again_later():
    async with shadowing() as stage:
        stage.rig.legacy.script, stage.rig.modern.script = says(A), says(B)
        await asked(stage.rig.port, PUT)
        await stage.get()
        await until(lambda: stage.sandwiches.waiting == 1 and not stage.sandwiches.at_work)
        assert stage.counts == {}

        stage.rig.modern.script = says(A)  # the write has arrived
        stage.clock.by_s += 1.1
        await stage.counted(matched=1)
        assert stage.counts == {"matched": 1}


async def test_a_difference_that_stays_after_a_write_is_found_at_the_second_look():
    async with shadowing() as stage:
        stage.rig.legacy.script, stage.rig.modern.script = says(A), says(B)
        await asked(stage.rig.port, PUT)
        await stage.get()
        await until(lambda: stage.sandwiches.waiting == 1 and not stage.sandwiches.at_work)

        stage.clock.by_s += 2.5
        await stage.counted(mismatched=1)


async def test_an_entity_that_is_written_to_again_and_again_is_given_up():
    async with shadowing() as stage:
        stage.rig.legacy.script, stage.rig.modern.script = says(A), says(B)
        await asked(stage.rig.port, PUT)
        await stage.get()
        for after_s in (1.1, 10.1, 60.1):
            await until(lambda: stage.sandwiches.waiting == 1 and not stage.sandwiches.at_work)
            await asked(stage.rig.port, PUT)
            stage.clock.by_s += after_s - 0.05
            await asked(stage.rig.port, PUT)
            stage.clock.by_s += 0.05
            seen = len(stage.rig.modern.seen)
            await until(lambda seen=seen: len(stage.rig.modern.seen) > seen)
        await stage.counted(inconclusive=1)

        assert stage.counts == {"inconclusive": 1, "inconclusive:unsettled": 1}
        assert stage.findings.mismatches == []


async def test_a_write_that_is_done_after_its_client_was_told_504_is_no_mismatch():
    async with shadowing() as stage:

        async def writes_late(exchange: Exchange) -> None:
            await exchange.read_body()
            if exchange.line.startswith(b"PUT"):
                await asyncio.Event().wait()
            await exchange.send(answer(A))

        stage.rig.legacy.script, stage.rig.modern.script = writes_late, says(A)
        put = asyncio.create_task(asked(stage.rig.port, PUT))
        await until(lambda: stage.rig.legacy.seen)
        stage.rig.pass_s(16)
        assert (await put).status == 504

        stage.clock.by_s += 10  # longer than settle_s: and only now it is done, and on its way
        stage.rig.legacy.script = says(B)
        await stage.get()
        await until(lambda: stage.sandwiches.waiting == 1 and not stage.sandwiches.at_work)
        stage.clock.by_s += 1.1
        await until(lambda: len(stage.rig.modern.seen) == 2 and not stage.sandwiches.at_work)
        assert stage.counts == {}

        stage.rig.modern.script = says(B)
        stage.clock.by_s += 10.1
        await stage.counted(matched=1)
        assert stage.counts == {"matched": 1}


async def test_with_the_question_of_settling_switched_off_a_write_race_is_taken_for_a_mismatch():
    """What the rule is for: without it this is found, and it is none."""
    async with shadowing() as stage:
        stage.rig.gateway.settling.settle_s = -1e9
        stage.rig.legacy.script, stage.rig.modern.script = says(A), says(B)
        await asked(stage.rig.port, PUT)
        await stage.get()
        await stage.counted(mismatched=1)


@pytest.mark.parametrize("code", [401, 403])
async def test_credentials_that_expired_meanwhile_say_nothing(code):
    async with shadowing() as stage:
        denied = answer({}, code)
        stage.rig.legacy.script, stage.rig.modern.script = says(A, denied), says(B)
        await stage.get()
        await stage.counted(inconclusive=1)

        assert stage.counts == {"inconclusive": 1, "inconclusive:denied": 1}


async def test_what_one_side_denies_and_the_other_allows_is_a_mismatch():
    async with shadowing() as stage:
        stage.rig.legacy.script, stage.rig.modern.script = says({}, status=403), says(A)
        await stage.get()
        await stage.counted(mismatched=1)

        assert paths(stage) == ["status"]


async def test_an_entity_that_one_side_does_not_have_is_a_mismatch():
    async with shadowing() as stage:
        stage.rig.legacy.script, stage.rig.modern.script = says(A), says({}, status=404)
        await stage.get()
        await stage.counted(mismatched=1)

        assert paths(stage) == ["status"]


async def fail_again_and_again(stage: Stage) -> None:
    for after_s in (1.1, 10.1, 60.1):
        await until(lambda: stage.sandwiches.waiting == 1 and not stage.sandwiches.at_work)
        seen = len(stage.rig.modern.seen)
        stage.clock.by_s += after_s
        await until(lambda seen=seen: len(stage.rig.modern.seen) > seen)


async def test_a_side_that_answers_5xx_for_a_while_differs_in_nothing():
    async with shadowing() as stage:
        stage.rig.legacy.script, stage.rig.modern.script = says(A), says({}, status=500)
        await stage.get()
        await until(lambda: stage.sandwiches.waiting == 1 and not stage.sandwiches.at_work)
        assert stage.counts == {}

        stage.rig.modern.script = says(A)
        stage.clock.by_s += 1.1
        await stage.counted(matched=1)


async def test_a_read_that_one_side_can_never_answer_while_it_answers_others_is_a_mismatch():
    async with shadowing() as stage:
        stage.rig.legacy.script, stage.rig.modern.script = says(A), says({}, status=500)
        await stage.get()
        await fail_again_and_again(stage)
        await stage.counted(mismatched=1)

        assert paths(stage) == ["status"]


async def test_a_side_that_is_in_trouble_as_a_whole_is_no_mismatch():
    async with shadowing() as stage:
        stage.rig.legacy.script, stage.rig.modern.script = says(A), says({}, status=500)
        await stage.get()
        back_off = stage.shadows.loads[Side.MODERN].back_off
        back_off.record(0.1, fine=False)
        back_off.second()
        await fail_again_and_again(stage)
        await stage.counted(inconclusive=1)

        assert stage.counts == {"inconclusive": 1, "inconclusive:failing": 1}


async def test_a_primary_that_fails_meanwhile_is_asked_again_later():
    async with shadowing() as stage:
        stage.rig.legacy.script, stage.rig.modern.script = says(A, answer({}, 500), A), says(B)
        await stage.get()
        await until(lambda: stage.sandwiches.waiting == 1 and not stage.sandwiches.at_work)

        stage.clock.by_s += 1.1
        await stage.counted(mismatched=1)


async def test_a_side_that_hangs_at_the_second_look_holds_up_nothing_for_long():
    async with shadowing(bounds=Bounds(timeout_s=0.2)) as stage:
        first = True

        async def then_hangs(exchange: Exchange) -> None:
            nonlocal first
            if not first:
                await asyncio.Event().wait()
            first = False
            await exchange.send(answer(B))

        stage.rig.legacy.script, stage.rig.modern.script = says(A), then_hangs
        await stage.get()
        await until(lambda: stage.sandwiches._later)

        assert stage.counts == {}


async def test_a_side_that_is_barred_meanwhile_is_not_asked_again():
    async with shadowing(rereads_per_s=0.001) as stage:
        stage.sandwiches.cap.takes(stage.clock())  # the next one has to wait
        stage.rig.legacy.script, stage.rig.modern.script = says(A), says(B)
        await stage.get()
        await until(lambda: stage.sandwiches.at_work)
        stage.rig.emergency(users=Side.LEGACY)
        await stage.counted(inconclusive=1)

        assert stage.counts == {"inconclusive": 1, "inconclusive:barred": 1}
        assert len(stage.rig.modern.seen) == 1


async def test_more_differences_than_wait_are_inconclusive():
    async with shadowing(rereads_per_s=0.001) as stage:
        stage.sandwiches.cap.takes(stage.clock())
        stage.rig.legacy.script, stage.rig.modern.script = says(A), says(B)
        for _ in range(80):
            await stage.get()
        await until(lambda: stage.sandwiches.waiting + stage.counts.get("inconclusive", 0) == 80)

        assert stage.counts["inconclusive"] == stage.counts["inconclusive:no_budget"] > 0


async def test_answers_too_long_to_be_compared_at_once_are_compared_all_the_same():
    long = {"items": [{"id": number, "text": "x" * 100} for number in range(500)]}
    async with shadowing() as stage:
        stage.rig.legacy.script = stage.rig.modern.script = says(long)
        await stage.get()
        await stage.counted(matched=1)

        other = {"items": [*long["items"][:-1], {"id": 499, "text": "y"}]}
        stage.rig.modern.script = says(other)
        await stage.get()
        await stage.counted(mismatched=1)
        assert paths(stage) == ["$.items[*].text"]


async def test_what_is_known_already_is_not_looked_at_again():
    async with shadowing() as stage:
        stage.findings.known = True
        stage.rig.legacy.script, stage.rig.modern.script = says(A), says(B)
        await stage.get()
        await until(lambda: len(stage.rig.modern.seen) == 1 and not stage.sandwiches.waiting)

        assert len(stage.rig.legacy.seen) == 1


async def test_equal_by_a_rule_is_explained():
    async with shadowing({**USERS, "compare": {"ignore": ["$.unread"]}}) as stage:
        stage.rig.legacy.script, stage.rig.modern.script = says(A), says(B)
        await stage.get()
        await stage.counted(explained=1)

        assert stage.counts == {Outcome.EXPLAINED.value: 1, "explained:ignore $.unread": 1}


PACKED = gzip.compress(b'{"id":42}')
CODED = JSON + b"Content-Encoding: gzip\r\n"
UNKNOWN = JSON + b"Content-Encoding: zz\r\n"
DEEP, DEEPER = (b"[" * depth + b"]" * depth for depth in (10_000, 10_001))


@pytest.mark.parametrize(
    ("legacy", "modern", "expected"),
    [
        (answer({"id": 42}), answer(PACKED, extra=CODED), {"matched": 1}),
        (answer({"id": 42}), answer(PACKED[:-9], extra=CODED), {"skipped": 1, "skipped:undecodable": 1}),
        (
            answer({"id": 42}),
            answer(b"?", extra=JSON + b"Content-Encoding: zz\r\n"),
            {"skipped": 1, "skipped:undecodable": 1},
        ),
        (answer({"id": 42}), answer(b"<p>"), {"mismatched": 1, "odd:not_json": 1}),
        (answer({"id": 42}), answer(b'{"id":42,"id":42}'), {"mismatched": 1, "odd:repeated_names": 1}),
        (
            answer(b"[" * 10_000 + b"]" * 10_000),
            answer(b"[" * 10_001 + b"]" * 10_001),
            {"mismatched": 1, "odd:nested": 1},
        ),
    ],
)
async def test_strange_answers_end_in_outcomes_of_their_own(legacy, modern, expected):
    async with shadowing() as stage:
        stage.rig.legacy.script, stage.rig.modern.script = says(legacy), says(modern)
        await stage.get()
        await until(lambda: stage.counts == expected)


async def test_a_decoding_bomb_is_no_difference_and_costs_little():
    bomb = gzip.compress(b"[" + b"0," * 30_000_000 + b"0]")
    async with shadowing() as stage:
        stage.rig.legacy.script, stage.rig.modern.script = says(A), says(answer(bomb, extra=CODED))
        await stage.get()
        await until(lambda: stage.counts == {"skipped": 1, "skipped:too_long": 1})


# The comparator's test of itself


async def test_the_comparator_is_tested_with_the_first_pair_of_a_route_and_now_and_then():
    async with shadowing() as stage:
        stage.rig.legacy.script = stage.rig.modern.script = says(A)
        for _ in range(3):
            await stage.get()
        await stage.counted(matched=3)

        assert stage.all_counts == {"matched": 3, "test:found": 1}


@pytest.mark.parametrize(
    ("compare", "rule"),
    [({"ignore": ["$..*"]}, "ignore $..*"), ({"tolerance": {"$.id": 1e12, "$.unread": 1e12}}, "tolerance $.")],
)
async def test_a_rule_that_swallows_a_planted_difference_is_named(compare, rule):
    async with shadowing({**USERS, "compare": compare}) as stage:
        stage.rig.legacy.script = stage.rig.modern.script = says(A)
        await stage.get()
        await stage.counted(matched=1)

        assert stage.all_counts["test:swallowed"] == 1
        assert any(name.startswith(f"swallowed:{rule}") for name in stage.all_counts)


@pytest.mark.parametrize("body", [b"{", b'{"a":NaN}', b"\xff\xfe", b"[" * 10_000, b'{"a":1,"a":2}', b""])
async def test_whatever_a_side_says_the_client_gets_its_answer_and_it_is_counted(body):
    async with shadowing() as stage:
        stage.rig.modern.script = answering(answer(body))
        stage.rig.legacy.script = says(A)

        client = await RawClient.connect(stage.rig.port)
        await client.send(request("/api/users/42"))
        assert (await client.answer()).body == b'{"id":42,"unread":3}'
        await stage.counted(mismatched=1)


# Other replicas


async def test_with_other_replicas_a_mismatch_has_to_stand_until_their_writes_have_arrived():
    async with shadowing() as stage:
        stage.sandwiches.cap.replicas = 2
        stage.rig.legacy.script, stage.rig.modern.script = says(A), says(B)
        await stage.get()
        await until(lambda: stage.sandwiches.waiting == 1 and not stage.sandwiches.at_work)
        assert stage.counts == {}

        stage.clock.by_s += 2.1
        await stage.counted(mismatched=1)
        assert paths(stage) == ["$.unread"]


async def test_a_write_by_another_replica_that_arrives_meanwhile_is_no_mismatch():
    async with shadowing() as stage:
        stage.sandwiches.cap.replicas = 2
        stage.rig.legacy.script, stage.rig.modern.script = says(A), says(B)
        await stage.get()
        await until(lambda: stage.sandwiches.waiting == 1 and not stage.sandwiches.at_work)

        stage.rig.modern.script = says(A)
        stage.clock.by_s += 2.1
        await stage.counted(matched=1)
        assert stage.counts == {"matched": 1}


async def test_many_differences_that_need_no_second_look_do_not_hold_the_loop_up():
    async with shadowing() as stage:
        stage.rig.legacy.script, stage.rig.modern.script = says(A), says(B)
        await stage.get()
        await stage.counted(mismatched=1)
        stage.findings.known = True
        ((pairing, _),) = stage.findings.mismatches
        for _ in range(60):
            stage.sandwiches.suspect(pairing)

        turns = 0
        while stage.sandwiches.waiting:
            await asyncio.sleep(0)
            turns += 1
        assert turns > 60 / SECOND_LOOKS


async def test_an_entity_that_another_replica_writes_to_all_the_time_is_no_mismatch():
    async with shadowing() as stage:
        stage.sandwiches.cap.replicas = 2
        stage.rig.legacy.script, stage.rig.modern.script = says(A), says({**A, "unread": 2})
        await stage.get()
        for unread, after_s in ((4, 2.1), (5, 1.1), (6, 2.1), (7, 10.1), (8, 2.1), (9, 60.1), (10, 2.1)):
            await until(lambda: stage.sandwiches.waiting == 1 and not stage.sandwiches.at_work)
            assert stage.counts == {}
            stage.rig.legacy.script = says({**A, "unread": unread})
            stage.rig.modern.script = says({**A, "unread": unread - 1})  # the last write but one has arrived
            seen = len(stage.rig.modern.seen)
            stage.clock.by_s += after_s
            await until(lambda seen=seen: len(stage.rig.modern.seen) > seen)
        await stage.counted(inconclusive=1)

        assert stage.counts == {"inconclusive": 1, "inconclusive:unsettled": 1}
        assert stage.findings.mismatches == []
        assert stage.shadows.held_bytes == 0


async def test_a_mismatch_stands_with_other_replicas_though_the_primary_never_says_the_time_twice():
    async with shadowing() as stage:
        stage.sandwiches.cap.replicas = 2
        stage.rig.legacy.script = says(*({**A, "at": at} for at in range(20)))
        stage.rig.modern.script = says(*({**B, "at": at} for at in range(20, 40)))
        await stage.get()
        await until(lambda: stage.sandwiches.waiting == 1 and not stage.sandwiches.at_work)
        assert stage.shadows.held_bytes > 0  # what the primary said then
        stage.clock.by_s += 2.1
        await stage.counted(mismatched=1)

        assert paths(stage) == ["$.unread"]
        assert stage.shadows.held_bytes == 0


# What must not hold the loop up


@pytest.mark.parametrize(
    ("fields", "body"),
    [
        (CODED, gzip.compress(b'{"id":42,"x":[' + b"1," * 200_000 + b"1]}")),  # a few hundred bytes
        (JSON, b'{"id":42,"x":"' + b"y" * 20_000 + b'"}'),
    ],
)
async def test_what_may_take_long_is_compared_and_tested_in_a_thread(fields, body, monkeypatch):
    done: list[str] = []

    async with shadowing() as stage:
        aside = stage.sandwiches._aside
        do = aside.do

        async def counted(work, *args, **kwargs):
            done.append(work.__name__)
            return await do(work, *args, **kwargs)

        aside.do = counted
        stage.rig.legacy.script = stage.rig.modern.script = says(answer(body, extra=fields))
        await stage.get()
        await until(lambda: stage.all_counts == {"matched": 1, "test:found": 1})
        assert done == ["examine"]

        stage.rig.modern.script = says(A)
        await stage.get()
        await stage.counted(mismatched=1)
        assert "compare" in done


async def test_a_body_that_is_too_long_without_its_coding_is_not_compared():
    packed = gzip.compress(b'{"id":42,"x":"' + b"y" * 50_000 + b'"}')
    async with shadowing(bounds=Bounds(body_bytes=10_000)) as stage:
        stage.rig.legacy.script, stage.rig.modern.script = says(A), says(answer(packed, extra=CODED))
        await stage.get()
        await until(lambda: stage.counts == {"skipped": 1, "skipped:too_long": 1})


async def test_a_path_that_asks_the_document_is_followed_in_a_thread():
    filtered = {"ignore": ["$.items[?@.kind == 'x'].at"]}
    async with shadowing({**USERS, "compare": filtered}) as stage:
        stage.rig.legacy.script = says({"items": [{"kind": "x", "at": 1}]})
        stage.rig.modern.script = says({"items": [{"kind": "x", "at": 2}]})
        await stage.get()
        await stage.counted(explained=1)


async def test_noise_of_long_answers_is_learned_too():
    async with shadowing({**USERS, "shadow": 0, "noise": {"sample": 100}}) as stage:
        stage.shadows.on_noise = stage.sandwiches.noisy
        stage.rig.legacy.script = says(*({"at": at, "x": "y" * 20_000} for at in range(9)))
        await stage.get()
        await until(lambda: stage.findings.noisy_ones)

        (pairing,) = stage.findings.noisy_ones
        assert [each.path for each in pairing.comparison.differences] == ["$.at"]


async def test_a_fault_of_ours_in_one_difference_is_told_and_the_others_are_looked_at():
    async with shadowing() as stage:
        faults: list[Exception] = []
        stage.sandwiches.on_fault = faults.append
        stage.rig.legacy.script, stage.rig.modern.script = says(A), says(B)
        is_known = stage.findings.is_known
        stage.findings.is_known = lambda pairing: 1 // 0
        await stage.get()
        await stage.counted(inconclusive=1)
        assert stage.counts == {"inconclusive": 1, "inconclusive:fault": 1}
        assert isinstance(faults[0], ZeroDivisionError)

        stage.findings.is_known = is_known
        await stage.get()
        await stage.counted(mismatched=1)


async def test_a_fault_of_ours_in_what_stands_beside_differences_is_told_and_ends_nothing():
    async with shadowing() as stage:
        faults: list[Exception] = []
        stage.sandwiches.on_fault = faults.append
        stage.sandwiches.test(None, None)
        await until(lambda: faults)

        stage.rig.legacy.script, stage.rig.modern.script = says(A), says(B)
        await stage.get()
        await stage.counted(mismatched=1)


async def test_what_is_not_settled_costs_no_re_read():
    async with shadowing() as stage:
        stage.rig.legacy.script, stage.rig.modern.script = says(A), says(B)
        await asked(stage.rig.port, PUT)
        await stage.get()
        await until(lambda: stage.sandwiches.waiting == 1 and not stage.sandwiches.at_work)

        assert (len(stage.rig.legacy.seen), len(stage.rig.modern.seen)) == (2, 1)
