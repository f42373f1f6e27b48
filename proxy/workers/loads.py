"""
What each side is sent behind the answers: over connections of its own, within caps, less of it while it has trouble.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from proxy.core.sampling import BackOff, Cap
from proxy.gateway.outgoing import SideManner
from proxy.wire.pool import Pool

if TYPE_CHECKING:
    from proxy.workers.asked import Asked


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much is done behind the answers, at most."""

    timeout_s: float = 5.0  # of one read, from its first byte to its last
    body_bytes: int = 1_048_576  # of one answer
    buffer_bytes: int = 67_108_864  # of all answers that wait
    pending: int = 256  # reads that wait for one side
    floor_per_h: float = 60.0  # comparisons that each route gets at least


class Load:
    """
    One side's share of the work behind the answers; owns neither its pool nor what waits for it.

    `concurrency` reads at once in this process, `per_s` a second in the whole fleet (0: no cap).
    """

    def __init__(
        self, pool: Pool, manner: SideManner, concurrency: int, per_s: float, version_header: str = ""
    ) -> None:
        self.pool = pool
        self.manner = manner
        self.concurrency = concurrency
        self.cap = Cap(per_s)
        self.back_off = BackOff()
        self.version_header = version_header.lower().encode()
        self.waiting: deque[Asked] = deque()
        self.under_way: dict[Asked, None] = {}  # the oldest first

    def refuses(self, now_s: float) -> str:
        """Return why a read is not sent now; empty if it may be, and then it is counted."""
        if not self.back_off.lets(now_s):
            return "backed_off"
        return "" if not self.cap.per_s or self.cap.takes(now_s) else "cap"

    @property
    def has_room(self) -> bool:
        """Whether something waits that may be sent."""
        return bool(self.waiting) and len(self.under_way) < self.concurrency
