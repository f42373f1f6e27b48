"""Events: a line at once, an entry as soon as the store takes it, each once."""

from __future__ import annotations

import asyncio

import orjson
import pytest
import structlog

from proxy.core.errors import StoreError
from proxy.store.events import Events, happened, stamp
from proxy.store.link import Link
from tests.store.logs import Lines
from tests.store.servers import Server
from tests.waiting import until


def test_a_moment_is_written_as_rfc_3339():
    assert stamp(1_700_000_000.25) == "2023-11-14T22:13:20.250Z"


async def test_an_event_is_a_line_at_once_and_an_entry_soon(link: Link):
    lines = Lines()
    events = Events(link, lines, who="r1", clock=lambda: 1_700_000_000.0)
    events.append("breaker_opened", "users", why="5 in a row", side="modern")

    assert lines.lines == [
        ("breaker_opened", {"component": "users", "who": "r1", "why": "5 in a row", "side": "modern"})
    ]
    assert await events.tail() == []
    await events.flush()
    (event,) = await events.tail()
    assert (event.kind, event.component, event.who, event.why) == ("breaker_opened", "users", "r1", "5 in a row")
    assert (event.at, event.facts) == ("2023-11-14T22:13:20.000Z", {"side": "modern"})


async def test_what_tripped_is_a_warning_and_what_was_asked_for_or_is_over_is_none(link: Link):
    lines = Lines()
    events = Events(link, lines)
    over = ("rules_published", "alarm_over", "breaker_closed")
    for kind in ("store_away", *over, "breaker_open", "file_refused", "file_drift"):
        events.append(kind)

    assert lines.warned == ["store_away", "breaker_open", "file_refused", "file_drift"]


async def test_the_tail_is_the_newest_the_last_one_last(link: Link):
    events = Events(link, Lines())
    for number in range(30):
        events.append("tick", who="ana", number=number)
    await events.flush()

    assert [each.facts["number"] for each in await events.tail(3)] == [27, 28, 29]


async def test_an_event_that_was_sent_twice_is_shown_once(link: Link):
    event = happened(0, "tick", None, "ana", "")
    fields = dict(zip(event.words()[::2], event.words()[1::2], strict=True))
    await link.append("events", fields, 10)
    await link.append("events", fields, 10)

    assert await Events(link, Lines()).tail() == [event]


async def test_what_people_or_other_builds_wrote_is_shown_as_far_as_it_goes(server: Server, link: Link):
    await server.redis.xadd("banyan:events", {"kind": "note", "facts": "{half"})
    await server.redis.xadd("banyan:events", {"hello": "world", "facts": orjson.dumps([1])})

    assert [(each.kind, dict(each.facts)) for each in await Events(link, Lines()).tail()] == [
        ("note", {"facts": "{half"}),
        ("", {"facts": [1]}),
    ]


async def test_events_wait_while_the_store_is_away_and_arrive_in_order(server: Server, link: Link):
    events = Events(link, Lines())
    sending = asyncio.create_task(events.run())
    server.kill()
    for number in range(5):
        events.append("tick", number=number)
    with pytest.raises(StoreError):
        await events.flush()
    await server.start()

    await until(lambda: events.waiting == 0, 20)
    assert [each.facts["number"] for each in await events.tail()] == [0, 1, 2, 3, 4]
    sending.cancel()


async def test_what_waits_is_bounded_and_the_newest_stay(server: Server, link: Link):
    server.kill()
    events = Events(link, Lines())
    for number in range(1_500):
        events.append("tick", number=number)
    assert events.waiting == 1_000

    await server.start()
    await events.flush()
    assert [each.facts["number"] for each in await events.tail(1)] == [1_499]


async def test_a_wrongly_typed_stream_is_replaced(server: Server, link: Link):
    await server.redis.set("banyan:events", "what is this")
    events = Events(link, Lines())
    events.append("tick")
    await events.flush()

    assert len(await events.tail()) == 1


async def test_facts_that_are_no_json_are_written_as_text(link: Link, tmp_path):
    events = Events(link, Lines())
    events.append("tick", where=tmp_path)
    await events.flush()

    assert (await events.tail())[0].facts == {"where": str(tmp_path)}


async def test_an_event_is_short_whatever_it_tells_of(link: Link):
    with structlog.testing.capture_logs() as lines:
        events = Events(link, structlog.get_logger())
        events.append("k", "c" * 5_000, "w" * 5_000, "y" * 5_000, problems=["p" * 5_000] * 3_000, count=7)
        await events.flush()

    (event,) = await events.tail()
    assert event.facts["count"] == 7 and event.facts["problems"][-1] == "… and 2,950 more"
    assert event.why == "y" * 999 + "…"
    assert len(str(lines)) < 60_000 and sum(map(len, event.words())) < 200_000
