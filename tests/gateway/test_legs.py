"""Legs: what one plan needs on its way to one side, for the planned side and for the one that stands in."""

from __future__ import annotations

from proxy.core.plan import CALM, plan
from proxy.core.rules import Side, Timeouts
from proxy.gateway.legs import Leg
from proxy.gateway.outgoing import SideManner
from proxy.wire.pool import Pool
from tests.core.planning import component, head, table

LEGACY = Timeouts(connect_s=2, head_s=20, head_with_fallback_s=4, idle_s=50, exchange_s=7)
MODERN = Timeouts(connect_s=1, head_s=2, head_with_fallback_s=3, idle_s=40)
TABLE = table(component("users", kind="entity", weight=100.0), legacy=LEGACY, modern=MODERN)


def leg(method: str, side: Side, pool: Pool | None = None) -> Leg:
    decided = plan(TABLE, head(method, "/api/users/42"), (CALM,)).plan
    return Leg(decided, side, pool, SideManner((b"a",)))  # type: ignore[arg-type]


def test_each_side_has_its_own_deadlines():
    modern, legacy = leg("GET", Side.MODERN), leg("GET", Side.LEGACY)

    assert (modern.waits.connect_s, modern.waits.head_s, modern.waits.idle_s) == (1, 2, 40)
    assert (legacy.waits.connect_s, legacy.waits.head_s, legacy.waits.idle_s) == (2, 20, 50)
    assert (modern.exchange_s, legacy.exchange_s) == (0, 7)


def test_while_another_side_could_answer_a_head_must_come_sooner_but_never_later():
    assert leg("GET", Side.LEGACY).quick_waits.head_s == 4
    assert leg("GET", Side.MODERN).quick_waits.head_s == 2


def test_only_who_has_no_other_side_waits_for_a_connection():
    assert leg("GET", Side.MODERN).quick_waits.queue_s == 0
    assert (leg("GET", Side.MODERN).waits.queue_s, leg("POST", Side.LEGACY).waits.queue_s) == (1, 2)


def test_writes_are_careful_and_reads_are_not():
    assert leg("POST", Side.LEGACY).careful
    assert not leg("GET", Side.MODERN).careful


def test_validators_are_stripped_for_the_side_that_does_not_own_them():
    assert leg("GET", Side.MODERN).strips
    assert not leg("GET", Side.LEGACY).strips
    assert not leg("POST", Side.LEGACY).strips
    shared = table(component("users", weight=100.0), validators="pass")
    decided = plan(shared, head("GET", "/api/users/42"), (CALM,)).plan
    assert not Leg(decided, Side.MODERN, None, SideManner((b"a",))).strips  # type: ignore[arg-type]


def test_a_leg_knows_its_component_and_side():
    made = leg("GET", Side.MODERN)
    assert (made.component, made.side, made.manner.authorities) == ("users", Side.MODERN, (b"a",))
