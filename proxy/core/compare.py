"""
Do two answers to one request say the same? Status, the header fields that count, and the body without its coding.

Ground floor. The first answer is always the write primary's, whichever side the client got its answer from: one bug
then looks the same from both directions.
"""

from __future__ import annotations

from dataclasses import dataclass

from proxy.core.comparerules import CompareRules
from proxy.core.documents import EQUAL, MOST_DIFFERENCES, Comparison, Difference, Kind, compare_bodies

__all__ = ["EQUAL", "Answer", "Comparison", "Difference", "Kind", "compare"]


@dataclass(frozen=True, slots=True)
class Answer:
    """One whole answer as it came; `fields` are its header lines (`core.messages`), `body` may have a coding."""

    status: int
    fields: bytes
    body: bytes


def compare(first: Answer, second: Answer, rules: CompareRules, most: int = MOST_DIFFERENCES) -> Comparison:
    """Compare two whole answers; of two that differ in their status nothing else is looked at."""
    if first.status != second.status:
        return Comparison((Difference(Kind.STATUS, "status", (), first.status, second.status),))
    return compare_bodies(first.body, second.body, rules, most)
