"""
Who answers the requests of a component at present, and why, as `status` says it.

Ground floor: the same facts that `plan` goes by, taken together for all requests of the component. Breakers are left
out: each replica has its own, and they stand elsewhere in the document.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from proxy.core.phases import STANDINGS, RequestKind, eligible
from proxy.core.rules import Component, ComponentKind, Side

UNKNOWN = "unknown"  # instead of a side: the rules are in force nowhere
REFUSED = "refused"  # instead of a side: Banyan answers 503 itself


@dataclass(frozen=True, slots=True)
class Standing:
    """
    What stands beside the rules of a component: the emergency that it heeds, and whether the rules count at all.

    `unfollowed`: replicas run and none of them follows these rules; `store_lost`: a cold start from files alone.
    """

    emergency: Side | None = None
    unfollowed: bool = False
    store_lost: bool = False


def reads_of(component: Component, standing: Standing) -> dict[str, Any]:
    """Say who answers the reads, in percent (None: not known), and why."""
    if standing.unfollowed:
        why = "no replica follows these rules: each keeps those of another epoch until `banyan rules accept`"
        return {"side": UNKNOWN, "legacy": None, "modern": None, "reason": "unfollowed", "why": why}
    reason, modern, why = _answerer(component, standing)
    answers = "legacy" if modern == 0 else "modern" if modern == 100 else "both"
    shares = {"legacy": plain(round(100 - modern, 2)), "modern": plain(modern)}
    return {"side": answers, **shares, "reason": reason, "why": why}


def writes_of(component: Component, standing: Standing) -> str:
    """Return the side that takes the writes, or `unknown`, or `refused` while nobody knows what is marked."""
    if standing.unfollowed:
        return UNKNOWN
    if standing.store_lost and component.kind is ComponentKind.ENTITY:
        return REFUSED
    return STANDINGS[component.effective_phase].primary


def plain(number: float) -> float | int:
    """Return a number as people write it: 25 for 25.0."""
    return int(number) if number == int(number) else number


def _answerer(component: Component, standing: Standing) -> tuple[str, float, str]:
    """Return (reason, percent of the reads that modern answers, one sentence)."""
    phase = component.effective_phase
    sides = eligible(component.kind, phase, RequestKind.READ)
    if len(sides) > 1 and standing.store_lost:
        why = f"the published rules were not read yet, so {sides[0]}, the write primary, answers"
        return "store_lost", _share(sides[0]), why
    if standing.emergency is not None and standing.emergency in sides:
        return "emergency", _share(standing.emergency), f"an emergency sends all to {standing.emergency}"
    if len(sides) == 1:
        return "phase", _share(sides[0]), f"in phase {phase} only {sides[0]} answers"
    why = f"weight {component.weight:g}"
    if component.pin:
        why += f", but {len(component.pin)} pin{'s' * (len(component.pin) != 1)} before it"
    return "weight", component.weight, why


def _share(side: Side) -> float:
    return 100.0 * (side is Side.MODERN)
