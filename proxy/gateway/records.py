"""
What is recorded of exchanges: counters, latencies, and one access line each, batched off the path.

Hot: a request adds to plain ints that its leg holds on to. Everything that people
read (metrics, status, lines) is computed from there when somebody asks.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import select
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from typing import NamedTuple, TextIO

import orjson

from proxy.core.decision import Plan
from proxy.core.rules import Side
from proxy.core.stats import Busiest, Counters, Histogram
from proxy.core.table import UNCLAIMED

LINES_KEPT = 20_000  # of the access log while nobody takes them; what is older is dropped and counted
FLUSH_S = 0.25
SAMPLE_EVERY = 16  # reads: the shares of sticky values are estimated
SAMPLE_WINDOW = 10_000  # samples, after which the estimate starts anew
GONE = 0  # index of a status class: the client left before its answer


class Entry(NamedTuple):
    """One access line before it is worded: bytes as they came, worded only when it is written."""

    at: float
    plan: Plan
    bucket: int
    side: Side | None
    method: bytes
    path: bytes
    status: int
    elapsed_s: float
    fallback: str
    client: bytes
    request_id: bytes


class Records:
    """All counts of this process since its start, and the access lines not yet written."""

    def __init__(self, access_log: bool) -> None:
        self.started_s = time.time()
        self.requests: dict[tuple[str, str, str, str, str], list[int]] = {}  # component, route, kind, reason, side
        self.latencies: dict[tuple[str, str], Histogram] = {}  # component, side
        self.fallbacks: Counters[tuple[str, str]] = Counters(("other", "other"))  # component, reason
        self.spent: Counters[str] = Counters("other")  # component: reads sent twice
        self.refused: Counters[str] = Counters("other")  # reason
        self.unbuffered: Counters[str] = Counters("other")  # component: bodies too long to be sent twice
        self.alarms: Counters[tuple[str, str]] = Counters(("other", "other"))  # component, what
        self.unclaimed: Busiest[bytes] = Busiest(64)
        self.sticky: dict[str, Busiest[int]] = {}  # component: buckets of a sample of its reads
        self.lines_dropped = 0
        self._writer: _Writer | None = None
        self._lines: deque[Entry] | None = deque(maxlen=LINES_KEPT) if access_log else None

    def classes_of(self, plan: Plan, side: Side | None) -> list[int]:
        """Return the counts by status class (`GONE` for clients that left) for a plan's requests answered by `side`."""
        at = "none" if side is None else side.value
        labels = (plan.component or UNCLAIMED, plan.route, plan.kind.value, plan.reason.value, at)
        return self.requests.setdefault(labels, [0] * 6)

    def latency_of(self, plan: Plan, side: Side | None) -> Histogram:
        """Return the latencies of a plan's component as answered by `side`."""
        labels = (plan.component or UNCLAIMED, "none" if side is None else side.value)
        return self.latencies.setdefault(labels, Histogram())

    def sample(self, component: str, bucket: int) -> None:
        """Count a read's bucket: one that stands out is one sticky value that does (buckets hold no secrets)."""
        busiest = self.sticky.get(component)
        if busiest is None:
            busiest = self.sticky.setdefault(component, Busiest(64))
        elif busiest.total >= SAMPLE_WINDOW:
            busiest.clear()
        busiest.add(bucket)

    def add(self, entry: Entry) -> None:
        """Keep an access line for the next batch."""
        lines = self._lines
        if lines is not None:
            self.lines_dropped += len(lines) == LINES_KEPT
            lines.append(entry)

    def take_lines(self) -> Iterator[bytes]:
        """Yield the lines kept, worded as JSON, oldest first."""
        while self._lines:
            yield _worded(self._lines.popleft())

    async def write_lines(self, out: TextIO | None = None) -> None:
        """Write access lines in batches until cancelled; what is left then is written by `flush`."""
        self._writer = _Writer(out or sys.stdout)
        while True:
            await asyncio.sleep(FLUSH_S)
            if self._lines and self._writer.is_idle:
                self._writer.write(self._batch())

    def flush(self, out: TextIO | None = None, within_s: float = 1.0) -> None:
        """Write all lines kept; whoever reads them has `within_s` to take them."""
        if self._lines:
            writer = self._writer or _Writer(out or sys.stdout)
            writer.write(self._batch())
            writer.wait(within_s)

    def _batch(self) -> str:
        return b"\n".join([*self.take_lines(), b""]).decode()


class _Writer:
    """
    Writes from a thread of its own, so that a reader of the log that stops does not stop the gateway.

    While one batch is stuck no further one is made: the lines wait in their bounded queue, the oldest give way.
    """

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._batches: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._idle = threading.Event()
        self._idle.set()
        threading.Thread(target=self._run, name="access-log", daemon=True).start()

    @property
    def is_idle(self) -> bool:
        """Whether everything has been written."""
        return self._idle.is_set()

    def write(self, batch: str) -> None:
        """Have a batch written after those that wait."""
        self._idle.clear()
        self._batches.put(batch)

    def wait(self, within_s: float) -> None:
        """Wait until everything has been written, for as long as one likes to."""
        self._idle.wait(within_s)

    def _run(self) -> None:
        while True:
            batch = self._batches.get()
            with contextlib.suppress(OSError, ValueError):  # nobody reads it any more
                for piece in pieces(batch):
                    self._out.write(piece)
                    self._out.flush()
            if self._batches.empty():
                self._idle.set()


def pieces(batch: str, most: int = select.PIPE_BUF // 2) -> Iterator[str]:
    """
    Yield a batch of lines in pieces of whole lines, each no larger than what a pipe takes at once (what comes from
    a wire has at most two bytes for a character); a line that is longer is a piece of its own.

    Several processes may write to the same pipe: what is larger may be torn by another's lines (POSIX, write()).
    """
    begin = 0
    while len(batch) - begin > most:
        end = batch.rfind("\n", begin, begin + most) + 1 or batch.find("\n", begin) + 1 or len(batch)
        yield batch[begin:end]
        begin = end
    if begin < len(batch):
        yield batch[begin:]


def _worded(entry: Entry) -> bytes:
    """Word a line; the query never appears, because secrets travel in it."""
    plan = entry.plan
    said = {
        "event": "request",
        "at": round(entry.at, 3),
        "method": entry.method.decode("latin-1"),
        "path": entry.path.decode("latin-1"),
        "status": entry.status,
        "elapsed_ms": round(entry.elapsed_s * 1000, 2),
        "component": plan.component,
        "route": plan.route,
        "kind": plan.kind.value,
        "side": entry.side.value if entry.side else None,
        "planned": plan.side.value,
        "reason": plan.reason.value,
        "version": plan.version,
        "client": entry.client.decode("latin-1"),
        "request_id": entry.request_id.decode("latin-1"),
    }
    if entry.bucket >= 0:
        said["bucket"] = entry.bucket
    if entry.fallback:
        said["fallback"] = entry.fallback
    return orjson.dumps(said)
