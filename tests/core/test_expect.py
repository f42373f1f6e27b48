from __future__ import annotations

import pytest

from proxy.core.errors import Position
from proxy.core.expect import check_expectations
from proxy.core.plan import compile_table
from proxy.core.rules import RuleSet, parse_component

USERS = parse_component(
    {
        "component": "users",
        "weight": 50,
        "routes": {
            "/api/users": {},
            "/api/users/{id}": {"entity": "{id}"},
            "POST /rpc/GetUser": {"kind": "read", "entity": "body:$.user.id"},
        },
    },
    file="users.yaml",
)
CHATS = parse_component({"component": "chats", "routes": {"/api/chats/{rest...}": {}}}, file="chats.yaml")
TABLE = compile_table(RuleSet(epoch="e", version=1, who="", why="", at="", components={"users": USERS, "chats": CHATS}))


def said(*entries):
    return [str(problem) for problem in check_expectations(TABLE, list(entries))]


@pytest.mark.parametrize(
    "entry",
    [
        {"request": "GET /api/users", "component": "users", "kind": "read", "entity": None},
        {"request": "GET /api/users/42?full=1", "component": "users", "entity": "42"},
        {"request": "GET /api/users/42", "entity": 42},
        {"request": "GET /api/users/42", "entity": "users/42"},
        {"request": "GET /api/users/a%20b", "entity": "a b"},
        {"request": "PUT /api/users/42", "kind": "write"},
        {"request": "GET /api/users/42", "headers": {"X-HTTP-Method-Override": "DELETE"}, "kind": "write"},
        {"request": "GET /api/chats/live", "headers": {"Upgrade": "websocket"}, "kind": "tunnel"},
        {"request": "POST /rpc/GetUser", "body": {"user": {"id": 7}}, "kind": "read", "entity": 7},
        {"request": "POST /rpc/GetUser", "entity": None},
        {"request": "GET /elsewhere", "component": "unclaimed", "entity": None},
    ],
)
def test_an_expectation_that_is_met_says_nothing(entry):
    assert said(entry) == []


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        (
            {"request": "GET /api/users/42", "component": "chats"},
            "component: expected `chats`, but `GET /api/users/42` goes to `users` (route `/api/users/{id}`)",
        ),
        (
            {"request": "GET /api/users/42", "component": "user"},
            "component: expected `user`, but `GET /api/users/42` goes to `users` (route `/api/users/{id}`); "
            "did you mean `users`?",
        ),
        (
            {"request": "GET /api/user/42", "component": "users"},
            "component: expected `users`, but `GET /api/user/42` goes to `unclaimed` (no route claims it)",
        ),
        (
            {"request": "GET /api/users/42", "component": "unclaimed"},
            "component: expected `unclaimed`, but `GET /api/users/42` goes to `users` (route `/api/users/{id}`)",
        ),
        (
            {"request": "POST /api/users", "kind": "read"},
            "kind: expected a read, but `POST /api/users` is a write (route `/api/users`)",
        ),
        (
            {"request": "GET /api/users/42", "entity": "43"},
            "entity: expected the entity `43`, but `GET /api/users/42` touches `42` (route `/api/users/{id}`)",
        ),
        (
            {"request": "GET /api/users/42", "entity": "users/43"},
            "entity: expected the entity `users/43`, but `GET /api/users/42` touches `users/42` "
            "(route `/api/users/{id}`)",
        ),
        (
            {"request": "GET /api/users/42", "entity": None},
            "entity: expected no entity, but `GET /api/users/42` touches `42` (route `/api/users/{id}`)",
        ),
        (
            {"request": "GET /api/users", "entity": "42"},
            "entity: expected the entity `42`, but `GET /api/users` touches none (route `/api/users`)",
        ),
    ],
)
def test_an_expectation_that_is_not_met_says_what_happens_instead(entry, problem):
    assert said(entry) == [f"expect.yaml: 0.{problem}"]


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        ({"request": "GET /a"}, "0: expects nothing; say which component, kind or entity it must get"),
        ({"kind": "read"}, "0.request: is missing"),
        ({"request": "/a", "kind": "read"}, "0.request: should be a method, one space and a path, is `/a`"),
        (
            {"request": "GET /ä", "kind": "read"},
            "0.request: should be a path as it stands in a request: ASCII, everything else percent-encoded",
        ),
        (
            {"request": "GET /a", "kind": "reed"},
            "0.kind: should be read, write or tunnel, is `reed`; did you mean `read`?",
        ),
        ({"request": "GET /a", "entiti": 1}, "0.entiti: unknown key; did you mean `entity`?"),
    ],
)
def test_an_expectation_that_is_none_is_refused(entry, problem):
    assert said(entry) == [f"expect.yaml: {problem}"]


@pytest.mark.parametrize(("values", "problems"), [(None, []), ([], []), ({}, ["should be a list, is a mapping"])])
def test_the_file_is_a_list_or_empty(values, problems):
    assert [problem.what for problem in check_expectations(TABLE, values)] == problems


def test_every_unmet_expectation_is_told_at_its_place():
    positions = {
        (0,): Position("expect.yaml", 1, 3),
        (0, "kind"): Position("expect.yaml", 2, 9),
        (1,): Position("expect.yaml", 3, 3),
    }
    entries = [{"request": "GET /api/users", "kind": "write"}, {"request": "GET /api/users"}]

    problems = check_expectations(TABLE, entries, positions=positions)

    assert [problem.at for problem in problems] == [Position("expect.yaml", 2, 9), Position("expect.yaml", 3, 3)]


def test_an_entry_that_is_none_hides_no_other():
    entries = [{"kind": "read"}, {"request": "GET /api/users", "kind": "write"}, "GET /", {"request": "GET /a"}]

    told = [problem.where for problem in check_expectations(TABLE, entries)]

    assert sorted(told) == ["0.request", "1.kind", "2", "3"]
