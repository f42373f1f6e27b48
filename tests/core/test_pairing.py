"""Items that belong together: by key, by what they say, and by the nearest number where one need not be the same."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.comparerules import CompareRules
from proxy.core.documents import compare_documents
from proxy.core.model import Compare
from proxy.core.pairing import paired, written


def rules(**compare: Any) -> CompareRules:
    return CompareRules(Compare.model_validate(compare))


@pytest.mark.parametrize(
    ("compare", "key", "first", "second", "expected"),
    [
        ({}, None, [1, 2, 3], [3, 1, 2], ([(0, 1), (1, 2), (2, 0)], [], [])),
        ({}, None, [1, 1, 2], [1, 2, 2], ([(0, 0), (2, 1)], [1], [2])),
        ({}, None, [1, True, "1"], ["1", 1.0, True], ([(0, 1), (1, 2), (2, 0)], [], [])),
        ({}, None, [{"a": 1, "b": 2}], [{"b": 2, "a": 1}], ([(0, 0)], [], [])),
        ({"ignore": ["$[*].at"]}, None, [{"at": 1, "n": 1}, {"n": 2}], [{"n": 2, "at": 3}, {"n": 1}],
         ([(0, 1), (1, 0)], [], [])),
        ({}, ("id",), [{"id": 1}, {"id": 2}], [{"id": 2, "n": 1}, {"id": 3}], ([(1, 0)], [0], [1])),
        ({"tolerance": {"$[*]": 1}}, None, [0, -1], [1, 0], ([(0, 0), (1, 1)], [], [])),
        ({"tolerance": {"$[*]": 1}}, None, [0, 9], [9.5, -0.5], ([(0, 1), (1, 0)], [], [])),
        ({"tolerance": {"$[*]": 1}}, None, ["a", "b", 5], [6, "b", "a"], ([(0, 2), (1, 1), (2, 0)], [], [])),
        ({"tolerance": {"$[*].n": 1}}, None, [{"n": 1, "k":1}, {"n": 9, "k":1}], [{"k":1, "n": 9.5}, {"n": 0, "k":1}],
         ([(0, 1), (1, 0)], [], [])),
    ],
)  # fmt: skip
def test_items_that_belong_together_are_paired(compare, key, first, second, expected):
    assert paired(first, second, rules(**compare).root(), key) == expected


def test_more_than_is_wanted_is_left_alone():
    state = rules(ignore=["$[*].at"]).root()
    first, second = [{"at": n, "n": n} for n in range(9)], [{"at": -n, "n": n} for n in range(9)]

    assert paired(first, second, state, most=7)[1] == list(range(1, 9))
    assert paired(first, second, state, most=8)[1] == []


@given(st.lists(st.floats(-1e6, 1e6) | st.integers(-1_000, 1_000)), st.randoms(use_true_random=False))
def test_numbers_that_moved_a_little_and_were_shuffled_are_equal(numbers, chance):
    moved = [number + chance.uniform(-0.4, 0.4) for number in numbers]
    chance.shuffle(moved)
    made = rules(unordered={"$.t": None}, tolerance={"$.t[*]": 0.5})

    assert compare_documents({"t": numbers}, {"t": moved}, made).is_equal


def test_lists_in_lists_cost_no_more_with_each_level():
    document: Any = [1, 2]
    for level in range(60):
        document = [document, f'"{level}"']
    state = rules(unordered={"$..*": None}).root()

    assert paired([document, 1.0], [1, document], state) == ([(0, 1), (1, 0)], [], [])


@pytest.mark.parametrize(
    ("value", "expected"),
    [({"b": 1, "a": 2}, b'{"a":2,"b":1}'), (10**30, b"1000000000000000000000000000000"), (Decimal("1.50"), b'"1.50"')],
)
def test_a_value_is_written_in_one_way(value, expected):
    assert written(value) == expected


def test_what_is_written_of_many_items_takes_little_memory():
    """The library that writes JSON leaves room for 4 KB behind each text, which tracemalloc does not see."""
    before = _resident_kb()
    texts = [written(number) for number in range(50_000)]

    assert _resident_kb() - before < 50_000
    assert len(texts) == 50_000


def _resident_kb() -> int:
    return int(next(line for line in open("/proc/self/status") if line.startswith("VmRSS")).split()[1])
