"""
What was found behind the answers: mismatches, and in what a side differs from itself.

Nothing of a message is kept here beyond the moment, apart from what `core.clusters` makes of it.
"""

from __future__ import annotations

from collections.abc import Iterable

from proxy.core.compare import Difference
from proxy.core.noise import AS, COMPARED, forms_of, name_of
from proxy.core.sandwich import Verdict
from proxy.workers.asked import Pairing
from proxy.workers.sandwich import Settled


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
            self._differed(pairing, comparison.differences)

    def is_known(self, pairing: Pairing) -> bool:
        """Say whether a difference needs no second look, as it was counted already."""
        return False

    def _differed(self, pairing: Pairing, differences: Iterable[Difference]) -> None:
        tally = pairing.looker.route.self_tally
        tally.note(COMPARED)
        for name, forms in _places(differences).items():
            tally.note(name)
            for form in forms:
                tally.note(f"{name}{AS}{form}")


def _places(differences: Iterable[Difference]) -> dict[str, set[str]]:
    """Return the places in which something differs, each once, and the ways in which all of it means the same there."""
    found: dict[str, set[str]] = {}
    for each in differences:
        name = name_of(each.kind, each.path)
        forms = set(forms_of(each.first, each.second))
        found[name] = found[name] & forms if name in found else forms
    return found
