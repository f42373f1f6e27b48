"""
Should this process get traffic? What /readyz says, and a metric.
"""

from __future__ import annotations

from proxy.admin.house import House
from proxy.store.holding import Source


def not_ready(house: House) -> tuple[str, ...]:
    """
    Return why this process should get no traffic now, one sentence each; nothing when it should.

    Rules from the store or a snapshot of it are good enough, however long the store is away by now. Files alone are
    not, unless the operator trusts them: somebody may have taken a component back since.
    """
    state = house.state
    reasons: tuple[str, ...] = ("it was told to end",) if house.draining else ()
    known = state.read_once or state.source in (Source.STORE, Source.SNAPSHOT)
    if not known and house.settings.cold_start != "trust-files":
        reasons += ("the rule store was not read once yet, and there is no snapshot of it",)
    return reasons
