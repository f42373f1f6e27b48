"""Single rules of `compare`: short and long, what is refused and how that is said."""

from __future__ import annotations

from decimal import Decimal

import pytest
from pydantic import ValidationError

from proxy.core.allowances import (
    WORDS,
    EqualIf,
    Ignored,
    Tolerance,
    Unordered,
    checked_compared,
    ends_at,
)
from proxy.core.documents import NULL_IS_MISSING
from proxy.core.likeness import NORMAL_FORMS
from proxy.core.model import Compare
from proxy.core.problems import problems_of


def refused(model, value):
    with pytest.raises(ValidationError) as error:
        model.model_validate(value)
    return [str(each) for each in problems_of(error.value, {}, "", model)]


@pytest.mark.parametrize(
    ("short", "long"),
    [
        ("$.a", Ignored(path="$.a")),
        (None, Unordered()),
        ("$.id", Unordered(by="$.id")),
        (0.5, Tolerance(absolute=0.5)),
        (3, Tolerance(absolute=3.0)),
        ("1%", Tolerance(relative="1%")),
        ("0.5 %", Tolerance(relative="0.5 %")),
        ("uuid", EqualIf.model_validate({"as": "uuid"})),
    ],
)
def test_the_short_form_means_the_long_one_and_is_written_back_short(short, long):
    assert type(long).model_validate(short) == long
    assert long.model_dump(mode="json", by_alias=True) == short
    assert long.model_dump(by_alias=True) == short


@pytest.mark.parametrize(
    ("model", "long"),
    [
        (Ignored, {"path": "$.a", "why": "new each time"}),
        (Unordered, {"until": "2027-01-31"}),
        (Tolerance, {"absolute": 1, "relative": "1%"}),
        (Tolerance, {"relative": "1%", "why": "rounded", "until": "2027-01-31T10:00:00Z"}),
        (EqualIf, {"as": "case", "until": "2027-01-31"}),
    ],
)
def test_what_says_more_is_written_back_long(model, long):
    assert model.model_validate(long).model_dump(mode="json", by_alias=True) == long


def test_every_way_to_mean_the_same_has_a_word():
    assert set(WORDS) == {*NORMAL_FORMS, NULL_IS_MISSING}


@pytest.mark.parametrize(
    ("model", "value", "problem"),
    [
        (Ignored, 5, ": should be a JSONPath, or a mapping with `path`; is 5"),
        (Ignored, None, ": should be a JSONPath, or a mapping with `path`; is null"),
        (Ignored, "a", ": should be a JSONPath that begins with $, is `a`; did you mean `$.a`?"),
        (Ignored, {"why": "x"}, ": path: is missing"),
        (Ignored, {"path": "$.a", "why": ""}, ": why: should be some text, is empty"),
        (Ignored, {"path": "$.a", "why": "x" * 201}, f": why: should be at most 200 characters, is `{'x' * 59}…`"),
        (Ignored, {"path": "$.a", "untl": "2027-01-31"}, ": untl: unknown key; did you mean `until`?"),
        (Unordered, 5, ": should be the JSONPath of the items' key, null, or a mapping with `by`; is 5"),
        (Unordered, "$[*]", ": should name one place (names and indexes only), is `$[*]`"),
        (Compare, {"unordered": {"$.a": {}}},
         ": unordered.$.a: should not be empty; say null if items are matched as equal ones"),
        (Tolerance, {"why": "x"}, ": needs `absolute`, a number, or `relative`, a share like `1%`"),
        (Tolerance, {"absolute": "1%"}, ": absolute: should be a number, 0 or more; is `1%`"),
        (Tolerance, {"relative": 1}, ": relative: should be a share from 0% to 100%, like `1%`; is 1"),
        (Tolerance, "100.1%", ": should be a share from 0% to 100%, like `1%`; is `100.1%`"),
        (Tolerance, "-1%", ": should be a share from 0% to 100%, like `1%`; is `-1%`"),
        (EqualIf, {"as": "same"}, f": as: should be {', '.join(WORDS[:-1])} or {WORDS[-1]}, is `same`"),
        (EqualIf, "UUID", f": should be {', '.join(WORDS[:-1])} or {WORDS[-1]}, or a mapping with `as`; is `UUID`; "
         "did you mean `uuid`?"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said(model, value, problem):
    assert refused(model, value) == [problem]


@pytest.mark.parametrize("value", [True, -0.5, float("nan"), float("inf"), "1", None, [1], 1e301, 10**400])
def test_what_is_no_tolerance_is_refused(value):
    assert len(refused(Tolerance, value)) == 1
    assert value is None or len(refused(Tolerance, {"absolute": value})) == 1


@pytest.mark.parametrize(
    ("value", "apart"),
    [
        (0.1, ("0.1", "0")),
        ("1%", ("0", "0.01")),
        ("1e-4%", ("0", "0.000001")),
        ({"absolute": 2, "relative": "0.5 %"}, ("2.0", "0.005")),
    ],
)
def test_a_tolerance_is_two_exact_numbers(value, apart):
    assert Tolerance.model_validate(value).apart == tuple(map(Decimal, apart))


@pytest.mark.parametrize(
    ("until", "seconds"),
    [
        ("1970-01-01", 86_400),
        ("1970-01-01T00:00:01.5Z", 1.5),
        ("1970-01-01T01:00:00+01:00", 0),
        ("1969-12-31T23:59:58.25Z", -1.75),
        ("2027-01-31", 1_801_440_000),
    ],
)
def test_a_date_means_its_end_and_an_instant_itself(until, seconds):
    assert ends_at(until) == seconds
    assert Ignored(path="$", until=until).until_s == seconds


@pytest.mark.parametrize(
    "until", ["", "2027", "2027-13-01", "2027-02-30", "2027-01-31T12:00:00", "soon", 2027, True, {}]
)
def test_what_is_no_end_is_refused(until):
    assert refused(Ignored, {"path": "$.a", "until": until})[0].startswith(": until: should be a date like 2027-01-31 ")


@pytest.mark.parametrize("name", ["Content-Type", "location", "x-total", "etag", "cache-control", "content-encoding"])
def test_fields_that_say_something_of_the_answer_may_be_compared(name):
    assert checked_compared(name) == name.lower()


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("Set-Cookie", "`set-cookie` is never looked at: its values are secrets"),
        ("authorization", "`authorization` is never looked at: its values are secrets"),
        ("WWW-Authenticate", "`www-authenticate` is never looked at: its values are secrets"),
        ("proxy-status", "`proxy-status` is never looked at: its values are secrets"),
        ("date", "`date` is never compared: no two answers have the same"),
        ("x-banyan-side", "`x-banyan-side` is never compared: no two answers have the same"),
        ("connection", "`connection` is never compared: it is about the connection, not the answer"),
        ("a b", "should be the name of a header field, is `a b`"),
    ],
)
def test_fields_that_hold_secrets_or_differ_by_nature_are_refused(name, why):
    assert refused(Compare, {"headers": [name]}) == [f": headers.0: {why}"]
