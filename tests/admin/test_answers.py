from __future__ import annotations

import json

import pytest

from proxy.admin.answers import Refused, problem, refusal_of, said
from proxy.core.errors import ConfigError, Conflict, GatewayError, NotAllowed, Position, Problem, StoreError


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (Conflict(41, 42), 409),
        (NotAllowed("users comes first"), 422),
        (ConfigError([Problem(Position("users"), "weight", "should be 0 to 100, is 140")]), 422),
        (StoreError("the store is away"), 503),
        (GatewayError("?"), 500),
    ],
)
def test_each_kind_of_error_has_its_status(error, status):
    assert refusal_of(error).status == status


def test_a_conflict_names_both_versions():
    assert refusal_of(Conflict(41, 42)).more == {"expected": 41, "version": 42}


def test_a_refusal_is_a_problem_document():
    answer = problem(Refused(409, "look again", {"X-More": "1"}, version=42))

    assert (answer.status, answer.content_type) == (409, "application/problem+json")
    assert answer.headers["X-More"] == "1"
    assert json.loads(answer.body) == {
        "type": "about:blank",
        "title": "Conflict",
        "status": 409,
        "detail": "look again",
        "version": 42,
    }


def test_data_is_json():
    answer = said({"version": 41})

    assert (answer.status, answer.content_type) == (200, "application/json")
    assert json.loads(answer.body) == {"version": 41}
