"""What a difference is worth, case by case, and the laws of it."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.compare import Answer, compare
from proxy.core.comparerules import CompareRules
from proxy.core.evidence import Outcome
from proxy.core.sandwich import Doubt, Looks, Verdict, doubt_of, judge

RULES = CompareRules()


def answer(document: object, status: int = 200) -> Answer:
    return Answer(status, b"content-type: application/json\r\n", orjson.dumps(document))


def looked(p1: object, s1: object, p2: object, s2: object, p3: object, settled: bool = True) -> Verdict:
    one, other, two, second, three = (
        each if isinstance(each, Answer) else answer(each) for each in (p1, s1, p2, s2, p3)
    )
    own = (compare(one, two, RULES), compare(two, three, RULES))
    return judge(Looks(compare(one, other, RULES), own, compare(two, second, RULES)), settled)


A, B = {"id": 1, "unread": 3}, {"id": 1, "unread": 4}


def at(moment: int, **more: object) -> dict[str, object]:
    return {"id": 1, "unread": 3, "generated_at": moment, **more}


@pytest.mark.parametrize(
    ("readings", "outcome", "doubt", "paths"),
    [
        ((A, B, A, B, A), Outcome.MISMATCHED, None, ["$.unread"]),
        ((at(1), at(2), at(3), at(4), at(5)), Outcome.NOISE, None, []),
        ((at(1), at(2, unread=9), at(3), at(4, unread=9), at(5)), Outcome.MISMATCHED, None, ["$.unread"]),
        ((A, B, A, A, A), Outcome.INCONCLUSIVE, Doubt.TRANSIENT, []),
        ((A, B, B, B, B), Outcome.NOISE, None, []),  # somebody wrote: the primary has changed
        ((A, B, A, {"id": 1, "unread": 3, "x": 1}, A), Outcome.INCONCLUSIVE, Doubt.TRANSIENT, []),
        ((A, B, answer({}, 404), B, answer({}, 404)), Outcome.INCONCLUSIVE, Doubt.CHANGED, []),
        ((A, answer({}, 404), A, answer({}, 404), A), Outcome.MISMATCHED, None, ["status"]),
    ],
)
def test_a_difference_is_worth_what_stands_of_it(readings, outcome, doubt, paths):
    found = looked(*readings)

    assert (found.outcome, found.doubt, [each.path for each in found.differences]) == (outcome, doubt, paths)


def test_on_an_entity_that_is_not_settled_nothing_is_a_mismatch():
    assert looked(A, B, A, B, A, settled=False) == Verdict(Outcome.INCONCLUSIVE, Doubt.UNSETTLED)


def test_what_lies_below_a_noisy_place_is_noise_and_what_lies_beside_it_is_not():
    def document(items: list[int], itemised: int) -> dict[str, object]:
        return {"items": [{"id": each} for each in items], "itemised": itemised}

    readings = (document([1], 1), document([2], 2), document([1, 2], 1), document([2, 1], 2), document([1], 1))
    found = looked(*readings)

    assert [each.path for each in found.differences] == ["$.itemised"]


@given(st.lists(st.dictionaries(st.sampled_from("abc"), st.integers(0, 2)), min_size=5, max_size=5))
def test_no_mismatch_is_found_where_the_second_pair_agrees_or_the_primary_is_torn(documents):
    p1, s1, p2, s2, p3 = documents
    found = looked(p1, s1, p2, s2, p3)

    if p2 == s2:
        assert found.outcome is not Outcome.MISMATCHED
    for each in found.differences:
        name = each.path.removeprefix("$.")
        assert p1.get(name) == p2.get(name) == p3.get(name) != s2.get(name)
        assert s1.get(name) != p1.get(name)


@given(
    st.dictionaries(st.sampled_from("abc"), st.integers(0, 2)),
    st.dictionaries(st.sampled_from("abc"), st.integers(0, 2)),
)
def test_what_stands_still_and_differs_is_always_found(one, other):
    assert (looked(one, other, one, other, one).outcome is Outcome.MISMATCHED) is (one != other)


@pytest.mark.parametrize(
    ("before", "status", "is_primary", "doubt"),
    [
        (200, 200, True, None),
        (200, 401, True, Doubt.DENIED),
        (200, 403, False, Doubt.DENIED),
        (403, 403, True, None),  # what was denied from the start is an answer like any other
        (200, 500, True, Doubt.PRIMARY_FAILED),
        (200, 429, True, Doubt.PRIMARY_FAILED),
        (200, 503, False, Doubt.SECONDARY_FAILED),
        (500, 500, False, None),
        (200, 404, True, None),
    ],
)
def test_a_re_read_that_says_nothing_is_told_from_one_that_does(before, status, is_primary, doubt):
    assert doubt_of(answer({}, before), answer({}, status), is_primary=is_primary) is doubt
