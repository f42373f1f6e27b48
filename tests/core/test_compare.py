"""Whole answers: what counts of them besides their documents."""

from __future__ import annotations

from proxy.core.compare import Answer, Difference, Kind, compare
from proxy.core.comparerules import CompareRules


def test_another_status_is_one_difference_whatever_else_differs():
    found = compare(Answer(200, b"", b'{"id":1}'), Answer(500, b"", b"oops"), CompareRules())

    assert found.differences == (Difference(Kind.STATUS, "status", (), 200, 500),)


def test_bodies_are_compared_when_the_statuses_agree():
    found = compare(Answer(200, b"", b'{"id":1}'), Answer(200, b"", b'{"id":2}'), CompareRules())

    assert [each.path for each in found.differences] == ["$.id"]
