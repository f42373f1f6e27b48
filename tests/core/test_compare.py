"""Whole answers: what counts of them besides their documents, and that whatever comes in there is an outcome."""

from __future__ import annotations

import gzip
import json
import zlib
from typing import Any

import brotli
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.compare import EQUAL, Answer, Comparison, Difference, Kind, Oddity, compare
from proxy.core.comparerules import CompareRules
from proxy.core.documents import ABSENT
from proxy.core.messages import field
from proxy.core.model import Compare

JSON = b"application/json"
NONE = CompareRules()


def answer(body: bytes = b'{"id":1}', status: int = 200, *fields: tuple[bytes, bytes]) -> Answer:
    lines = fields if any(name == b"content-type" for name, _ in fields) else ((b"content-type", JSON), *fields)
    return Answer(status, b"".join(field(name, value) for name, value in lines), body)


def counting(*headers: bytes, by_class: bool = False, **compare: Any) -> CompareRules:
    rules = CompareRules(Compare.model_validate(compare))
    rules.headers, rules.by_class = headers, by_class
    return rules


def found(first: Answer, second: Answer, rules: CompareRules = NONE) -> list[tuple[str, str]]:
    return [(str(each.kind), each.path) for each in compare(first, second, rules).differences]


# Statuses


def test_another_status_is_one_difference_whatever_else_differs():
    comparison = compare(answer(), answer(b"oops", 500, (b"content-type", b"text/plain")), NONE)

    assert comparison == Comparison((Difference(Kind.STATUS, "status", (), 200, 500),))


@pytest.mark.parametrize(
    ("first", "second", "exact", "by_class"),
    [
        (200, 201, ["status"], []),
        (200, 204, ["status"], []),
        (200, 404, ["status"], ["status"]),
        (404, 410, ["status"], []),
        (404, 500, ["status"], ["status"]),
        (301, 302, ["status"], []),
    ],
)
def test_statuses_are_compared_exactly_or_by_class(first, second, exact, by_class):
    answers = answer(status=first), answer(status=second)

    assert [path for _, path in found(*answers)] == exact
    assert [path for _, path in found(*answers, counting(by_class=True))] == by_class


def test_of_two_errors_only_status_and_content_type_are_compared():
    one = answer(b'{"trace":1}', 500, (b"vary", b"a"))
    other = answer(b'{"trace":2}', 500, (b"vary", b"b"))
    page = answer(b"<h1>oops", 500, (b"content-type", b"text/html"))

    assert compare(one, other, counting(b"content-type", b"vary")) is EQUAL
    assert found(one, page) == [("header", "content-type")]
    assert compare(one, page, counting(b"vary")) is EQUAL


@pytest.mark.parametrize("status", [300, 301, 302, 303, 307, 308])
def test_where_a_redirect_leads_is_always_compared(status):
    there = answer(b"", status, (b"location", b"/users/1"))
    elsewhere = answer(b"", status, (b"location", b"/users/2"))
    nowhere = answer(b"", status)

    assert compare(there, there, counting()) is EQUAL
    assert found(there, elsewhere, counting()) == [("header", "location")]
    (missing,) = compare(there, nowhere, counting()).differences
    assert (missing.first, missing.second) == ("/users/1", ABSENT)
    assert found(there, elsewhere, counting(b"location")) == [("header", "location")]


def test_of_a_redirect_the_note_does_not_count_and_a_document_does():
    to = (b"location", b"/x")
    html = (b"content-type", b"text/html")

    assert compare(answer(b"Found", 302, to, html), answer(b"<a>Found</a>", 302, to, html), NONE) is EQUAL
    assert found(answer(b"Found", 302, html), answer(b"<a>Found</a>", 302, html)) == [("value", "$")]
    assert found(answer(b'{"id":1}', 302, to), answer(b'{"id":2}', 302, to)) == [("value", "$.id")]


# Header fields


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ([b"x"], [b"x"], []),
        ([b"x"], [b"y"], ["x-kind"]),
        ([b"x"], [], ["x-kind"]),
        ([], [b"x"], ["x-kind"]),
        ([b"x", b"y"], [b"x"], ["x-kind"]),
        ([b"x"], [b"x", b"y"], ["x-kind"]),
        ([b"x", b"y"], [b"x,y"], []),
        ([b"x, y"], [b"y, x"], ["x-kind"]),
        ([b"x", b"y"], [b"x", b"z"], ["x-kind"]),
        ([b"X"], [b"x"], ["x-kind"]),
    ],
)
def test_counted_fields_are_compared_as_lists_in_order(first, second, expected):
    answers = [answer(b"{}", 200, *((b"x-kind", value) for value in values)) for values in (first, second)]

    assert [path for _, path in found(*answers, counting(b"content-type", b"x-kind"))] == expected
    assert compare(*answers, NONE) is EQUAL


def test_a_name_within_another_line_is_not_taken_for_a_field():
    one = answer(b"{}", 200, (b"x-note", b"x-kind: 1"))
    other = answer(b"{}", 200, (b"x-note", b"x-kind: 2"))

    assert compare(one, other, counting(b"x-kind")) is EQUAL
    assert found(one, answer(b"{}", 200, (b"x-kind", b"1")), counting(b"x-kind")) == [("header", "x-kind")]


