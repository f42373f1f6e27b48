from __future__ import annotations

import pytest

from proxy.demo.names import READERS
from tests.demo.pretend import pretend


async def test_a_panel_is_complete_when_everybody_was_seen(tmp_path):
    async with pretend(tmp_path) as play, play.burst("users", READERS):
        found = await play.panel("users", play.now())

    assert {answer.ask.user for answer in found} == set(READERS)


async def test_a_burst_ends_with_what_it_is_for(tmp_path):
    async with pretend(tmp_path) as play:
        with pytest.raises(ZeroDivisionError):
            async with play.burst("users", READERS):
                await play.collect("users", 0.0, lambda found: len(found) > 5)
                raise ZeroDivisionError
        async with play.burst("users", READERS, 2):
            pass
        reads = play.traffic.tally.reads

        assert await play.weight_in_force("users", 0) is not None
        assert play.traffic.tally.reads - reads <= 2


async def test_a_weight_that_never_comes_into_force_is_none(tmp_path, monkeypatch):
    monkeypatch.setattr("proxy.demo.play.IN_FORCE_S", 0.05)

    async with pretend(tmp_path) as play:
        assert await play.weight_in_force("users", 33) is None
