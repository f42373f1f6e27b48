from __future__ import annotations

import pytest

from proxy.cli import tables


def explanation(**more):
    steps = [{"name": name, "text": "because"} for name in ("eligible", "choice", "breaker")]
    known = {"method": "GET", "path": "/x", "side": "modern", "reason": "weight", "refusal": None, "steps": steps}
    return known | {"component": "users", "route": "/x", "bucket": 7, "fallback": None} | more


def test_an_explanation_says_who_then_why(capsys):
    tables.put_explanation(explanation())

    assert capsys.readouterr().out.splitlines() == [
        "GET /x → modern (weight)",
        "  1. eligible: because",
        "  2. choice: because",
        "  3. breaker: because",
        "  component users, route /x, bucket 7",
    ]


def test_a_refusal_is_said_with_its_status(capsys):
    tables.put_explanation(explanation(refusal={"status": 400, "why": "x"}))

    assert capsys.readouterr().out.startswith("GET /x → refused with 400 (weight)")


def test_nothing_is_drawn_of_no_difference(capsys):
    tables.put_diff([])

    assert capsys.readouterr().out == ""


def test_what_looks_like_markup_is_text(capsys):
    tables.put_findings([{"what": "[red]x[/red]", "state": "ok", "says": ":smile: [bold]"}])

    assert capsys.readouterr().out == "✓ [red]x[/red]: :smile: [bold]\n"


@pytest.mark.parametrize("name", ["NO_COLOR", "TERM"])
def test_where_nobody_sees_colour_there_is_none(capsys, monkeypatch, name):
    monkeypatch.setenv(name, "dumb")

    tables.put_findings([{"what": "a", "state": "failure", "says": "b"}])
    tables.clear()

    assert capsys.readouterr().out == "✗ a: b\n"


def test_a_long_value_is_not_cut_where_nobody_sees_the_width(capsys, monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)

    tables.put_history([{"version": 1, "at": "t", "who": "ana", "why": "w" * 90, "changes": ["c"]}])

    assert "w" * 90 in capsys.readouterr().out


def test_what_steers_a_terminal_is_shown_instead_of_sent(capsys):
    """Names and reasons come from a store where anybody may write."""
    tables.put_findings([{"what": "a\x1b[2J\x9b", "state": "ok", "says": "\x07 \u202eevil\nnext"}])

    assert capsys.readouterr().out == "✓ a\\x1b[2J\\x9b: \\x07 \\u202eevil\nnext\n"


def status(*parents: str) -> dict[str, object]:
    replicas = [
        {"id": f"r{at}", "version": 1, "current": True, "source": "store", "build": "0", "started": "s", "parent": name}
        for at, name in enumerate(parents)
    ]
    return {"version": 0, "components": {}, "because": [], "drifts": [], "replicas": replicas, "degraded": False,
            "emergencies": {}}  # fmt: skip


def test_processes_of_one_parent_are_shown_as_such_and_only_then(capsys):
    tables.put_status(status("h-1-ab", "h-1-ab", ""))
    together = capsys.readouterr().out
    tables.put_status(status("", ""))

    assert "parent" in together and together.count("h-1-ab") == 2
    assert "parent" not in capsys.readouterr().out


def test_what_was_compared_is_said_with_what_does_not_count(capsys):
    compared = {"said": "fewer than 0.10 % differ", "noise": 1_200, "inconclusive": 0, "declined": 0, "failed": 3,
                "dropped": 0, "skipped": 0}  # fmt: skip

    assert list(tables._compared(compared)) == [
        "compared: fewer than 0.10 % differ",
        "not counted in that: 1,200 noise, 3 failed",
    ]