def test_cookies_are_no_list():
    one = answer(b"{}", 200, (b"set-cookie", b"a=1, b=2"))
    other = answer(b"{}", 200, (b"set-cookie", b"a=1"), (b"set-cookie", b"b=2"))
    (difference,) = compare(one, other, counting(b"set-cookie")).differences

    assert (difference.first, difference.second) == ("a=1, b=2", ["a=1", "b=2"])


def test_the_content_type_counts_by_what_it_means():
    plain, spelled = answer(b"{}"), answer(b"{}", 200, (b"content-type", b"Application/JSON;charset=UTF-8"))
    html = answer(b"{}", 200, (b"content-type", b"text/html"))

    assert compare(plain, spelled, NONE) is EQUAL
    assert found(plain, html) == [("header", "content-type")]


def test_fields_and_documents_are_told_together_up_to_the_limit():
    one = answer(b'{"a":1,"b":2}', 200, (b"content-type", b"application/json;v=1"))
    other = answer(b'{"a":3,"b":4}', 200, (b"content-type", b"application/json;v=2"))
    whole, part = compare(one, other, NONE), compare(one, other, NONE, 2)

    assert [each.path for each in whole.differences] == ["content-type", "$.a", "$.b"]
    assert not whole.cut
    assert [each.path for each in part.differences] == ["content-type", "$.a"]
    assert part.cut


# Codings


