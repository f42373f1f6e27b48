"""The short way says what the long way says, or nothing."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from proxy.core.comparerules import CompareRules
from proxy.core.documents import compare_bodies, compare_documents
from proxy.core.jsonpaths import steps_of
from proxy.core.model import Compare
from proxy.core.shortcut import Cut, cut_of, explained_by


def rules_of(*paths: str) -> CompareRules:
    return CompareRules(Compare.model_validate({"ignore": list(paths)}))


TOP, DEEP, BOTH = rules_of("$.at"), rules_of("$..at"), rules_of("$.at", "$.id")


def told(first: bytes, second: bytes, rules: CompareRules = TOP) -> tuple[str, ...] | None:
    return explained_by(first, second, rules.cuts)


@pytest.mark.parametrize(
    ("path", "cut"),
    [
        ("$.at", Cut(b'"at":', "at", "ignore $.at")),
        ("$..at", Cut(b'"at":', None, "ignore $..at")),
        ("$.a.at", None),
        ("$.items[*].at", None),
        ("$[0]", None),
        ("$.*", None),
        ("$", None),
        ("$['a b']", None),
        ("$[?@.a].at", None),
    ],
)
def test_only_paths_to_one_member_are_cut(path, cut):
    steps = steps_of(path)

    assert (None if steps is None else cut_of(steps, f"ignore {path}")) == cut


@pytest.mark.parametrize(
    ("first", "second", "rules", "expected"),
    [
        (b'{"at":"x","id":1}', b'{"at":"yy","id":1}', TOP, ("ignore $.at",)),
        (b'{"id":1,"at": 5}', b'{"id":1,"at": -1.5e3}', TOP, ("ignore $.at",)),
        (b'{"at":null}', b'{"at":true}', TOP, ("ignore $.at",)),
        (b'{"at":1,"id":1}', b'{"at":2,"id":2}', BOTH, ("ignore $.at", "ignore $.id")),
        (b'{"id":1,"at":1}', b'{"id":2,"at":1}', BOTH, ("ignore $.id",)),
        (b'{"a":{"at":1}}', b'{"a":{"at":2}}', DEEP, ("ignore $..at",)),
        (b'{"a":{"at":1}}', b'{"a":{"at":2}}', TOP, None),  # not at the top
        (b'{"at":1,"a":{"at":1}}', b'{"at":2,"a":{"at":1}}', TOP, None),  # twice: which one is it?
        (b'{"at":[1]}', b'{"at":[2]}', TOP, None),
        (b'{"at":"a\\"b"}', b'{"at":"c"}', TOP, None),
        (b'{"at":1}', b"{}", TOP, None),
        (b'{"at":1,"id":1}', b'{"at":2,"id":2}', TOP, None),
        (b'{"at":1}{', b'{"at":2}{', TOP, None),
        (b'{"at":1', b'{"at":2', TOP, None),
        (b'{"at":01}', b'{"at":02}', TOP, None),
        (b'{"at":1}', b'{"at":02}', TOP, None),
        (b'{"at":1}', b'{"at":1.}', TOP, None),
        (b'{"x":"\\"at":1}', b'{"x":"\\"at":2}', TOP, None),  # no JSON, and a name within a text
        (b'{"x\\"at":1,"at":1}', b'{"x\\"at":2,"at":1}', TOP, None),
        (b'{"n":9007199254740993.0,"at":1}', b'{"n":9007199254740992.0,"at":2}', TOP, None),
        (b'["at",{"at":1}]', b'["at",{"at":2}]', TOP, None),
    ],
)
def test_it_is_sure_or_says_nothing(first, second, rules, expected):
    assert told(first, second, rules) == expected


def test_the_long_way_finds_what_the_short_one_leaves():
    found = compare_bodies(b'{"at":1,"id":1}', b'{"at":2,"id":2}', TOP)

    assert [each.path for each in found.differences] == ["$.id"]


names = st.sampled_from(["at", "id", 'x"at', "a"])
values = st.recursive(
    st.sampled_from([0, 1, -1.5, None, True, "", "at", '"at":', 'a"at":1', "ä", "\\", "x\ny"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(names, inner, max_size=3),
    max_leaves=6,
)
documents = st.dictionaries(names, values, max_size=4)
writers = st.sampled_from(
    [orjson.dumps, lambda it: json.dumps(it).encode(), lambda it: json.dumps(it, indent=1).encode()]
)


def changed(document: dict[str, Any], value: Any, name: str) -> dict[str, Any]:
    return {**document, name: value} if name in document else document


@given(documents, values, names, writers, st.sampled_from([TOP, DEEP, BOTH]))
@example({"at": 1, "a": {"at": 1}}, 2, "at", orjson.dumps, TOP)
@example({'x"at': 1, "at": 1}, 2, 'x"at', orjson.dumps, TOP)
def test_whenever_it_says_something_the_long_way_says_the_same(document, value, name, write, rules):
    other = changed(document, value, name)
    found = told(write(document), write(other), rules)

    if found is not None:
        walked = compare_documents(document, other, rules)
        assert walked.is_equal
        assert set(found) == set(walked.explained)


@given(st.binary(max_size=40), st.binary(max_size=40), st.sampled_from([TOP, DEEP, BOTH]))
def test_whatever_comes_it_raises_nothing(first, second, rules):
    for before in (b"", b'{"at":', b'{"id":1,"at":"'):
        told(before + first, before + second, rules)


@given(documents, documents, writers, st.sampled_from([TOP, DEEP, BOTH]))
def test_two_documents_are_equal_by_bytes_only_if_they_are(first, second, write, rules):
    if told(write(first), write(second), rules) is not None:
        assert compare_documents(first, second, rules).is_equal
