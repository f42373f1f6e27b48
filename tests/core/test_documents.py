"""Two answers compared: every kind of difference, every rule, and the laws that hold whatever the documents are."""

from __future__ import annotations

import copy
import json
from decimal import Decimal
from typing import Any

import orjson
import pytest
from deepdiff import DeepDiff
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.comparerules import CompareRules
from proxy.core.documents import ABSENT, Comparison, Kind, compare_bodies, compare_documents, template_of
from proxy.core.model import Compare
from proxy.core.oddities import Oddity

NONE = CompareRules()


def rules(**compare: Any) -> CompareRules:
    return CompareRules(Compare.model_validate(compare))


def found(first: Any, second: Any, **compare: Any) -> list[tuple[str, str]]:
    """Return (kind, path) of each difference."""
    comparison = compare_documents(first, second, rules(**compare))
    return [(str(each.kind), each.path) for each in comparison.differences]


DOCUMENT = {"id": 1, "name": "Ana", "tags": ["a", "b"], "boss": None, "items": [{"id": 1, "n": 2}, {"id": 2, "n": 3}]}


def changed(**members: Any) -> dict[str, Any]:
    return {**copy.deepcopy(DOCUMENT), **members}


@pytest.mark.parametrize(
    ("second", "expected"),
    [
        (DOCUMENT, []),
        (dict(reversed(DOCUMENT.items())), []),
        (changed(id=1.0), []),
        (changed(id=2), [("value", "$.id")]),
        (changed(id="1"), [("type", "$.id")]),
        (changed(id=True), [("type", "$.id")]),
        (changed(boss="x"), [("type", "$.boss")]),
        ({name: value for name, value in DOCUMENT.items() if name != "name"}, [("missing", "$.name")]),
        (changed(new=1), [("extra", "$.new")]),
        (changed(tags=["b", "a"]), [("order", "$.tags")]),
        (changed(tags=["a"]), [("length", "$.tags")]),
        (changed(tags={"a": 1}), [("type", "$.tags")]),
        (changed(items=[{"id": 2, "n": 3}, {"id": 1, "n": 2}]), [("order", "$.items")]),
        (changed(items=[{"id": 1, "n": 9}, {"id": 2, "n": 3}]), [("value", "$.items[*].n")]),
        (changed(items=[{"id": 1, "n": 9}, {"id": 2, "n": 9}]), [("value", "$.items[*].n")] * 2),
        (changed(items=[{"id": 1}, {"id": 2, "n": "3"}]), [("missing", "$.items[*].n"), ("type", "$.items[*].n")]),
    ],
)
def test_each_kind_of_difference_is_named_with_its_place(second, expected):
    assert found(DOCUMENT, second) == expected


def test_both_values_and_the_place_are_told():
    (each,) = compare_documents({"a": [1, {"b": 2}]}, {"a": [1, {"c": 2, "b": 2}]}, NONE).differences
    assert (each.kind, each.path, each.place) == (Kind.EXTRA, "$.a[*].c", ("a", 1, "c"))
    assert (each.first, each.second) == (ABSENT, 2)


@pytest.mark.parametrize(
    ("place", "template"),
    [
        ((), "$"),
        (("a", 3, "b"), "$.a[*].b"),
        (("42", "name"), "$.*.name"),
        (("0b4f9c1e-8a52-4d2e-9f62-0123456789ab",), "$.*"),
        (("deadbeef00112233",), "$.*"),
        (("@type", "a-b"), '$["@type"].a-b'),
        (("with space", "ana@example.com", "s3cr3t", "x" * 70), "$.*.*.*.*"),
    ],
)
def test_names_that_are_data_are_not_told_apart(place, template):
    assert template_of(place) == template


