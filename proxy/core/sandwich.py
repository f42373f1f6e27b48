"""
What a difference is worth: the primary was read again, the secondary, and the primary once more.

Ground floor. What the primary does not say twice is noise; what does not stay is no mismatch; what may have been
written meanwhile is tried again later. Only a difference that stands in both pairs, on a settled entity, is a mismatch.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from proxy.core.compare import Answer, Comparison, Difference, Kind
from proxy.core.evidence import Outcome

DENIED = frozenset((401, 403))
DECLINED = frozenset((429, 503))
RECHECKS_S = (1.0, 10.0, 60.0)


class Doubt(StrEnum):
    """Why nothing can be said of a difference for now."""

    UNSETTLED = "unsettled"  # the entity was written to
    TRANSIENT = "transient"  # it was gone at the second look
    CHANGED = "changed"  # the primary has another status than before
    DENIED = "denied"  # credentials that were good are so no more
    PRIMARY_FAILED = "primary_failed"
    SECONDARY_FAILED = "secondary_failed"
    FAILING = "failing"  # the secondary answers 5xx: a fault of it, or of this one read
    NO_BUDGET = "no_budget"  # too many differences at once
    UNREADABLE = "unreadable"  # in a content coding that is broken, or too long without it
    FAULT = "fault"  # of this process
    BARRED = "barred"  # a side may not be asked any more


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of it: `differences` of a mismatch, `noise` in which the primary differs from itself."""

    outcome: Outcome
    doubt: Doubt | None = None
    differences: tuple[Difference, ...] = ()
    noise: tuple[Difference, ...] = ()


@dataclass(frozen=True, slots=True)
class Looks:
    """The comparisons of a sandwich, the primary's answer first: the pair, the primary with itself, the second pair."""

    first: Comparison
    own: tuple[Comparison, ...]
    again: Comparison


def judge(looks: Looks, settled: bool) -> Verdict:
    """Return what the differences of a pair are worth."""
    if not all(each.is_readable for each in (*looks.own, looks.again)):
        return Verdict(Outcome.INCONCLUSIVE, Doubt.UNREADABLE)
    noise = tuple(each for comparison in looks.own for each in comparison.differences)
    if any(each.kind is Kind.STATUS for each in noise):
        return Verdict(Outcome.INCONCLUSIVE, Doubt.CHANGED)
    if not settled:
        return Verdict(Outcome.INCONCLUSIVE, Doubt.UNSETTLED)
    before = beside(looks.first.differences, noise)
    after = beside(looks.again.differences, noise)
    known = {(each.kind, each.path) for each in before}
    stands = tuple(each for each in after if (each.kind, each.path) in known)
    if stands:
        return Verdict(Outcome.MISMATCHED, None, stands, noise)
    if before or after:
        return Verdict(Outcome.INCONCLUSIVE, Doubt.TRANSIENT, noise=noise)
    return Verdict(Outcome.NOISE, None, noise=noise)


def doubt_of(first: Answer, again: Answer, *, is_primary: bool) -> Doubt | None:
    """Return why a re-read says nothing about the answer that the same side gave before; None if it says something."""
    if again.status in DENIED and first.status != again.status:
        return Doubt.DENIED
    if is_primary:
        return Doubt.PRIMARY_FAILED if again.status >= 500 or again.status in DECLINED else None
    return Doubt.SECONDARY_FAILED if again.status in DECLINED else None


def beside(differences: Iterable[Difference], noise: Iterable[Difference]) -> tuple[Difference, ...]:
    """Return the differences that are not in or below a place of `noise`."""
    noisy = {each.path for each in noise}
    return tuple(each for each in differences if not any(_is_within(each.path, path) for path in noisy))


def _is_within(path: str, above: str) -> bool:
    return path == above or (path.startswith(above) and path[len(above)] in ".[")
