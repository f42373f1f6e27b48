"""Planted differences: always found, unless a rule is too wide, and then that rule is named."""

from __future__ import annotations

import copy
import gzip
from decimal import Decimal
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.compare import Answer
from proxy.core.comparerules import CompareRules
from proxy.core.likeness import NORMAL_FORMS
from proxy.core.messages import field
from proxy.core.model import Compare
from proxy.core.planted import Detection, Planted, detect, plant, plant_in

NONE = CompareRules()
FOUND = Detection(True)
MOST_ROLL = 1 - 2**-53


def rules(**compare: Any) -> CompareRules:
    return CompareRules(Compare.model_validate(compare))


def planted(document: Any, made: CompareRules = NONE, roll: float = 0.0) -> Planted:
    found = plant(document, made, roll)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("leaf", "changed"),
    [
        (1, -1_000_001_000),
        (0, 1_000_000_000),
        (-2, 1_000_002_000),
        (0.5, -1_000_000_500.0),
        (1e308, -1_000_000_000),
        (Decimal("-1e99999"), 1_000_000_000),
        (True, False),
        (False, True),
        (None, "planted: "),
        ("Ana", "planted: Ana"),
        ("", "planted: "),
        ([], ["planted: "]),
        ({}, {"planted: ": "planted: "}),
    ],
)
def test_each_kind_of_leaf_becomes_something_else_altogether(leaf, changed):
    found = planted({"a": leaf})

    assert (found.second, found.path) == ({"a": changed}, "$.a")
    assert type(found.second["a"]) is type(changed)
    assert detect(found, NONE) == FOUND


@pytest.mark.parametrize("document", [{}, []])
@pytest.mark.parametrize("made", [NONE, rules(ignore=["$"])])
def test_in_an_empty_document_nothing_can_be_planted(document, made):
    assert plant(document, made, 0.5) is None


@pytest.mark.parametrize("document", [5, "x", None, True])
def test_a_document_may_be_one_leaf(document):
    assert detect(planted(document), NONE) == FOUND


def test_the_roll_reaches_every_leaf_and_levels_are_even():
    document = {"id": 1, "items": [{"n": n, "deep": {"x": n}} for n in range(5)], "tags": ["a", "b"]}
    places = [planted(document, roll=step / 1_000).place for step in range(1_000)]

    assert len(set(places)) == 1 + 10 + 2
    assert 330 <= sum(place == ("id",) for place in places) <= 337


def test_a_leaf_that_is_ignored_is_passed_over():
    document = {"at": 1, "items": [{"at": 1, "n": 2}], "name": "x"}
    made = rules(ignore=["$..at", "$.name"])

    assert {planted(document, made, step / 100).place for step in range(100)} == {("items", 0, "n")}


@pytest.mark.parametrize(
    ("compare", "document", "names"),
    [
        ({"ignore": ["$"]}, {"a": 1}, ("ignore $",)),
        ({"ignore": ["$.*"]}, {"a": 1, "b": 2}, ("ignore $.*",)),
        ({"ignore": ["$.a", "$.b"]}, {"b": 1, "a": [2]}, ("ignore $.b", "ignore $.a")),
        ({"ignore": ["$.a", "$..b"]}, {"a": 1, "c": {"b": 1}}, ("ignore $.a", "ignore $..b")),
        ({"ignore": ["$.a[?@.x]"]}, {"a": [{"x": 1}, {"x": 2}]}, ("ignore $.a[?@.x]",)),
        ({"tolerance": {"$.n": 1e12}}, {"n": 1}, ("tolerance $.n",)),
        ({"ignore": ["$.a[?@.s!='open']"]}, {"a": [{"s": "open"}]}, ("ignore $.a[?@.s!='open']",)),
    ],
)
def test_a_rule_that_is_too_wide_is_named(compare, document, names):
    made = rules(**compare)

    assert detect(planted(document, made), made) == Detection(False, names)