@pytest.mark.parametrize(
    ("compare", "first", "second", "expected"),
    [
        ({"ignore": ["$.at"]}, {"at": 1, "b": 2}, {"at": 2, "b": 2}, []),
        ({"ignore": ["$.at"]}, {"at": 1}, {}, []),
        ({"ignore": ["$.at"]}, {}, {"at": 1}, []),
        ({"ignore": ["$..at"]}, {"a": [{"at": 1, "x": 1}]}, {"a": [{"at": 2, "x": 2}]}, [("value", "$.a[*].x")]),
        ({"ignore": ["$.a[?@.k=='x'].v"]}, {"a": [{"k": "x", "v": 1}]}, {"a": [{"k": "x", "v": 2}]}, []),
        (
            {"ignore": ["$.a[?@.k=='x'].v"]},
            {"a": [{"k": "y", "v": 1}]},
            {"a": [{"k": "y", "v": 2}]},
            [("value", "$.a[*].v")],
        ),
        ({"unordered": {"$.t": None}}, {"t": [1, 2, 2]}, {"t": [2, 1, 2]}, []),
        ({"unordered": {"$.t": None}}, {"t": [1, 2, 2]}, {"t": [1, 1, 2]}, [("value", "$.t[*]")]),
        ({"unordered": {"$.t": None}}, {"t": [1, 2]}, {"t": [2]}, [("missing", "$.t[*]")]),
        ({"unordered": {"$.t": None}}, {"t": [2]}, {"t": [1, 2, 3]}, [("extra", "$.t[*]")] * 2),
        (
            {"unordered": {"$.t": "$.id"}},
            {"t": [{"id": 1, "n": 1}, {"id": 2, "n": 2}]},
            {"t": [{"id": 2, "n": 2}, {"id": 1, "n": 7}]},
            [("value", "$.t[*].n")],
        ),
        (
            {"unordered": {"$.t": "$.id"}},
            {"t": [{"id": 1}, {"id": 2}]},
            {"t": [{"id": 3}, {"id": 1}]},
            [("missing", "$.t[*]"), ("extra", "$.t[*]")],
        ),
        ({"unordered": {"$.t": None}, "ignore": ["$.t[*].at"]}, {"t": [{"at": 1}]}, {"t": [{"at": 2}]}, []),
        (
            {"unordered": {"$.t": None}, "ignore": ["$.t[*].at"]},
            {"t": [{"a": 1, "at": 1}, {"a": 2}]},
            {"t": [{"a": 2, "at": 5}, {"a": 1, "at": 2}]},
            [],
        ),
        ({"tolerance": {"$.n": 0.1}}, {"n": 1.1}, {"n": 1.0}, []),
        ({"tolerance": {"$.n": 0.1}}, {"n": 1.2}, {"n": 1.0}, [("value", "$.n")]),
        ({"tolerance": {"$.n": 0.1}}, {"n": "1.1"}, {"n": 1.1}, [("type", "$.n")]),
        ({"tolerance": {"$.n": 1}}, {"n": True}, {"n": 1}, [("type", "$.n")]),
        ({"equal_if": {"$.t": "same-instant"}}, {"t": "2026-01-01T00:00:00Z"}, {"t": "2026-01-01T01:00:00+01:00"}, []),
        (
            {"equal_if": {"$.t": "same-instant"}},
            {"t": "2026-01-01T00:00:00Z"},
            {"t": "2026-01-01T00:00:00+01:00"},
            [("value", "$.t")],
        ),
    ],
)  # fmt: skip
def test_each_rule_explains_what_it_says_and_nothing_else(compare, first, second, expected):
    assert found(first, second, **compare) == expected
    if first != second and not expected:
        assert compare_documents(first, second, rules(**compare)).explained


def test_a_rule_that_explained_nothing_is_not_named():
    both = {"at": 1, "t": [1, 2], "n": 1}
    comparison = compare_documents(both, copy.deepcopy(both), rules(ignore=["$.at"], unordered={"$.t": None}))
    assert comparison == Comparison()


def test_it_stops_after_as_many_differences_as_are_wanted():
    first, second = {str(n): n for n in range(100)}, {str(n): -n - 1 for n in range(100)}
    comparison = compare_documents(first, second, NONE, 7)
    assert (len(comparison.differences), comparison.cut) == (7, True)


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (b'{"a": 1}', b'{"a":1}', []),
        (b'{"a":18446744073709551617}', b'{"a":18446744073709551616}', [("value", "$.a")]),
        (b'{"a":0.12345678901234567}', b'{"a":0.12345678901234568}', [("value", "$.a")]),
        (b'{"a":0.1}', b'{"a":0.10000000000000000000}', []),
        (b'{"a":1,"a":2}', b'{"a":2}', [("value", "$")]),
        (b'{"a":1,"a":2}', b'{"a":1,"a":2}', []),
        (b"{", b'{"a":2}', [("type", "$")]),
        (b"<a>", b"<b>", [("value", "$")]),
        (b"", b"{}", [("type", "$")]),
        (b'{"a":NaN}', b'{"a":1}', [("type", "$")]),
        (b'"\xff"', b'"\xfe"', [("value", "$")]),
        (b"[" * 300 + b"]" * 300, b"[" * 300 + b"1" + b"]" * 300, [("value", "$")]),
        (b"[" * 200 + b"]" * 200, b"[" * 200 + b"1" + b"]" * 200, [("value", "$" + "[*]" * 100)]),
        (b"[[1,true]]", b"[[true,1]]", [("order", "$[*]")]),
        (b"[[1,true,2]]", b"[[true,true,2]]", [("type", "$[*][*]")]),
        (b"1", b"1.0", []),
        (b"1e400", b"1e401", [("value", "$")]),
    ],
)
def test_bodies_are_compared_as_what_they_are(first, second, expected):
    comparison = compare_bodies(first, second, NONE)
    assert [(str(each.kind), each.path) for each in comparison.differences] == expected


