"""Errors print what an operator needs: place, path, what is wrong; several problems line by line."""

from __future__ import annotations

import pytest

from proxy.core.errors import (
    ConfigError,
    Conflict,
    Failure,
    GatewayError,
    NewerSchema,
    Position,
    Problem,
    Sent,
    StoreError,
    Unreadable,
    UpstreamError,
)


@pytest.mark.parametrize(
    ("problem", "text"),
    [
        (Problem(Position("users.yaml", 2, 9), "weight", "too much"), "users.yaml:2:9: weight: too much"),
        (Problem(Position("users.yaml", 2, 9), "", "is a list"), "users.yaml:2:9: is a list"),
        (Problem(Position("users.yaml"), "", "cannot be read"), "users.yaml: cannot be read"),
    ],
)
def test_a_problem_prints_as_place_path_and_sentence(problem, text):
    assert str(problem) == text


def test_problems_sort_in_the_order_of_the_file():
    late, early = (Problem(Position("a.yaml", line, 1), "x", "y") for line in (10, 9))

    assert sorted([late, early]) == [early, late]


def test_a_config_error_has_every_problem_not_just_the_first():
    problems = [Problem(Position("a.yaml", line, 1), "x", "y") for line in (1, 2)]

    assert ConfigError(problems).problems == tuple(problems)
    assert str(ConfigError(problems)) == "a.yaml:1:1: x: y\na.yaml:2:1: x: y"


def test_a_conflict_names_both_versions():
    conflict = Conflict(41, 43)

    assert (conflict.expected, conflict.actual) == (41, 43)
    assert "43" in str(conflict) and "41" in str(conflict)


def test_an_upstream_error_says_how_far_the_request_had_got():
    error = UpstreamError("modern", Failure.RESET, Sent.PARTIAL, "closed", stale=True)

    assert str(error) == "modern: closed (partial sent)"
    assert (error.failure, error.sent, error.stale) == (Failure.RESET, Sent.PARTIAL, True)


@pytest.mark.parametrize("kind", [Unreadable, NewerSchema])
def test_a_value_that_cannot_be_taken_is_the_store_s_fault(kind):
    assert issubclass(kind, StoreError) and issubclass(kind, GatewayError)
