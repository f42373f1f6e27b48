"""Answers of our own: problem documents and Proxy-Status, never made of a peer's bytes."""

from __future__ import annotations

import orjson

from proxy.gateway.answers import problem, proxy_status


def test_a_problem_is_a_document_with_a_proxy_status():
    fields, body = problem(502, "legacy: no connection", b"banyan", "destination_unavailable")

    assert orjson.loads(body) == {
        "type": "about:blank",
        "title": "The application failed",
        "status": 502,
        "detail": "legacy: no connection",
    }
    lines = fields.split(b"\r\n")
    assert b"content-type: application/problem+json" in lines
    assert b"cache-control: no-store" in lines
    assert b'proxy-status: banyan; error=destination_unavailable; details="legacy: no connection"' in lines
    assert fields.endswith(b"\r\n") and b"\r\n\r\n" not in fields
    assert b"retry-after" not in fields


def test_retry_after_stands_only_where_waiting_helps():
    assert b"retry-after: 5\r\n" in problem(503, "wait", b"banyan", retry_after_s=5)[0]


def test_what_stands_in_details_cannot_end_the_field():
    told = proxy_status(b"banyan", "", 'quote " and \\ and\r\nSet-Cookie: x=ü', next_hop="legacy")

    assert told == b'banyan; next-hop=legacy; details="quote \\" and \\\\ and??Set-Cookie: x=?"'
