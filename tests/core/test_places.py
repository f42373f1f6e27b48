"""The automaton of JSONPaths against python-jsonpath itself: the same places, whatever the path and the document."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.jsonpaths import query_of, steps_of
from proxy.core.places import State, places

DOCUMENT = {
    "a": {"b": 1, "items": [{"id": 1, "at": "x"}, {"id": 2, "at": "y", "b": {"at": 0}}]},
    "items": [[1, 2, [3]], {"at": 5}],
    "at": None,
    "x y": {"": 1},
}


def walked(
    state: State[str], document: Any, place: tuple[str | int, ...] = ()
) -> set[tuple[str, tuple[str | int, ...]]]:
    """Return (value, place) for each place that a path names."""
    found = {(value, place) for value in state.values}
    if isinstance(document, dict):
        for key, below in document.items():
            found |= walked(state.step(key), below, (*place, key))
    elif isinstance(document, list):
        for index, below in enumerate(document):
            found |= walked(state.item(index, len(document)), below, (*place, index))
    return found


def of(*paths: str) -> State[str]:
    steps = [(steps_of(path), path) for path in paths]
    assert all(found is not None for found, _ in steps)
    return places((found, path) for found, path in steps if found is not None)


PATHS = [
    "$", "$.a", "$.a.b", "$.a.items[*].at", "$..at", "$..items[*]", "$..items..at", "$.items[0]", "$.items[-1].at",
    "$.items[0][-1][0]", "$['x y']['']", "$['a','at']", "$.*", "$..*", "$..[0]", "$.a['items'][0,-1].id", "$.none.at",
    "$..b..at", "$.*.*", "$[*]",
]  # fmt: skip


@pytest.mark.parametrize("path", PATHS)
def test_a_path_names_the_places_that_the_standard_says(path):
    assert {place for _, place in walked(of(path), DOCUMENT)} == set(query_of(path)(DOCUMENT))


def test_many_paths_at_once_are_each_of_them():
    expected = {(path, place) for path in PATHS for place in query_of(path)(DOCUMENT)}
    assert walked(of(*PATHS), DOCUMENT) == expected


def test_what_several_paths_say_of_one_place_comes_in_their_order():
    state = of("$..b", "$.a.*", "$.a.b", "$.a..b")
    assert state.step("a").step("b").values == ("$..b", "$.a.*", "$.a.b", "$.a..b")


@pytest.mark.parametrize("path", ["$[?@.id>1]", "$.a[0:2]", "$.items[?@.at].at"])
def test_filters_and_slices_are_not_for_the_automaton(path):
    assert steps_of(path) is None
    assert isinstance(query_of(path)(DOCUMENT), list)


def test_where_no_path_leads_there_is_nothing_below():
    state = of("$.a.b", "$.items[0]")
    assert state.step("other").is_empty
    assert state.step("a").step("c").is_empty
    assert not state.step("a").is_empty
    assert not of("$..x").step("anything").step("else").is_empty


names = st.sampled_from(("a", "b", "c"))
documents = st.recursive(
    st.integers(0, 3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=12,
)
steps = st.one_of(
    names.map(lambda name: f".{name}"),
    names.map(lambda name: f"..{name}"),
    st.sampled_from(("[*]", "..[*]", "[0]", "[-1]", "[1]", "['a','b']", "..[0]", ".*", "[0,-1]")),
)


@given(st.lists(st.lists(steps, max_size=4).map(lambda found: "$" + "".join(found)), min_size=1, max_size=4), documents)
def test_every_automaton_agrees_with_the_library(paths, document):
    expected = {(path, place) for path in set(paths) for place in query_of(path)(document)}
    assert walked(of(*set(paths)), document) == expected