names = st.text("abc", max_size=2)
scalars = st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from((0.5, 1.0, -2.5)) | st.text("xy", max_size=2)
documents = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=4), max_leaves=15
)


def plainly_equal(first: Any, second: Any) -> bool:
    """Equality of JSON values, as plainly as it can be said."""
    if isinstance(first, bool) or isinstance(second, bool):
        return first is second
    if isinstance(first, int | float) and isinstance(second, int | float):
        return first == second
    if isinstance(first, dict) and isinstance(second, dict):
        return first.keys() == second.keys() and all(plainly_equal(first[name], second[name]) for name in first)
    if isinstance(first, list) and isinstance(second, list):
        return len(first) == len(second) and all(map(plainly_equal, first, second))
    return type(first) is type(second) and bool(first == second)


@given(documents)
def test_a_document_is_equal_to_itself_however_it_is_written(document):
    texts = [
        json.dumps(document, indent=indent, sort_keys=sort).encode() for indent in (None, 2) for sort in (False, True)
    ]
    assert all(compare_bodies(texts[0], text, NONE).is_equal for text in texts)


@given(documents, documents)
def test_the_verdict_is_that_of_equality_and_the_same_both_ways(first, second):
    there, back = compare_documents(first, second, NONE), compare_documents(second, first, NONE)
    assert there.is_equal is plainly_equal(first, second)
    assert back.is_equal is there.is_equal
    assert compare_bodies(orjson.dumps(first), orjson.dumps(second), NONE).is_equal is there.is_equal


def for_deepdiff(document: Any) -> Any:
    """Return a document in which booleans are no numbers: to deepdiff True is 1."""
    if isinstance(document, bool):
        return ("boolean", str(document))
    if isinstance(document, dict):
        return {name: for_deepdiff(value) for name, value in document.items()}
    return list(map(for_deepdiff, document)) if isinstance(document, list) else document


def is_equal_to_deepdiff(first: Any, second: Any, **options: Any) -> bool:
    one, other = for_deepdiff(first), for_deepdiff(second)
    return not DeepDiff(one, other, ignore_numeric_type_changes=True, **options)


@given(documents, documents, st.data())
def test_the_verdict_is_that_of_deepdiff(first, second, data):
    near = with_changed(first, data.draw(st.sampled_from(list(leaves_of(first)) or [()])))
    for other in (first, second, near, json.loads(json.dumps(first))):
        assert compare_documents(first, other, NONE).is_equal is is_equal_to_deepdiff(first, other)


@given(st.lists(scalars, max_size=5), st.lists(scalars, max_size=5), st.randoms(use_true_random=False))
def test_where_order_says_nothing_the_verdict_is_that_of_deepdiff(first, second, chance):
    shuffled = list(first)
    chance.shuffle(shuffled)
    for other in (shuffled, second):
        ours = compare_documents({"t": first}, {"t": other}, rules(unordered={"$.t": None})).is_equal
        assert ours is is_equal_to_deepdiff(first, other, ignore_order=True, report_repetition=True)


@given(documents, documents)
def test_every_difference_is_where_it_says(first, second):
    for each in compare_documents(first, second, NONE).differences:
        one, other = (at_place(document, each.place) for document in (first, second))
        assert plainly_equal(one, each.first) if each.first is not ABSENT else one is ABSENT
        assert plainly_equal(other, each.second) if each.second is not ABSENT else other is ABSENT


def at_place(document: Any, place: tuple[str | int, ...]) -> Any:
    for key in place:
        if isinstance(key, str):
            document = document.get(key, ABSENT) if isinstance(document, dict) else ABSENT
        else:
            document = document[key] if isinstance(document, list) and key < len(document) else ABSENT
        if document is ABSENT:
            break
    return document


@given(st.dictionaries(names, documents, max_size=4), documents, documents)
def test_what_is_ignored_may_be_anything(document, one, other):
    first, second = {**document, "ignored": one}, {**document, "ignored": other}
    assert compare_documents(first, second, rules(ignore=["$.ignored"])).is_equal
    assert compare_documents(first, document, rules(ignore=["$.ignored"])).is_equal
    assert compare_documents({"a": [first]}, {"a": [second]}, rules(ignore=["$..ignored"])).is_equal


@given(st.lists(documents, max_size=5), st.randoms(use_true_random=False))
def test_any_order_is_the_same_where_order_says_nothing(items, chance):
    other = list(items)
    chance.shuffle(other)
    assert compare_documents({"t": items}, {"t": other}, rules(unordered={"$.t": None})).is_equal
    differences = compare_documents({"t": items}, {"t": other}, NONE).differences
    assert [each.kind for each in differences] in ([], [Kind.ORDER])


