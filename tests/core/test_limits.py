"""The limits that hold when nobody sets others."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, astuple

import pytest

from proxy.core.limits import ClientDeadlines, WireLimits


def test_the_defaults_are_those_of_the_contract():
    assert astuple(WireLimits()) == (65_536, 16_384, 100, 16_384, 0, 65_536, 8_192, 0)
    assert astuple(ClientDeadlines()) == (10.0, 30.0, 60.0)


def test_limits_cannot_be_changed_under_way():
    with pytest.raises(FrozenInstanceError):
        WireLimits().head_bytes = 1
