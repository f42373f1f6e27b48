"""
What comparison says of a component, as `status` and the page show it: counts, a bound in words, and what is wrong.

Pure: evidence by route comes in, a document ready for JSON goes out.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil, floor, log10
from typing import Any

from proxy.core.evidence import TEST_FOUND, TEST_SWALLOWED, Evidence, Outcome, together


def compared_document(routes: Mapping[str, Evidence]) -> dict[str, Any] | None:
    """Return the document of a component, with its routes; None if nothing of it was ever compared."""
    if not routes:
        return None
    whole = together(routes.values())
    return {**_document(whole), "routes": {name: _document(each) for name, each in sorted(routes.items())}}


def swallowing(routes: Mapping[str, Evidence]) -> str:
    """Return in one sentence why nothing that is compared can be believed; empty if it can."""
    rules = dict.fromkeys(rule for each in routes.values() for rule in each.swallowed_by)
    if not rules:
        return ""
    named = ", ".join(f"`{rule}`" for rule in rules)
    return f"differences planted to test the comparator are not found: {named} is too wide"


def worded(evidence: Evidence) -> str:
    """Return what is known in one sentence: a bound, and what it rests on."""
    if not evidence.conclusive:
        return "nothing is known yet"
    mismatched = evidence.counts.get(Outcome.MISMATCHED, 0)
    known = min(evidence.entities, evidence.conclusive)
    seen = f"{mismatched:,} of {evidence.conclusive:,} comparisons of {known:,} entities differ"
    if evidence.bound >= 1:
        return f"{seen}: that says nothing yet"
    return f"fewer than {percent(evidence.bound)} differ, at 95 %: {seen}"


def percent(share: float) -> str:
    """Return a share (0 to 1) in per cent with two digits that count, rounded up: a bound is not promised too low."""
    if share <= 0:
        return "0 %"
    places = max(0, 1 - floor(log10(share * 100)))
    rounded = ceil(share * 100 * 10**places - 1e-9) / 10**places
    return f"{rounded:.{max(0, 1 - floor(log10(rounded)))}f} %"  # what was rounded up to 10 needs a place less


def _document(evidence: Evidence) -> dict[str, Any]:
    return {
        "said": worded(evidence),
        "bound_pct": round(evidence.bound * 100, 6),
        "compared": evidence.compared,
        **{outcome.value: evidence.counts.get(outcome, 0) for outcome in Outcome},
        "entities": evidence.entities,
        "differing": evidence.differing,
        "since": evidence.since,
        "because": evidence.why,
        "self_test": {
            "planted": evidence.reasons.get(TEST_FOUND, 0) + evidence.reasons.get(TEST_SWALLOWED, 0),
            "found": evidence.reasons.get(TEST_FOUND, 0),
            "swallowed_by": list(evidence.swallowed_by),
        },
        "reasons": {name: count for name, count in sorted(evidence.reasons.items()) if _is_reason(name)},
    }


def _is_reason(name: str) -> bool:
    return not name.startswith(("test:", "swallowed:"))
