"""
The second back end of the job `mirror`: how many requests came to it, and whether that is all of them.

A proxy that leaves some out looks cheap. So what did not come is counted, and the figure is then none.
"""

from __future__ import annotations

import re
import time

from tests.bench.load import Traffic
from tests.bench.processes import NotReady, Running, request
from tests.bench.site import COUNT_PATH

LEAST_PCT, MOST_PCT = 99.0, 102.0  # of the requests; a few more than the load counts are under way when it ends
QUIET_S = 0.2  # nothing for so long: what was to come has come
SETTLE_WITHIN_S = 6.0  # longer than anything waits for its turn


class Second:
    """The back end on `port`, which counts; does not own its process."""

    def __init__(self, running: Running, port: int) -> None:
        self._running = running
        self._port = port
        self._looks = 0

    def count(self) -> int:
        """Return how many requests have come, when no more do; NotReady if there is no end to them."""
        end_s = time.monotonic() + SETTLE_WITHIN_S
        came = self._look()
        while time.monotonic() < end_s:
            self._running.idle(QUIET_S)
            before, came = came, self._look()
            if came == before:
                return came
        raise NotReady(f"requests still come to the second back end {SETTLE_WITHIN_S:g} s after the load has ended")

    def _look(self) -> int:
        """Return how many requests have come but for those that asked for the number."""
        answer = request(self._port, COUNT_PATH).decode(errors="replace")
        found = re.search(r"server accepts handled requests\s+\d+ \d+ (\d+)", answer)
        if found is None:
            raise NotReady(f"the second back end does not say how many requests came: {answer[:200]!r}")
        self._looks += 1
        return int(found[1]) - self._looks


def shortfall(traffic: Traffic, came: int) -> str:
    """Return what is wrong with how many requests came to the second back end; empty if nothing is."""
    share_pct = 100 * came / traffic.requests
    if LEAST_PCT <= share_pct <= MOST_PCT:
        return ""
    return f"sent {share_pct:.1f} % of its requests to the second back end"
