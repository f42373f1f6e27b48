from __future__ import annotations

import io

import pytest
from rich.console import Console

from proxy.demo.telling import Claim, Teller, met


@pytest.fixture
def teller():
    return Teller(Console(file=io.StringIO(), width=100))


def test_claims_are_told_at_once_and_again_in_the_table(teller):
    teller.scene("First", "What it is about")
    teller.claim("two and two", "is four", True)
    teller.claim("[red]markup", "is [not] heeded", False)
    teller.console.print(teller.table())

    said = teller.console.file.getvalue()
    assert teller.claims[0] == Claim("First", "two and two", "is four", True)
    assert not teller.all_held
    for text, times in {"two and two": 2, "✓": 2, "✗": 2, "[red]markup": 2, "is [not] heeded": 2}.items():
        assert said.count(text) == times


def test_commands_are_not_broken(teller):
    command = "redis-cli -s " + "/long" * 40

    teller.typed(command)

    assert f"$ {command}\n" in teller.console.file.getvalue()


def test_what_a_command_printed_is_shown_line_by_line_and_is_no_claim(teller):
    teller.line("read [this]")
    teller.shown("compare:\n  ignore: [$.a]\n")

    assert teller.console.file.getvalue() == "  read [this]\n    compare:\n      ignore: [$.a]\n"
    assert teller.claims == []


async def test_waiting_ends_with_the_condition_or_in_time():
    turns = iter(range(100))

    async def later():
        return next(turns) > 2

    assert await met(lambda: True, 0) < 1
    assert await met(later, 5) > 0
    assert await met(later, 5, 0.001) is not None
    assert await met(lambda: False, 0.05) is None
