"""
The faults that every change has to survive, a few seconds each: what must hold is held, how long it took is not.

All of them, at length and with figures: `make faults`.
"""

from __future__ import annotations

import pytest

from tests.faults.__main__ import FAULTS, arguments, chosen
from tests.faults.play import Result, Tempo, play

QUICK = Tempo(calm_s=0.5, fault_s=2.0, rate=100, breaker={"open_s": 1}, timeouts={"head_with_fallback_s": 0.5})
ALWAYS = ("F1", "F1I", "F2", "F5", "F7I", "F15", "F20W", "F21")


async def played(name: str) -> Result:
    return await play(FAULTS[name], QUICK)


@pytest.mark.parametrize("name", ALWAYS)
async def test_what_must_hold_holds(name):
    result = await played(name)

    assert [f"{must.what}; found: {must.found}" for must in result.musts if not must.holds] == []
    assert result.account.sent > QUICK.rate  # it was under load indeed


def test_faults_are_chosen_by_name_in_the_order_of_the_plan():
    names = [each.name for each in chosen([])]
    assert names == sorted(FAULTS, key=names.index) and names[0] == "F1" and names.index("F8") < names.index("F15")
    assert [each.name for each in chosen(["f2"])] == ["F2", "F2I", "F2L"]
    assert [each.name for each in chosen(["F5", "F2L"])] == ["F2L", "F5"]
    assert arguments(["F1", "--seconds", "3"]).seconds == 3
    with pytest.raises(SystemExit):
        arguments(["F99"])


def test_the_plan_has_every_fault_that_it_names():
    assert {"F1", "F2", "F3", "F4", "F5", "F6", "F7", "F8", "F15", "F18", "F20", "F21", "F22"} <= set(FAULTS)
    assert all(each.title for each in FAULTS.values())