def test_rules_that_swallow_what_was_planted_under_others_are_named():
    found = planted({"a": 1})

    assert detect(found, rules(ignore=["$.a"])) == Detection(False, ("ignore $.a",))


def test_the_document_itself_stays_as_it_was():
    document = {"a": [1, {"b": "x"}], "c": None}
    before = copy.deepcopy(document)
    found = planted(document, roll=0.3)

    assert document == before
    assert found.first is document
    assert found.second["c"] is document["c"]


BODY = b'{"id": 1, "id_s": "a"}'


@pytest.mark.parametrize("body", [BODY, b'{"n":18446744073709551617}', b"7"])
@pytest.mark.parametrize("packed", [False, True])
def test_it_can_be_planted_in_an_answer(body, packed):
    fields = field(b"content-encoding", b"gzip") if packed else b""
    found = plant_in(Answer(200, fields, gzip.compress(body) if packed else body), NONE, 0.5)

    assert found is not None
    assert detect(found, NONE) == FOUND


@pytest.mark.parametrize(
    "answer",
    [
        Answer(200, b"", b"<h1>"),
        Answer(200, b"", b""),
        Answer(200, b"", b"{}"),
        Answer(200, b"", b"[" * 300 + b"]" * 300),
        Answer(200, field(b"content-encoding", b"gzip"), BODY),
        Answer(200, b"", b'{"a": "' + b"x" * 100 + b'"}'),
    ],
)
def test_in_what_is_no_document_nothing_is_planted(answer):
    assert plant_in(answer, NONE, 0.5, most_bytes=50 if len(answer.body) < 600 else 1_000) is None


def test_a_path_that_cannot_be_followed_so_deep_is_nothing_to_test():
    document: Any = 1
    for _ in range(200):
        document = [document]

    assert plant(document, rules(ignore=["$..[?@.x]"]), 0.5) is None
    assert detect(planted(document), NONE) == FOUND


names = st.text("abc", max_size=2)
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.decimals(allow_nan=False, allow_infinity=False)
    | st.text(max_size=6)
    | st.sampled_from(("2026-01-01T00:00:00Z", "12.5", "/a/b?c", "http://x/y", "0b4f9c1e-8a52-4d2e-9f62-0123456789ab"))
)
documents = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=4), max_leaves=15
)
rolls = st.floats(0, MOST_ROLL)

WIDE_AND_SENSIBLE = (
    NONE,
    rules(tolerance={"$..*": 1e6}),
    rules(unordered={"$..*": None}),
    rules(unordered={"$..*": "$.a"}),
    *(rules(equal_if={"$..*": word}) for word in (*NORMAL_FORMS, "null-is-missing")),
)


@given(documents, rolls, st.sampled_from(WIDE_AND_SENSIBLE))
def test_what_is_planted_is_always_found(document, roll, made):
    found = plant(document, made, roll)
    if found is None:
        assert document in ({}, [])
        return

    assert detect(found, made) == FOUND


@given(
    documents, rolls, st.lists(st.sampled_from(("$.a", "$..b", "$.*.c", "$[0]", "$[?@.a]", "$..*", "$")), min_size=1)
)
def test_under_rules_that_ignore_it_is_found_or_they_cover_everything(document, roll, paths):
    made = rules(ignore=list(dict.fromkeys(paths)))
    found = plant(document, made, roll)
    if found is None:
        return

    detection = detect(found, made)
    assert detection.is_found or set(detection.swallowed_by) <= {f"ignore {path}" for path in paths}
    if "$" in paths:
        assert not detection.is_found


def test_planting_and_detecting_is_cheap_in_a_large_document():
    """Neither the document nor what is beside the way to the leaf is copied."""
    document = orjson.loads(orjson.dumps([{"id": n, "name": f"name {n}"} for n in range(1_000)]))
    found = planted(document, roll=0.7)

    assert sum(mine is not theirs for mine, theirs in zip(found.first, found.second, strict=True)) == 1
