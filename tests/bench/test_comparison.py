"""What the figures of a comparison are made of is what it says it is."""

from __future__ import annotations

import asyncio

from proxy.core.compare import Answer, compare
from tests.bench.comparison import FIELDS, ODD, RULES, lateness_s, pairs


def test_the_bodies_are_alike_in_the_way_that_is_named():
    for rules in RULES.values():
        counts = {
            kind: len(compare(*(Answer(200, FIELDS, body) for body in bodies), rules).differences)
            for kind, bodies in pairs(40).items()
        }
        assert counts == {"same bytes": 0, "reformatted": 0, "members in another order": 0, "one field differs": 1}


def test_bodies_of_every_odd_kind_have_about_the_size_that_is_named():
    assert all(700_000 < len(body) < 1_200_000 for bodies in ODD.values() for body in bodies)


async def test_a_loop_that_is_held_up_is_found_late():
    loop = asyncio.get_running_loop()

    def hold_up() -> None:
        loop.call_soon_threadsafe(lambda: sum(range(3_000_000)))
        asyncio.run_coroutine_threadsafe(asyncio.sleep(0), loop).result()

    assert await lateness_s(hold_up) > 0.001
