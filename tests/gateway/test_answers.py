"""Answers that Banyan makes itself: what they say, and that nothing in them can end a line."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.gateway.answers import TITLES, problem, proxy_status
from proxy.wire.statuses import REASONS


def lines(fields: bytes) -> dict[bytes, bytes]:
    assert fields.endswith(b"\r\n")
    return dict(line.split(b": ", 1) for line in fields[:-2].split(b"\r\n"))


def test_a_problem_document_as_it_is_sent():
    fields, body = problem(502, "legacy: refused", b"banyan", "destination_unavailable")
    said = lines(fields)

    assert json.loads(body) == {
        "type": "about:blank",
        "title": "The application failed",
        "status": 502,
        "detail": "legacy: refused",
    }
    assert said[b"content-type"] == b"application/problem+json"
    assert said[b"cache-control"] == b"no-store"
    assert said[b"proxy-status"] == b'banyan; error=destination_unavailable; details="legacy: refused"'
    assert re.fullmatch(rb"[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT", said[b"date"])
    assert b"content-length" not in said and b"retry-after" not in said


def test_a_request_at_fault_and_one_that_may_come_again():
    assert b"error=http_request_error" in problem(400, "x", b"banyan")[0]
    assert lines(problem(503, "x", b"banyan", retry_after_s=5)[0])[b"retry-after"] == b"5"


def test_every_status_that_we_send_has_its_title():
    sent = {400, 405, 408, 414, 417, 431, 501, 502, 503, 504, 505, 508}
    assert sent <= set(TITLES) and sent <= set(REASONS)


@given(st.text(), st.integers(400, 599))
def test_no_detail_can_end_a_line_or_a_string(detail, status):
    fields, body = problem(status, detail, b"banyan")
    told = lines(fields)[b"proxy-status"]

    assert re.fullmatch(rb'banyan; error=[a-z_]+; details="(?:[ !#-\[\]-~]|\\["\\])*"', told)
    assert json.loads(body)["status"] == status


@pytest.mark.parametrize(
    ("parts", "told"),
    [
        ({"error": "", "detail": "a", "next_hop": "legacy"}, b'banyan; next-hop=legacy; details="a"'),
        ({"error": "x_y", "detail": 'say "\\"'}, b'banyan; error=x_y; details="say \\"\\\\\\""'),
        ({"error": "", "detail": "a\r\nb\x00\xe4"}, b'banyan; details="a??b??"'),
    ],
)
def test_a_member_of_proxy_status(parts, told):
    assert proxy_status(b"banyan", **parts) == told
