from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.circles import circles

NAMES = "abcdefg"


class Counted(dict):
    """A graph that counts how often somebody asks for the ways out of a place."""

    asked = 0

    def __getitem__(self, name):
        self.asked += 1
        return super().__getitem__(name)


def reached(ways, start):
    """Return everything that can be reached from `start` in one step or more."""
    found, new = set(), set(ways[start])
    while new:
        found |= new
        new = {there for name in new for there in ways.get(name, ())} - found
    return found


@given(st.dictionaries(st.sampled_from(NAMES), st.lists(st.sampled_from(NAMES), max_size=4)))
def test_each_knot_is_told_once_by_a_circle_through_its_first_name(ways):
    known = {name: [each for each in there if each in ways and each != name] for name, there in ways.items()}
    knots = {
        frozenset(each for each in reached(known, name) if name in reached(known, each))
        for name in known
        if name in reached(known, name)
    }

    found = circles(ways)
    assert [circle[0] for circle in found] == sorted(min(knot) for knot in knots)
    for circle in found:
        assert len(set(circle)) == len(circle) >= 2
        assert all(there in ways[here] for here, there in zip(circle, (*circle[1:], circle[0]), strict=True))


def test_of_two_ways_round_the_shorter_one_is_told():
    assert circles({"a": ["b", "c"], "b": ["d"], "c": ["b"], "d": ["a"]}) == (("a", "b", "d"),)


@pytest.mark.parametrize("shape", ["ring", "chain", "full", "pairs"])
def test_the_work_grows_with_the_graph_and_not_with_its_square(shape):
    count = 3_000
    ways = {
        "ring": {f"c{n}": [f"c{(n + 1) % count}"] for n in range(count)},
        "chain": {f"c{n}": [f"c{n + 1}"] for n in range(count)},
        "full": {f"c{n}": [f"c{m}" for m in range(60)] for n in range(60)},
        "pairs": {f"c{n}": [f"c{n ^ 1}"] for n in range(count)},
    }[shape]
    counted = Counted(ways)
    circles(counted)

    assert counted.asked <= 3 * len(ways)
