"""Legs: the deadlines, manners and strips of one plan on its way to one side."""

from __future__ import annotations

import pytest

from proxy.core.limits import WireLimits
from proxy.core.messages import RequestHead
from proxy.core.plan import CALM, plan
from proxy.core.rules import Side, Timeouts
from proxy.gateway.legs import Leg
from proxy.gateway.outgoing import SideManner
from proxy.wire.pool import Pool
from proxy.wire.wheel import Wheel
from tests.rig import USERS, table_of


def leg_of(method: bytes, side: Side, **defaults: object) -> Leg:
    table = table_of({**USERS, "weight": 100.0}, **defaults)
    planned = plan(table, RequestHead(method, b"/api/users/1", host=b"a", peer=b"1.2.3.4"), [CALM])
    pool = Pool(side.value, ("127.0.0.1", 1), Wheel(), WireLimits(), 10)
    return Leg(planned.plan, side, pool, SideManner(b"a"))


def test_a_read_has_less_time_for_its_head_while_another_side_could_answer():
    leg = leg_of(b"GET", Side.MODERN, modern=Timeouts(head_s=15.0, head_with_fallback_s=3.0))

    assert (leg.waits.head_s, leg.quick_waits.head_s) == (15.0, 3.0)


def test_a_head_deadline_below_the_one_with_fallback_is_the_shorter_one():
    assert leg_of(b"GET", Side.MODERN, modern=Timeouts(head_s=1.0)).quick_waits.head_s == 1.0


def test_each_side_has_its_own_deadlines():
    times = {"legacy": Timeouts(idle_s=7.0, connect_s=2.0), "modern": Timeouts(idle_s=9.0)}

    assert leg_of(b"GET", Side.LEGACY, **times).waits.idle_s == 7.0
    assert leg_of(b"GET", Side.LEGACY, **times).waits.connect_s == 2.0
    assert leg_of(b"GET", Side.MODERN, **times).waits.idle_s == 9.0


@pytest.mark.parametrize(("method", "careful"), [(b"GET", False), (b"POST", True)])
def test_only_a_write_takes_nothing_but_fresh_connections(method, careful):
    assert leg_of(method, Side.LEGACY).careful is careful


def test_validators_are_stripped_towards_the_side_that_does_not_own_them():
    assert leg_of(b"GET", Side.MODERN).strips
    assert not leg_of(b"GET", Side.LEGACY).strips
    assert not leg_of(b"GET", Side.MODERN, validators="pass").strips
