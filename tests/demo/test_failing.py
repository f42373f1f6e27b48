from __future__ import annotations

import pytest

from proxy.demo.failing import modern_fails
from proxy.demo.names import READERS
from tests.demo.pretend import pretend, rightly


@pytest.fixture(autouse=True)
def short_faults(monkeypatch):
    monkeypatch.setattr("proxy.demo.failing.ERRORS_S", 0.5)
    monkeypatch.setattr("proxy.demo.failing.RESETS_S", 0.2)


async def told(folder, answering=rightly):
    async with pretend(folder, answering) as play:
        play.stage.weights["users"] = 50.0
        async with play.burst("users", READERS):
            await modern_fails(play)
    return {claim.what: claim.held for claim in play.teller.claims}


async def test_a_gateway_that_falls_back_bears_out_every_claim(tmp_path):
    assert set((await told(tmp_path)).values()) == {True}


async def test_an_error_and_a_fallback_in_secret_are_noticed(tmp_path):
    def badly(stage, component, user):
        status, side, fallback = rightly(stage, component, user)
        if fallback and stage.counted % 3 == 0:
            return 502, side, ""
        return status, side, fallback

    claims = await told(tmp_path, badly)

    assert not claims["no reader sees an error"]
    assert not claims["every fallback is visible"]
