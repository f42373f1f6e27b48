"""
What the traffic of the demo was answered: exact counts of everything, and the last answers one by one.

Pure: answers in, numbers out.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from proxy.demo.asks import Ask

KEPT = 50_000  # answers kept one by one; the counts go on for ever
SHOWN = 5  # errors kept for good
LATENCIES = 500  # answers of which a running summary tells the latency


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer as the reader saw it; an exception instead of one has status 0 and its text in `failure`."""

    ask: Ask
    started_s: float  # when the request was sent, on the clock of the traffic
    elapsed_s: float
    status: int
    side: str = ""  # X-Banyan-Side
    component: str = ""  # X-Banyan-Component
    fallback: str = ""  # X-Banyan-Fallback, such as `modern;reset`
    failure: str = ""

    @property
    def error(self) -> str:
        """What was wrong with it in the eyes of who asked; empty when nothing was."""
        if self.failure or self.status != self.ask.owed:
            return self.failure or f"status {self.status} instead of {self.ask.owed}"
        if self.component != self.ask.component:
            return f"claims to be of component {self.component!r}"
        return "" if self.side else "does not say which side answered"


class Tally:
    """All answers so far."""

    def __init__(self) -> None:
        self.reads = 0
        self.writes = 0
        self.by_side: Counter[tuple[str, str, bool]] = Counter()  # component, side, is it a read
        self.fallbacks: Counter[tuple[str, str]] = Counter()  # component, `side;reason`
        self.failed_reads = 0
        self.failed_writes = 0
        self.first_errors: list[Answer] = []
        self._recent: deque[Answer] = deque(maxlen=KEPT)

    def add(self, answer: Answer) -> None:
        self._recent.append(answer)
        if answer.ask.is_read:
            self.reads += 1
        else:
            self.writes += 1
        self.by_side[answer.ask.component, answer.side, answer.ask.is_read] += 1
        if answer.fallback:
            self.fallbacks[answer.ask.component, answer.fallback] += 1
        if answer.error:
            self._failed(answer)

    def _failed(self, answer: Answer) -> None:
        if answer.ask.is_read:
            self.failed_reads += 1
        else:
            self.failed_writes += 1
        if len(self.first_errors) < SHOWN:
            self.first_errors.append(answer)

    @property
    def errors(self) -> int:
        return self.failed_reads + self.failed_writes

    def since(self, start_s: float, component: str = "") -> tuple[Answer, ...]:
        """Return the kept reads that were sent from `start_s` on, of one component or of all."""
        return tuple(
            answer
            for answer in self._recent
            if answer.started_s >= start_s and answer.ask.is_read and component in ("", answer.ask.component)
        )

    def latest(self) -> tuple[Answer, ...]:
        """Return the last answers, for a summary of how it goes now."""
        return tuple(self._recent)[-LATENCIES:]

    def writes_beside(self, side: str) -> int:
        """Return how many writes were answered by another side than `side`."""
        return sum(n for (_, by, is_read), n in self.by_side.items() if not is_read and by != side)


def share_pct(answers: Sequence[Answer], side: str) -> float:
    """Return which share of the answers came from `side`, in percent; 0 of nothing."""
    return 100 * sum(answer.side == side for answer in answers) / len(answers) if answers else 0.0


def readers(answers: Iterable[Answer], side: str) -> frozenset[str]:
    """Return who was answered by `side` at least once."""
    return frozenset(answer.ask.user for answer in answers if answer.side == side)


def quantile_ms(answers: Sequence[Answer], q: float) -> float:
    """Return the latency that the share `q` of the answers did not exceed, in ms; 0 of nothing."""
    waits = sorted(answer.elapsed_s for answer in answers)
    return 1000 * waits[min(len(waits) - 1, int(q * len(waits)))] if waits else 0.0
