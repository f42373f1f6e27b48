"""The second reader holds the case tables too: it takes what they forward and nothing that they refuse."""

from __future__ import annotations

import pytest

from tests.fuzz import reader
from tests.fuzz.reader import BAD, GOOD, UNUSABLE, WAITING, WHOLE, Planned, Unplanned, next_request, read_reply
from tests.wire.test_cases import BODY, BROKEN_BODIES, CHUNKED, REFUSED, chunks
from tests.wire.test_cases import GOOD as NEXT
from tests.wire.test_cases_answers import BAD as BAD_ANSWERS
from tests.wire.test_cases_answers import GOOD_ANSWERS, TORN


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused_is_no_request(case):
    read = next_request(REFUSED[case][0])
    assert isinstance(read, Unplanned) or read.may_be_refused


@pytest.mark.parametrize("case", BODY)
def test_what_is_forwarded_is_one_and_ends_where_the_next_begins(case):
    read = next_request(BODY[case][0] + NEXT)
    assert (isinstance(read, Planned) and not read.may_be_refused) or case.startswith(("67", "70", "74"))
    assert read.body.state == WHOLE and read.taken == len(BODY[case][0])


@pytest.mark.parametrize("case", CHUNKED)
def test_a_chunked_body_has_its_data_and_its_end(case):
    data, body = CHUNKED[case]
    read = next_request(chunks(data) + NEXT)
    assert isinstance(read, Planned) and (read.body.data, read.body.state) == (body, WHOLE)
    assert read.taken == len(chunks(data))


@pytest.mark.parametrize("case", BROKEN_BODIES)
def test_a_broken_body_is_never_whole(case):
    read = next_request(chunks(BROKEN_BODIES[case]))
    assert isinstance(read, Planned) and read.body.state in (BAD, WAITING)


@pytest.mark.parametrize("case", BAD_ANSWERS)
def test_an_answer_that_must_not_pass_is_unusable(case):
    assert read_reply(BAD_ANSWERS[case], "eof", b"GET", b"").kind in (UNUSABLE, reader.TORN)


@pytest.mark.parametrize("case", GOOD_ANSWERS)
def test_an_answer_that_passes_is_good(case):
    data, status, body, *_ = GOOD_ANSWERS[case]
    read = read_reply(data, "", b"GET", b"")
    assert (read.kind, read.status, read.body) == (GOOD, status, body)
    reused = GOOD_ANSWERS[case][4] == 1
    assert (read.reusable and read.minimum == len(data)) == reused


@pytest.mark.parametrize("case", TORN)
def test_a_torn_answer_is_torn_once_the_side_is_gone(case):
    assert read_reply(TORN[case][0], "", b"GET", b"").kind == reader.OPEN
    assert read_reply(TORN[case][0], "eof", b"GET", b"").kind == reader.TORN