def raw_deflate(text: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(text) + packer.flush()


PACKERS = {
    b"identity": bytes, b"gzip": gzip.compress, b"x-gzip": gzip.compress, b"deflate": zlib.compress,
    b"Deflate": raw_deflate, b"br": brotli.compress, b"br, gzip": lambda text: gzip.compress(brotli.compress(text)),
}  # fmt: skip


def packed(text: bytes, coding: bytes) -> Answer:
    return answer(PACKERS[coding](text), 200, (b"content-encoding", coding))


@pytest.mark.parametrize("coding", PACKERS)
def test_one_content_in_two_codings_is_equal_and_two_contents_are_not(coding):
    plain = answer(b'{"id":1}')

    assert compare(plain, packed(b'{"id":1}', coding), NONE) is EQUAL
    assert compare(packed(b'{"id": 1}', coding), plain, NONE) == EQUAL
    assert found(plain, packed(b'{"id":2}', coding)) == [("value", "$.id")]


def test_what_is_equal_is_not_decoded():
    torn = packed(b'{"id":1}' * 100, b"gzip")
    torn = Answer(200, torn.fields, torn.body[:-9])

    assert compare(torn, Answer(200, torn.fields + field(b"date", b"now"), torn.body), NONE) is EQUAL
    assert compare(torn, Answer(200, answer().fields, torn.body), NONE).oddity is Oddity.UNDECODABLE


@pytest.mark.parametrize(
    ("second", "oddity"),
    [
        (Answer(200, field(b"content-encoding", b"gzip"), b"\x1f\x8b torn"), Oddity.UNDECODABLE),
        (Answer(200, field(b"content-encoding", b"zstd"), b"x"), Oddity.UNDECODABLE),
        (packed(bytes(20_000), b"gzip"), Oddity.TOO_LONG),
        (packed(bytes(20_000), b"br"), Oddity.TOO_LONG),
        (answer(bytes(20_000)), Oddity.TOO_LONG),
        (answer(b"[" + b"[]," * 200_000 + b"1]"), Oddity.TOO_MANY),
    ],
)
def test_what_cannot_be_read_is_no_evidence_either_way(second, oddity):
    for pair in ((answer(), second), (second, answer())):
        comparison = compare(*pair, NONE, most_bytes=10_000 if oddity is Oddity.TOO_LONG else 1_000_000)
        assert (comparison.oddity, comparison.differences) == (oddity, ())
        assert not comparison.is_readable
        assert not comparison.is_equal


# What is strange, and can be compared


DEEP = b"[" * 300 + b"]" * 300


@pytest.mark.parametrize(
    ("first", "second", "oddity", "kind"),
    [
        (b'{"id":1}', b"<h1>oops", Oddity.NOT_JSON, "type"),
        (b"oops", b"<h1>oops", Oddity.NOT_JSON, "value"),
        (b'{"id":1}', b'{"id":NaN}', Oddity.NOT_JSON, "type"),
        (b'{"id":1}', b'{"id":"\xff"}', Oddity.NOT_JSON, "type"),
        (b'{"id":1}', b"", Oddity.NOT_JSON, "type"),
        (b"[1]", DEEP, Oddity.NESTED, "value"),
        (DEEP, b" " + DEEP, Oddity.NESTED, "value"),
        (b"oops", b"[" * 10_000, Oddity.NESTED, "type"),
        (b'{"id":1,"id":2}', b'{"id":2}', Oddity.REPEATED_NAMES, "value"),
        (b'{"id":1e-99999999999999999999}', b'{"id":0}', Oddity.NUMBERS, "value"),
    ],
)
def test_each_strange_body_has_an_outcome_of_its_own(first, second, oddity, kind):
    for one, other in ((first, second), (second, first)):
        comparison = compare(answer(one), answer(other), NONE)
        assert comparison.oddity is oddity
        assert [(str(each.kind), each.path) for each in comparison.differences] == [(kind, "$")]
        assert comparison.is_readable
    assert compare(answer(first), answer(first), NONE) is EQUAL


def test_a_path_that_cannot_be_followed_so_deep_is_no_evidence():
    first, second = (b"[" * 200 + number + b"]" * 200 for number in (b"1", b"2"))
    comparison = compare(answer(first), answer(second), counting(b"content-type", ignore=["$..[?@.x]"]))

    assert (comparison.oddity, comparison.differences, comparison.is_equal) == (Oddity.TOO_DEEP, (), False)


@pytest.mark.parametrize(
    ("content_type", "first", "second", "expected"),
    [
        (b"text/html", b'{"a":1,"b":2}', b'{"b":2,"a":1}', []),
        (b"text/html", b'{"a":1}', b'{"a":2}', [("value", "$.a")]),
        (b"text/plain", b"1", b"1.0", [("value", "$")]),
        (b"text/plain", b"{", b"[", [("value", "$")]),
        (b"text/csv", b"a,b", b"a,c", [("value", "$")]),
        (b"application/json", b"1", b"1.0", []),
    ],
)
def test_documents_are_known_by_their_type_or_by_how_they_open(content_type, first, second, expected):
    answers = [answer(body, 200, (b"content-type", content_type)) for body in (first, second)]
    comparison = compare(*answers, NONE)

    assert [(str(each.kind), each.path) for each in comparison.differences] == expected
    assert comparison.oddity is None


def test_texts_in_two_charsets_are_compared_by_their_bytes():
    one = answer("é".encode(), 200, (b"content-type", b"text/plain; charset=utf-8"))
    other = answer("é".encode("latin-1"), 200, (b"content-type", b"text/plain; charset=latin1"))

    assert found(one, other) == [("header", "content-type"), ("value", "$")]


def test_a_rule_that_ignores_the_whole_body_holds_for_any_body():
    rules = counting(b"content-type", ignore=["$"])

    assert compare(answer(b"a"), answer(b"b"), rules) == Comparison(explained=("ignore $",), oddity=Oddity.NOT_JSON)
    assert compare(answer(b"1"), answer(b"2"), rules) == Comparison(explained=("ignore $",))


# Whatever comes in

texts = (
    st.binary(max_size=40)
    | st.sampled_from(
        (b"NaN", b'{"a":1,"a":2}', b"[" * 10_000, DEEP, b'{"a":1e-99999999999999999999}', b"[1e400]", b"")
    )
    | st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
        max_leaves=8,
    ).map(lambda value: json.dumps(value).encode())
)
codings = st.sampled_from(tuple(PACKERS)) | st.none()
field_values = st.sampled_from((JSON, b"text/html", b"gzip", b"br", b"/x", b"")) | st.binary(max_size=12)
field_names = st.sampled_from((b"content-type", b"content-encoding", b"location", b"vary", b"set-cookie"))
lines = st.lists(st.builds(field, field_names, field_values), max_size=4).map(b"".join) | st.binary(max_size=60)
RULES = (
    NONE,
    counting(b"content-type", b"vary", b"set-cookie", by_class=True),
    counting(ignore=["$.a", "$..b", "$[?@.a].b"], unordered={"$": None, "$.c": "$.a"}),
    counting(tolerance={"$.a": 0.1, "$[*]": 5}, equal_if={"$..c": "same-instant"}),
    counting(equal_if={"$.b": "same-number", "$..c": "null-is-missing", "$[*]": "case"}),
    counting(unordered={"$..*": None}, equal_if={"$..a": "uuid", "$..b": "url-path"}),
)


@st.composite
def answers(draw: st.DrawFn) -> Answer:
    body, coding, head = draw(texts), draw(codings), draw(lines)
    if coding is not None:
        body, head = PACKERS[coding](body), head + field(b"content-encoding", coding)
    if draw(st.integers(0, 5)) == 0:
        body = body[: draw(st.integers(0, len(body)))]
    return Answer(draw(st.sampled_from((200, 200, 200, 201, 204, 302, 304, 404, 500)) | st.integers()), head, body)


@given(answers(), answers(), st.sampled_from(RULES), st.integers(1, 5))
def test_whatever_comes_in_there_is_an_outcome_and_the_same_both_ways(first, second, rules, most):
    there, back = compare(first, second, rules, most), compare(second, first, rules, most)

    assert there.is_equal is back.is_equal
    assert there.is_readable is back.is_readable
    assert len(there.differences) <= most
    assert there.is_readable or not there.differences
    assert compare(first, first, rules) is EQUAL


@given(texts, codings, codings)
def test_one_content_is_equal_whatever_its_codings(text, one, other):
    first, second = (answer(text) if coding is None else packed(text, coding) for coding in (one, other))

    assert compare(first, second, NONE).is_equal