@given(documents, st.data())
def test_one_changed_leaf_is_always_found(document, data):
    leaves = list(leaves_of(document))
    if not leaves:
        return
    place = data.draw(st.sampled_from(leaves))
    other = with_changed(document, place)
    assert not compare_documents(document, other, NONE).is_equal
    assert not compare_documents(other, document, NONE).is_equal


def leaves_of(document: Any, place: tuple[str | int, ...] = ()) -> Any:
    pairs = (
        document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    )
    for key, below in pairs:
        yield from leaves_of(below, (*place, key))
    if not isinstance(document, dict | list):
        yield place


def with_changed(document: Any, place: tuple[str | int, ...]) -> Any:
    if not place:
        return ["changed"]
    other = copy.copy(document)
    other[place[0]] = with_changed(document[place[0]], place[1:])
    return other


def test_exact_numbers_are_compared_with_tolerance_too():
    within = rules(tolerance={"$.n": 0.1})
    assert compare_bodies(b'{"n":1.00000000000000000001}', b'{"n":1.1}', within).is_equal
    assert not compare_bodies(b'{"n":0.99999999999999999999}', b'{"n":1.1}', within).is_equal
    assert compare_documents({"n": Decimal("1.1")}, {"n": 1}, within).is_equal


def bug(number: int, order: dict[str, Any]) -> None:
    """Change a document as the bug of this number does."""
    first, line = order["customer"], order["lines"][-1]
    (
        lambda: order.pop("note"),
        lambda: order.update(total=order["total"] + 1),
        lambda: order.update(open="yes"),
        lambda: first.update(name=first["name"].lower()),
        lambda: first.update(debug=1),
        lambda: first["tags"].reverse(),
        lambda: order["lines"].append(line),
        lambda: [each.update(price=-each["price"]) for each in order["lines"]],
        lambda: [each.update(sku=None) for each in order["lines"]],
        lambda: [each.pop("count") for each in order["lines"]],
        lambda: [value.update(seen=not value["seen"]) for value in order["by_day"].values()],
        lambda: [value.update(hits=str(value["hits"])) for value in order["by_day"].values()],
    )[number]()


def an_order(number: int) -> dict[str, Any]:
    days = (f"2026-{month:02d}-{number % 28 + 1:02d}" for month in range(1, number % 3 + 2))
    lines = [{"sku": f"s{line}", "price": line + 1, "count": line} for line in range(number % 4 + 1)]
    return {
        "note": f"no {number}",
        "total": number,
        "open": True,
        "customer": {"name": f"Ana {number}", "tags": ["a", "b", str(number)]},
        "lines": lines,
        "by_day": {day: {"seen": True, "hits": number} for day in days},
    }


def test_ten_thousand_differences_of_twelve_bugs_are_twelve_clusters():
    clusters: dict[int, set[tuple[Kind, str]]] = {number: set() for number in range(12)}
    count = 0
    for number in range(7_000):
        first, second = an_order(number), an_order(number)
        bug(number % 12, second)
        differences = compare_documents(first, second, NONE).differences
        clusters[number % 12] |= {(each.kind, each.path) for each in differences}
        count += len(differences)

    assert count >= 10_000
    assert [len(found) for found in clusters.values()] == [1] * 12
    assert len(set.union(*clusters.values())) == 12


def test_levels_beyond_count_end_nothing_whatever_the_rules():
    def deep(leaf: Any) -> Any:
        for level in range(250):
            leaf = [leaf, level] if level % 2 else {"a": leaf, "b": [level]}
        return leaf

    for made in (NONE, rules(unordered={"$..*": None}), rules(unordered={"$..*": "$.a"}), rules(ignore=["$..b"])):
        assert not compare_documents(deep(1), deep(2), made).is_equal
        assert compare_documents(deep(1), deep(1), made).is_equal


def at_depth(frames: int, work: Any) -> Any:
    return work() if not frames else at_depth(frames - 1, work)


@pytest.mark.parametrize("frames", range(0, 900, 100))
def test_a_deep_stack_and_a_deep_document_end_in_an_outcome(frames):
    first, second = (b"[" * 253 + leaf + b"]" * 253 for leaf in (b"[1,2]", b"[2,3]"))

    for made in (NONE, rules(unordered={"$..*": None})):
        comparison = at_depth(frames, lambda: compare_bodies(first, second, made))  # noqa: B023
        assert not comparison.is_equal
        assert comparison.is_readable or (comparison.oddity is Oddity.TOO_DEEP and (frames or made is not NONE))
