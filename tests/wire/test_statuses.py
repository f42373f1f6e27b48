"""Status lines as clients get them."""

from __future__ import annotations

import re

from proxy.wire.statuses import CONTINUE, REASONS, STATUS_LINE


def test_every_status_has_a_line_and_none_can_be_split():
    for status in range(100, 600):
        assert re.fullmatch(rb"HTTP/1\.1 %d [A-Za-z -]*\r\n" % status, STATUS_LINE[status])


def test_registered_ones_have_their_reason():
    assert STATUS_LINE[200] == b"HTTP/1.1 200 OK\r\n"
    assert STATUS_LINE[404] == b"HTTP/1.1 404 Not Found\r\n"
    assert STATUS_LINE[299] == b"HTTP/1.1 299 \r\n"
    assert set(range(200, 209)) <= set(REASONS)
    assert STATUS_LINE[100] + b"\r\n" == CONTINUE
