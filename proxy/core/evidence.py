"""
What the comparisons of a route are evidence of: outcomes counted, and a bound on how often the sides may differ.

Ground floor. Counts of several replicas are added; distinct entities come as estimates of a HyperLogLog. Evidence rests
on a basis (rules, phase, versions of the sides): when that changes, what was counted says nothing of what comes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from proxy.core.confidence import upper_bound


class Outcome(StrEnum):
    """What became of one read that was to be compared; each has exactly one."""

    MATCHED = "matched"
    EXPLAINED = "explained"  # equal by a rule
    NOISE = "noise"  # the primary differs from itself in the same places
    INCONCLUSIVE = "inconclusive"
    MISMATCHED = "mismatched"
    APART = "apart"  # equal, and no evidence: errors, redirects, HEAD, 304, 206
    DECLINED = "declined"  # the shadow said 429 or 503
    FAILED = "failed"  # the shadow gave no answer
    DROPPED = "dropped"  # too many at once
    SKIPPED = "skipped"  # cannot be compared


_SUCCESS = range(200, 300)

# What is counted beside the outcomes: the comparator's test of itself
TEST_FOUND, TEST_SWALLOWED, SWALLOWED_BY = "test:found", "test:swallowed", "swallowed:"

COMPARED = (Outcome.MATCHED, Outcome.EXPLAINED, Outcome.NOISE, Outcome.INCONCLUSIVE, Outcome.MISMATCHED, Outcome.APART)
CONCLUSIVE = (Outcome.MATCHED, Outcome.EXPLAINED, Outcome.MISMATCHED)


def outcome_of_equal(method: bytes, status: int, by_rule: bool) -> tuple[Outcome, str]:
    """Return what two equal answers are worth, and why if they are no evidence; `by_rule` if a rule was needed."""
    if method == b"HEAD":
        return Outcome.APART, "head"
    if status == 206:
        return Outcome.APART, "partial"
    if status >= 400:
        return Outcome.APART, "error"
    if status not in _SUCCESS:
        return Outcome.APART, "redirect"
    return (Outcome.EXPLAINED if by_rule else Outcome.MATCHED), ""


@dataclass(frozen=True, slots=True)
class Basis:
    """What evidence rests on; any other one starts it anew. `version` is that of the rule set, and no part of it."""

    rules: str = ""  # digest of what is compared how
    phase: str = ""
    legacy: str = ""  # what the sides say their versions are
    modern: str = ""
    version: int = 0


@dataclass(frozen=True, slots=True)
class Evidence:
    """
    What is known of a route, or of several together; `since` is RFC 3339, `why` what made it start then.

    `reasons` splits outcomes further: `skipped:range`, `failed:timeout`.
    """

    counts: Mapping[Outcome, int] = field(default_factory=dict)
    reasons: Mapping[str, int] = field(default_factory=dict)
    entities: int = 0  # distinct ones that were compared with a conclusion
    differing: int = 0  # distinct ones of a mismatch
    since: str = ""
    why: str = ""

    @property
    def compared(self) -> int:
        """How many pairs of answers were compared."""
        return sum(self.counts.get(each, 0) for each in COMPARED)

    @property
    def conclusive(self) -> int:
        """How many of them say something."""
        return sum(self.counts.get(each, 0) for each in CONCLUSIVE)

    @property
    def swallowed_by(self) -> tuple[str, ...]:
        """The rules that swallowed a difference which had been planted; what is equal under them may not be."""
        if not self.reasons.get(TEST_SWALLOWED, 0):
            return ()
        return tuple(sorted(name.removeprefix(SWALLOWED_BY) for name in self.reasons if name.startswith(SWALLOWED_BY)))

    @property
    def bound(self) -> float:
        """
        The share of entities (0 to 1) that differ at most, at 95 %; 1 as long as nothing is known.

        Hot entities come again and again: only distinct ones are independent. The estimates are off by about 0.8 %,
        and the bound by as much.
        """
        mismatched = self.counts.get(Outcome.MISMATCHED, 0)
        differing = min(mismatched, max(self.differing, min(mismatched, 1)))
        return upper_bound(differing, max(differing, min(self.entities, self.conclusive)))


def together(parts: Iterable[Evidence]) -> Evidence:
    """Return the evidence of several routes as that of their component; it is as old as the youngest part."""
    counts: dict[Outcome, int] = {}
    reasons: dict[str, int] = {}
    entities = differing = 0
    since = why = ""
    for part in parts:
        for outcome, count in part.counts.items():
            counts[outcome] = counts.get(outcome, 0) + count
        for reason, count in part.reasons.items():
            reasons[reason] = reasons.get(reason, 0) + count
        entities += part.entities
        differing += part.differing
        if part.since > since:
            since, why = part.since, part.why
    return Evidence(counts, reasons, entities, differing, since, why)
