from __future__ import annotations

import pytest

from proxy.cli.exits import code_of, end
from proxy.cli.words import BadWord
from proxy.core.errors import ConfigError, Conflict, NotAllowed, Position, Problem, StoreError

CASES = [
    (ValueError("x"), 1),
    (BadWord("x"), 2),
    (NotAllowed("x"), 3),
    (ConfigError([]), 4),
    (StoreError("x"), 5),
    (Conflict(41, 42), 6),
    (KeyboardInterrupt(), 130),
]


@pytest.mark.parametrize(("error", "code"), CASES)
def test_each_kind_of_error_has_its_exit_code(error, code):
    assert code_of(error) == code


@pytest.mark.parametrize("error", [error for error, _ in CASES[:-1]])
def test_an_error_is_told_without_a_traceback(error, capsys, monkeypatch):
    monkeypatch.delenv("BANYAN_DEBUG", raising=False)

    end(error)

    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("banyan: ")
    assert "Traceback" not in err


def test_debug_shows_the_traceback(capsys, monkeypatch):
    monkeypatch.setenv("BANYAN_DEBUG", "1")

    end(ValueError("x"))

    assert "ValueError" in capsys.readouterr().err


def test_every_problem_has_its_own_line(capsys):
    problems = [
        Problem(Position("users.yaml", 2, 9), "weight", "should be 0 to 100, is 140"),
        Problem(Position("users.yaml", 3, 1), "phaze", "unknown key; did you mean `phase`?"),
    ]

    assert end(ConfigError(problems)) == 4

    assert capsys.readouterr().err.splitlines() == [
        "banyan: 2 problems found",
        "users.yaml:2:9: weight: should be 0 to 100, is 140",
        "users.yaml:3:1: phaze: unknown key; did you mean `phase`?",
    ]


def test_what_a_file_refuses_is_said_with_its_name(capsys):
    end(FileNotFoundError(2, "No such file or directory", "config.yaml"))

    assert capsys.readouterr().err == "banyan: config.yaml: No such file or directory\n"
