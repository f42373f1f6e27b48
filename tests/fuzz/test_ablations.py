"""The judge can fail: with any one rule of the wire taken out, it finds something soon."""

from __future__ import annotations

import pytest

from tests.fuzz.ablations import ABLATIONS
from tests.fuzz.campaign import Campaign

WITHIN = 1500  # conversations; most are found within 50


@pytest.mark.parametrize("name", ABLATIONS)
async def test_without_a_rule_of_the_wire_something_is_found(name):
    campaign = Campaign(1)
    with ABLATIONS[name]():
        async for found in campaign.findings(lambda: campaign.played < WITHIN):
            assert found.finding.detail
            return
    pytest.fail(f"nothing was found in {WITHIN} conversations")
