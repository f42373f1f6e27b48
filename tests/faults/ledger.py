"""
The accounts: for every request what its client saw, beside what the two sides did; and how long things took.

Values only: no clock, no I/O.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import ceil

from tests.faults.load import Fate, Outcome
from tests.faults.side import Deed

WINDOW_S = 1.0
STEP_S = 0.05  # a window begins at each of these
SLOW_S = 0.25  # an answer later than this is not what a reader is used to
SHARE_BACK = 0.8  # of modern's share before the fault: then it counts as back


@dataclass(frozen=True, slots=True)
class Account:
    """How many requests there were of each fate, and of each thing that must never happen."""

    sent: int
    answered: int
    refused: int
    aborted: int
    lost: int
    torn: int  # looked whole and was not
    crossed: int  # another's answer
    duplicated: int  # a POST that was done twice
    repeated_puts: int  # a PUT that was done twice, which is harmless on one side and still more than was asked for
    wrong_side: int  # writes that reached a side that must not have them
    phantom: int  # writes that were answered well and that no side did
    altered: int  # writes of which a side received another body
    unsettled: int  # writes that were done and whose client was told 502 or 504, or nothing
    resent_reads: int  # reads that the gateway answered from the other side
    errors: int  # a side's own errors that were passed on

    @property
    def unaccounted(self) -> int:
        """Requests without exactly one fate; 0 unless the accounts themselves are wrong."""
        ends = self.answered + self.refused + self.aborted + self.lost + self.torn + self.crossed
        return self.sent - ends


def settle(sent: int, outcomes: Sequence[Outcome], legacy: Iterable[Deed], modern: Iterable[Deed]) -> Account:
    """Bring together what the client saw and what the sides did; every write belongs to legacy."""
    fates = Counter(outcome.fate for outcome in outcomes)
    done = _done(legacy)
    elsewhere = {deed.number for deed in modern if deed.method != "GET" and deed.number >= 0}
    writes = [outcome for outcome in outcomes if not outcome.request.is_read]
    twice = [each.request for each in writes if len(done[each.request.number]) > 1]
    well = [each for each in writes if each.fate is Fate.ANSWERED and each.status < 300]
    return Account(
        sent=sent,
        answered=fates[Fate.ANSWERED],
        refused=fates[Fate.REFUSED],
        aborted=fates[Fate.ABORTED],
        lost=fates[Fate.LOST],
        torn=fates[Fate.TORN],
        crossed=fates[Fate.CROSSED],
        duplicated=sum(request.repeats_harm for request in twice),
        repeated_puts=sum(not request.repeats_harm for request in twice),
        wrong_side=len(elsewhere),
        phantom=sum(not done[each.request.number] for each in well),
        altered=sum(any(was != each.request.digest for was in done[each.request.number]) for each in writes),
        unsettled=sum(bool(done[each.request.number]) for each in writes if each.fate is not Fate.ANSWERED),
        resent_reads=sum(bool(each.fallback) for each in outcomes),
        errors=sum(each.fate is Fate.ANSWERED and each.status >= 500 for each in outcomes),
    )


def _done(deeds: Iterable[Deed]) -> defaultdict[int, list[str]]:
    """Return the digests of the bodies by the number of the request, as often as it was done."""
    found: defaultdict[int, list[str]] = defaultdict(list)
    for deed in deeds:
        if deed.digest is not None:
            found[deed.number].append(deed.digest)
    return found


@dataclass(frozen=True, slots=True)
class Latency:
    """Of answers and refusals alike, in seconds; 0 when there was nothing to measure."""

    p50_s: float = 0.0
    p99_s: float = 0.0
    max_s: float = 0.0


def latency_of(outcomes: Iterable[Outcome]) -> Latency:
    taken = sorted(outcome.latency_s for outcome in outcomes)
    if not taken:
        return Latency()
    return Latency(percentile(taken, 50), percentile(taken, 99), taken[-1])


def percentile(ordered: Sequence[float], share_pct: float) -> float:
    """Return the smallest value that so many of the others do not exceed (nearest rank)."""
    return ordered[max(0, ceil(len(ordered) * share_pct / 100) - 1)]


def due_between(outcomes: Iterable[Outcome], begin: float, end: float) -> list[Outcome]:
    return [outcome for outcome in outcomes if begin <= outcome.due < end]


def is_failed(outcome: Outcome) -> bool:
    """Say whether a client did not get what it had asked for."""
    return outcome.fate is not Fate.ANSWERED or outcome.status >= 500


def is_bad(outcome: Outcome) -> bool:
    """Say whether a client noticed that something is wrong."""
    return is_failed(outcome) or outcome.latency_s > SLOW_S


def fell_back_s(outcomes: Sequence[Outcome], begin: float, end: float) -> float | None:
    """
    Return how long after `begin` a second began in which no client noticed anything; None if there was none.

    0 means that nobody ever did.
    """
    bad = sorted(outcome.due for outcome in due_between(outcomes, begin, end) if is_bad(outcome))
    at = begin
    for due in bad:
        if due - at >= WINDOW_S:
            break
        at = due
    if end - at < WINDOW_S:
        return None
    return at - begin


def recovered_s(outcomes: Sequence[Outcome], healed: float, calm: tuple[float, float]) -> float | None:
    """
    Return how long after `healed` a second began in which all was as before the fault; None if it never came.

    As before: nobody noticed anything, and modern answers its share of the reads again.
    """
    since = [outcome for outcome in outcomes if outcome.due >= healed]
    share = modern_share(due_between(outcomes, *calm))
    last = max((outcome.due for outcome in since), default=healed)
    at = healed
    while at + WINDOW_S <= last:
        window = due_between(since, at, at + WINDOW_S)
        if is_back(window, share) and not any(map(is_bad, window)):
            return at - healed
        at += STEP_S
    return None


def is_back(window: Sequence[Outcome], share: float) -> bool:
    """Say whether in this window all was answered as in the calm, when modern had `share` of the reads; late or not."""
    return bool(window) and not any(map(is_failed, window)) and modern_share(window) >= SHARE_BACK * share


def modern_share(outcomes: Iterable[Outcome]) -> float:
    reads = [outcome for outcome in outcomes if outcome.request.is_read]
    return sum(outcome.side == "modern" for outcome in reads) / max(1, len(reads))
