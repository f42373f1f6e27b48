"""What is recorded: counts by label, lines without secrets, and bounded memory when nobody takes them."""

from __future__ import annotations

import asyncio
import io
import itertools
import json
import os

from hypothesis import given
from hypothesis import strategies as st

from proxy.core.plan import CALM, plan
from proxy.core.rules import Side
from proxy.gateway.records import GONE, LINES_KEPT, SAMPLE_WINDOW, Entry, Records, pieces
from tests.core.planning import component, head, table
from tests.waiting import until

TABLE = table(component("users", weight=100.0))


def planned(method: str = "GET", path: str = "/api/users/42"):
    return plan(TABLE, head(method, path), (CALM,)).plan


def entry(path: bytes = b"/api/users/42", **values: object) -> Entry:
    defaults: dict[str, object] = {
        "at": 12.3456, "plan": planned(), "bucket": 3021, "side": Side.MODERN, "method": b"GET", "path": path,
        "status": 200, "elapsed_s": 0.01234, "fallback": "", "client": b"1.2.3.4", "request_id": b"r-1",
    }  # fmt: skip
    return Entry(**{**defaults, **values})  # type: ignore[arg-type]


def test_counts_are_kept_by_what_was_planned_and_who_answered():
    records = Records(access_log=False)
    modern, legacy = records.classes_of(planned(), Side.MODERN), records.classes_of(planned(), Side.LEGACY)
    modern[2] += 2
    legacy[5] += 1
    records.classes_of(planned("POST"), None)[GONE] += 1

    assert records.classes_of(planned(), Side.MODERN) is modern
    assert sum(map(sum, records.requests.values())) == 4
    assert set(records.requests) == {
        ("users", "/api/users/{id}", "read", "weight", "modern"),
        ("users", "/api/users/{id}", "read", "weight", "legacy"),
        ("users", "/api/users/{id}", "write", "write_primary", "none"),
    }
    histogram = records.latency_of(planned(), Side.MODERN)
    histogram.add(0.1)
    assert records.latency_of(planned("GET", "/api/users"), Side.MODERN) is histogram


def test_a_line_says_what_was_decided_and_never_the_query():
    records = Records(access_log=True)
    records.add(entry())
    (line,) = records.take_lines()

    assert json.loads(line) == {
        "event": "request", "at": 12.346, "method": "GET", "path": "/api/users/42", "status": 200, "elapsed_ms": 12.34,
        "component": "users", "route": "/api/users/{id}", "kind": "read", "side": "modern", "planned": "modern",
        "reason": "weight", "version": 41, "client": "1.2.3.4", "request_id": "r-1", "bucket": 3021,
    }  # fmt: skip
    assert list(records.take_lines()) == []


def test_a_line_of_a_fallback_of_a_write_and_of_nobody():
    records = Records(access_log=True)
    records.add(entry(fallback="timeout", side=Side.LEGACY))
    records.add(entry(bucket=-1, side=None, path=b'/\xff\x01"\n'))
    first, second = [json.loads(line) for line in records.take_lines()]

    assert (first["fallback"], first["side"]) == ("timeout", "legacy")
    assert "bucket" not in second and second["side"] is None and second["path"] == '/\xff\x01"\n'


def test_a_line_is_one_line_whatever_stands_in_it():
    records, out = Records(access_log=True), io.StringIO()
    records.add(entry(path=b'/a"\n\x1b[31m\xff', client=b"x\r\ny"))
    records.flush(out)

    assert out.getvalue().count("\n") == 1 and "\x1b" not in out.getvalue()


def test_without_an_access_log_nothing_is_kept():
    records = Records(access_log=False)
    records.add(entry())
    assert list(records.take_lines()) == []
    records.flush(io.StringIO())


def test_lines_that_nobody_takes_are_dropped_oldest_first_and_counted():
    records = Records(access_log=True)
    for n in range(LINES_KEPT + 5):
        records.add(entry(path=b"/%d" % n))

    assert records.lines_dropped == 5
    lines = list(records.take_lines())
    assert len(lines) == LINES_KEPT and json.loads(lines[0])["path"] == "/5"


async def test_lines_are_written_in_batches_and_what_is_left_at_the_end():
    records, out = Records(access_log=True), io.StringIO()
    writing = asyncio.ensure_future(records.write_lines(out))
    records.add(entry(path=b"/1"))
    records.add(entry(path=b"/2"))
    await until(lambda: out.getvalue())
    assert out.getvalue().count("\n") == 2
    writing.cancel()
    records.add(entry(path=b"/3"))
    records.flush(out)
    assert [json.loads(line)["path"] for line in out.getvalue().splitlines()] == ["/1", "/2", "/3"]


def test_a_sticky_value_that_stands_out_is_seen_and_old_samples_are_forgotten():
    records = Records(access_log=False)
    for n in range(100):
        records.sample("users", 7 if n % 2 else n)
    assert records.sticky["users"].top(1)[0][0] == 7

    for n in range(SAMPLE_WINDOW):
        records.sample("users", n % 10_000)
    assert records.sticky["users"].total < SAMPLE_WINDOW


def test_labels_that_peers_invent_are_bounded():
    records = Records(access_log=False)
    for n in range(20_000):
        records.refused.add(f"key-{n}")
        records.unclaimed.add(b"/%d" % n)
    assert len(list(records.refused.items())) <= 10_001
    assert len(records.unclaimed.top(1000)) <= 64


async def test_a_reader_of_the_log_that_stops_stops_nobody_else():
    """The pipe is full and stays so: lines wait in their bounded queue, and the loop goes on."""
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    records = Records(access_log=True)
    # The reading end closes first: closing the other one would wait for ever for a writer that is stuck in it.
    with os.fdopen(writing, "w") as out, os.fdopen(reading, "rb", buffering=0) as pipe:
        task = asyncio.ensure_future(records.write_lines(out))
        await until(lambda: records._writer is not None)
        while records._writer.is_idle or not records._lines:
            for number in range(2_000):
                records.add(entry(path=b"/%d" % number))
            await asyncio.wait((task,), timeout=0.3)
        task.cancel()
        taken = pipe.read(1 << 16)
        assert taken.startswith(b'{"event":"request"')

        records.flush(within_s=0.0)
        await until(lambda: pipe.read(1 << 20) is None and records._writer.is_idle)


@given(st.lists(st.text("ab", max_size=30), max_size=20), st.integers(1, 40))
def test_lines_are_written_in_pieces_of_whole_lines(lines, most):
    batch = "".join(f"{line}\n" for line in lines)
    found = list(pieces(batch, most))

    assert "".join(found) == batch
    assert all(piece.endswith("\n") for piece in found)
    assert all(len(piece) <= most or piece.count("\n") == 1 for piece in found)
    assert all(len(one) + len(next_one.partition("\n")[0]) + 1 > most for one, next_one in itertools.pairwise(found))


async def test_lines_of_several_processes_are_not_torn_in_a_pipe():
    read, write = os.pipe()
    first, second = Records(access_log=True), Records(access_log=True)
    tasks = []
    for records in (first, second):
        for number in range(400):
            records.add(entry(path=b"/api/users/%d" % number + b"x" * 300))
        tasks.append(asyncio.ensure_future(records.write_lines(os.fdopen(os.dup(write), "w"))))
    os.close(write)
    got = b""
    with os.fdopen(read, "rb") as pipe:
        while got.count(b"\n") < 800:
            got += await asyncio.to_thread(pipe.read1, 1 << 16)
    for task in tasks:
        task.cancel()
    assert len([json.loads(line) for line in got.splitlines()]) == 800
