"""What one side is sent: its caps, and when it is spared."""

from __future__ import annotations

from proxy.core.limits import PoolLimits, WireLimits
from proxy.gateway.outgoing import SideManner
from proxy.wire.instances import Place
from proxy.wire.pool import Pool
from proxy.wire.wheel import Wheel
from proxy.workers.loads import Load
from tests.rig import Clock


def load(concurrency: int = 1, per_s: float = 0.0) -> Load:
    pool = Pool("modern", [Place("127.0.0.1", 9)], Wheel(Clock()), WireLimits(), PoolLimits(4))
    return Load(pool, SideManner((b"127.0.0.1:9",)), concurrency, per_s, "X-App-Version")


def test_a_side_without_trouble_and_cap_refuses_nothing():
    assert load().refuses(0.0) == ""


def test_the_cap_is_told_from_the_trouble():
    found = load(per_s=1.0)

    assert [found.refuses(0.0), found.refuses(0.0)] == ["", "cap"]
    found.back_off.wait(10.0)
    assert found.refuses(5.0) == "backed_off"


def test_the_name_of_the_version_field_is_in_lower_case():
    assert load().version_header == b"x-app-version"
    assert not load().has_room
