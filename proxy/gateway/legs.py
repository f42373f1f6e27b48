"""
Legs: what it takes to send the requests of one plan to one side, put together once and used by all of them.

Hot: it is why an exchange looks nothing up but this. Values and references only; decides and sends nothing.
"""

from __future__ import annotations

from proxy.core.breaker import Breaker, Budget
from proxy.core.decision import Plan
from proxy.core.phases import RequestKind
from proxy.core.rules import Side
from proxy.core.stats import Histogram
from proxy.gateway.copies import Watcher
from proxy.gateway.outgoing import SideManner
from proxy.wire.pool import Pool, Waits


class Leg:
    """One plan on its way to one side."""

    __slots__ = (
        "added", "added_all", "breaker", "budget", "careful", "classes", "component", "exchange_s", "latency", "manner",
        "pool", "quick_waits", "side", "strips", "tells_bucket", "waits",
        "watcher",
    )  # fmt: skip

    def __init__(self, plan: Plan, side: Side, pool: Pool, manner: SideManner) -> None:
        planned = side is plan.side
        deadlines = plan.deadlines if planned else plan.fallback_deadlines
        self.side = side
        self.component = plan.component or ""
        self.pool = pool
        self.manner = manner
        self.careful = plan.kind is RequestKind.WRITE  # only fresh connections: what was sent is never sent again
        self.strips = plan.strip_validators if planned else plan.fallback_strips
        self.waits = Waits(deadlines.connect_s, deadlines.head_s, deadlines.idle_s, queue_s=deadlines.connect_s)
        quick_head_s = min(deadlines.head_s, deadlines.head_with_fallback_s)
        self.quick_waits = Waits(deadlines.connect_s, quick_head_s, deadlines.idle_s)  # the other side need not wait
        self.exchange_s = deadlines.exchange_s
        self.added = b""  # lines of every answer, ready-joined; a bucket may follow
        self.added_all = b""  # the same where there is none
        self.tells_bucket = False
        self.breaker: Breaker | None = None
        self.budget: Budget | None = None  # of reads
        self.classes: list[int] = []  # counts by status class
        self.watcher: Watcher | None = None  # of reads that this side was planned for
        self.latency: Histogram
