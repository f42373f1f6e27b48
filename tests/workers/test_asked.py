"""Answers as they are compared."""

from __future__ import annotations

import pytest

from proxy.core.compare import Answer
from proxy.core.messages import AnswerHead, SawAnswer
from proxy.workers.asked import answer_of

ORIGINS = (b"http://10.0.0.1:80", b"http://10.0.0.2:80")


@pytest.mark.parametrize(
    ("location", "expected"),
    [
        (b"http://10.0.0.1:80/new?x=1", b"/new?x=1"),
        (b"http://10.0.0.2:80/new", b"/new"),
        (b"/new", b"/new"),
        (b"http://elsewhere/new", b"http://elsewhere/new"),
    ],
)
def test_where_a_location_names_a_side_only_its_path_is_left(location, expected):
    head = AnswerHead(302, b"location: %b\r\nx: y\r\n" % location, 0)
    head.saw = SawAnswer.LOCATION

    assert answer_of(head, b"body", ORIGINS) == Answer(302, b"location: %b\r\nx: y\r\n" % expected, b"body")
