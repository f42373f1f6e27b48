"""What is recorded: counts by label, a bounded access log, and never a query string."""

from __future__ import annotations

import io

import orjson

from proxy.core.messages import RequestHead
from proxy.core.plan import CALM, plan
from proxy.core.rules import Side
from proxy.gateway.records import LINES_KEPT, SAMPLE_WINDOW, Entry, Records
from tests.peers import asked
from tests.rig import USERS, running, table_of

PLAN = plan(table_of(USERS), RequestHead(b"GET", b"/api/users/1", peer=b"1.2.3.4"), [CALM]).plan


def entry(path: bytes = b"/api/users/1", **values: object) -> Entry:
    said = {
        "at": 1.5, "plan": PLAN, "bucket": 7, "side": Side.LEGACY, "method": b"GET", "path": path, "status": 200,
        "elapsed_s": 0.0123, "fallback": "", "client": b"1.2.3.4", "request_id": b"r-1", **values,
    }  # fmt: skip
    return Entry(**said)


def test_the_same_labels_give_the_same_counts():
    records = Records(access_log=False)
    records.classes_of(PLAN, Side.MODERN)[2] += 1
    records.classes_of(PLAN, Side.MODERN)[2] += 1
    records.classes_of(PLAN, None)[4] += 1

    assert records.requests == {
        ("users", "/api/users/{id}", "read", "weight", "modern"): [0, 0, 2, 0, 0, 0],
        ("users", "/api/users/{id}", "read", "weight", "none"): [0, 0, 0, 0, 1, 0],
    }


def test_an_access_line_has_the_plan_and_what_came_of_it():
    records = Records(access_log=True)
    records.add(entry(fallback="timeout"))
    out = io.StringIO()
    records.flush(out)

    assert orjson.loads(out.getvalue()) == {
        "event": "request", "at": 1.5, "method": "GET", "path": "/api/users/1", "status": 200, "elapsed_ms": 12.3,
        "component": "users", "route": "/api/users/{id}", "kind": "read", "side": "legacy", "planned": "modern",
        "reason": "weight", "version": 1, "client": "1.2.3.4", "request_id": "r-1", "bucket": 7, "fallback": "timeout",
    }  # fmt: skip


def test_a_line_is_one_line_whatever_stands_in_it():
    records = Records(access_log=True)
    records.add(entry(path=b'/a"\n\x1b[31m\xff', client=b"x\r\ny"))
    out = io.StringIO()
    records.flush(out)

    assert out.getvalue().count("\n") == 1 and "\x1b" not in out.getvalue()


def test_lines_that_nobody_takes_are_dropped_oldest_first_and_counted():
    records = Records(access_log=True)
    for number in range(LINES_KEPT + 3):
        records.add(entry(path=b"/%d" % number))

    assert records.lines_dropped == 3
    assert orjson.loads(next(records.take_lines()))["path"] == "/3"


def test_without_an_access_log_nothing_is_kept():
    records = Records(access_log=False)
    records.add(entry())

    assert list(records.take_lines()) == []


def test_the_share_of_a_sticky_value_is_estimated_anew_after_a_window():
    records = Records(access_log=False)
    for _ in range(SAMPLE_WINDOW):
        records.sample("users", 7)
    assert records.sticky["users"].share() == 1.0

    for number in range(60):
        records.sample("users", number)
    assert records.sticky["users"].share() < 0.05


async def test_the_totals_count_every_request_and_the_failed_ones():
    async with running() as rig:
        await rig.modern.stop()
        await rig.legacy.stop()
        assert (await asked(rig.port, b"GET /api/users/1?token=secret HTTP/1.1\r\nHost: a\r\n\r\n")).status == 502

        assert rig.gateway.records.totals() == (1, 1)
