"""
What was found behind the answers: mismatches, and in what a side differs from itself.

Nothing of a message is kept here beyond the moment, apart from what `core.clusters` makes of it.
"""

from __future__ import annotations

from collections.abc import Iterable

from proxy.core.compare import Comparison, Difference
from proxy.core.sandwich import Verdict
from proxy.workers.asked import Pairing
from proxy.workers.sandwich import Settled

COMPARED = "compared"  # how often a side was compared with itself, among the names of its differences


class Findings:
    """Takes what was found out; nothing in it waits."""

    def __init__(self, settled: Settled) -> None:
        self._settled = settled

    def mismatch(self, pairing: Pairing, verdict: Verdict) -> None:
        """Take a mismatch."""

    def noise(self, pairing: Pairing, verdict: Verdict) -> None:
        """Take in what the primary differed from itself while a difference was looked at."""
        self._differed(pairing, verdict.noise)

    def noisy(self, pairing: Pairing) -> None:
        """Take a read that one side was asked twice; nothing is learned where somebody may have written meanwhile."""
        comparison, looker = pairing.comparison, pairing.looker
        key = looker.key_of(pairing.copy)
        if comparison is not None and self._settled.is_settled(looker.plan.component or "", key, pairing.since_s):
            self._differed(pairing, _plain(comparison))

    def is_known(self, pairing: Pairing) -> bool:
        """Say whether a difference needs no second look, as it was counted already."""
        return False

    def _differed(self, pairing: Pairing, differences: Iterable[Difference]) -> None:
        tally = pairing.looker.route.self_tally
        tally.note(COMPARED)
        for name in {f"{each.kind} {each.path}" for each in differences}:
            tally.note(name)


def _plain(comparison: Comparison) -> tuple[Difference, ...]:
    return comparison.differences
