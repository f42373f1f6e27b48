"""
What was measured, and what it may be: figures, medians, ratios and limits. Values only.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from statistics import median

BANYAN = "banyan"


@dataclass(frozen=True, slots=True)
class Limit:
    """What one figure of Banyan should be and must never exceed, absolute or as a multiple of a peer's."""

    job: str
    target: float
    never_above: float
    peer: str | None = None


# The targets are what a prototype of the design reached; above the second number a release does not go out.
LIMITS = (
    Limit("plain, 1 field", 1.25, 1.75, "nginx"),
    Limit("plain, 1 field", 0.45, 0.65, "envoy"),
    Limit("plain, 12 fields", 1.5, 2.0, "nginx"),
    Limit("plain, 12 fields", 0.5, 0.7, "envoy"),
    Limit("1 MiB", 0.5, 0.8, "nginx"),
    Limit("1 MiB", 0.8, 1.1, "envoy"),
    Limit("mirror", 0.6, 0.85, "nginx"),
    Limit("mirror_parsed", 0.75, 1.0, "nginx"),
    Limit("start to ready", 0.8, 0.8),
    Limit("memory, idle", 70, 70),
    Limit("memory per idle connection", 10, 10),
)


# What a job is called where people read it; others are called by their name.
TITLES = {
    "mirror": "mirror, equal answers",
    "mirror_parsed": "mirror, one field differs and is ignored",
}


def title(job: str) -> str:
    return TITLES.get(job, job)


class Outcome(StrEnum):
    ON_TARGET = "on target"
    WITHIN = "within the limit"
    ABOVE = "ABOVE THE LIMIT"
    UNKNOWN = "NOT KNOWN"


@dataclass(frozen=True, slots=True)
class Verdict:
    """One limit beside what was measured; `value` is None when a figure for it is missing."""

    limit: Limit
    value: float | None

    @property
    def outcome(self) -> Outcome:
        if self.value is None:
            return Outcome.UNKNOWN
        if self.value <= self.limit.target:
            return Outcome.ON_TARGET
        return Outcome.WITHIN if self.value <= self.limit.never_above else Outcome.ABOVE

    @property
    def holds(self) -> bool:
        return self.outcome in (Outcome.ON_TARGET, Outcome.WITHIN)


@dataclass(slots=True)
class Figures:
    """
    Values by job and proxy, one a round and in the order of the rounds.

    A proxy that did not do what a job asks of it is in `refused`, by job, with what it did instead: that is no figure.
    """

    units: dict[str, str] = field(default_factory=dict)
    values: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    failed: dict[str, int] = field(default_factory=dict)  # requests by proxy
    refused: dict[str, dict[str, list[str]]] = field(default_factory=dict)

    def add(self, job: str, unit: str, proxy: str, value: float) -> None:
        self.units[job] = unit
        self.values.setdefault(job, {}).setdefault(proxy, []).append(value)

    def refuse(self, job: str, proxy: str, why: str) -> None:
        self.refused.setdefault(job, {}).setdefault(proxy, []).append(why)

    def ratios(self, job: str, proxy: str, peer: str) -> list[float]:
        """Return `proxy` over `peer` for each round: neighbours in time, so that a slow minute touches both alike."""
        row = self.values.get(job, {})
        return [ours / theirs for ours, theirs in zip(row.get(proxy, ()), row.get(peer, ()), strict=False) if theirs]

    def verdict(self, limit: Limit) -> Verdict:
        refused = self.refused.get(limit.job, {})
        if BANYAN in refused or limit.peer in refused:
            return Verdict(limit, None)
        if limit.peer is None:
            measured = self.values.get(limit.job, {}).get(BANYAN, [])
        else:
            measured = self.ratios(limit.job, BANYAN, limit.peer)
        return Verdict(limit, median(measured) if measured else None)


def verdicts(figures: Figures, peers_asked_for: Iterable[str]) -> list[Verdict]:
    """
    Return a verdict for each limit of a job that Banyan ran in.

    A peer that was asked for and is missing leaves its limits unknown, and they do not hold; so does a job that Banyan
    or the peer did not do as asked. Of a peer that nobody asked for there is nothing to say.
    """
    asked = {None, *peers_asked_for}
    ran = {job for rows in (figures.values, figures.refused) for job, row in rows.items() if BANYAN in row}
    return [figures.verdict(limit) for limit in LIMITS if limit.job in ran and limit.peer in asked]


def document(figures: Figures, judged: Iterable[Verdict], machine: Mapping[str, object]) -> dict[str, object]:
    """Return everything that was measured as it goes into the JSON file."""
    return {
        "machine": dict(machine),
        "figures": {
            job: {"unit": figures.units[job], "rounds": row, "median": {name: median(row[name]) for name in row}}
            for job, row in figures.values.items()
        },
        "failed_requests": figures.failed,
        "not_done": figures.refused,
        "limits": [
            {
                "job": verdict.limit.job,
                "peer": verdict.limit.peer,
                "value": verdict.value,
                "target": verdict.limit.target,
                "never_above": verdict.limit.never_above,
                "outcome": verdict.outcome.value,
            }
            for verdict in judged
        ],
    }
