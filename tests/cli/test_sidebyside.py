"""Clusters drawn for people."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from proxy.cli import sidebyside, tables
from proxy.core.clusters import sightings
from tests.core.pairs import answer, pair


def document(**more: Any) -> dict[str, Any]:
    known = {
        "id": "0123456789", "component": "users", "route": "GET /x", "path": "$.a", "kind": "value", "shape": "a≠b",
        "count": 1, "entities": 1, "first_seen": "F", "last_seen": "L", "status": "open", "reopened": 0,
        "closed_by": "", "closed_why": "", "closed_at": "", "examples": [],
    }  # fmt: skip
    return known | more


def lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return [line.rstrip() for line in capsys.readouterr().out.splitlines()]


def test_one_without_an_example(capsys):
    sidebyside.put_cluster(document())

    assert lines(capsys) == [
        "0123456789 users GET /x: value a≠b at $.a",
        "open, seen 1 time of 1 entity, last L, first F",
        "no example was kept",
    ]


def test_one_with_an_example(capsys):
    first = {"id": 1, "name": "Ana", "tok_51HqXtYbZ": 1}
    found = sightings(pair(answer(first), answer({"id": 1, "name": "ANA"}), reveal=("$.name",)))
    example = orjson.loads(orjson.dumps(found[0].example))
    sidebyside.put_cluster(document(examples=[example]))

    assert lines(capsys)[2:] == [
        "newest of 1 example, 2026-01-01T10:00:00.000Z:",
        "  GET /api/users/42?page=2",
        "  with the header fields accept",
        "             legacy                      modern",
        "   status    200                         200",
        "≠  $.name    text of 3 characters        text of 3 characters",
        '≠  revealed  "Ana"                       "ANA"',
        "   in $:",
        "     id      integer of 1 digit          integer of 1 digit",
        "≠    name    text of 3 characters        text of 3 characters",
        "≠    *       1 more (names may be data)  0 more (names may be data)",
        "hint: they differ in case alone: `equal_if` case",
        "the same answers differ also in $.* (missing)",
    ]


def test_the_catch_all_says_what_it_is(capsys):
    sidebyside.put_change(document(kind="other", route="", path="", shape="", reopened=2, count=1234, entities=2))

    (line,) = lines(capsys)
    assert line == (
        "L 0123456789 open, reopened 2 times: users: mismatches beyond those that are kept apart, "
        "seen 1,234 times of 2 entities, last L"
    )


def test_colour_is_for_terminals_that_want_it(capsys, monkeypatch):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.delenv("NO_COLOR", raising=False)
    sidebyside.put_clusters([document()])
    assert "\x1b[31mopen" in capsys.readouterr().out

    monkeypatch.setenv("NO_COLOR", "1")
    sidebyside.put_clusters([document()])
    assert "\x1b[31m" not in capsys.readouterr().out
    assert tables.COLOURS
