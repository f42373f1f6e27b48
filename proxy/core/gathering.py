"""
What several processes of one parent counted, as if one had: counters summed, gauges by what they mean.

Ground floor: families of plain values, whatever library made them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

SUMMED = frozenset({"counter", "histogram", "summary"})

# What a gauge means for all: how much there is in sum, the worst of them, or the furthest.
GAUGES: Mapping[str, Callable[[Iterable[float]], float]] = {
    "banyan_rule_version": min,
    "banyan_rules_age_seconds": max,
    "banyan_store_connected": min,
    "banyan_ready": min,
    "banyan_emergency": max,
    "banyan_instance_healthy": min,
    "banyan_weight_percent": min,
    "banyan_breaker_open": max,
    "banyan_connections": sum,
    "banyan_pending_requests": sum,
    "banyan_instance_requests": sum,
    "banyan_shadow_waiting": sum,
    "banyan_shadow_share": min,
    "banyan_second_looks": sum,
    "banyan_loop_lag_seconds": max,
    "banyan_processes": sum,
    "banyan_build_info": max,
    "process_virtual_memory_bytes": sum,
    "process_resident_memory_bytes": sum,
    "process_start_time_seconds": min,
    "process_open_fds": sum,
    "process_max_fds": min,
}


@dataclass(frozen=True, slots=True)
class Family:
    """One metric: `samples` are (name, labels, value), those of one histogram behind one another."""

    name: str
    kind: str
    text: str
    samples: tuple[tuple[str, Mapping[str, str], float], ...]

    def dumped(self) -> list[Any]:
        """Return it as plain lists, for JSON."""
        return [self.name, self.kind, self.text, [list(each) for each in self.samples]]


def family(said: Sequence[Any]) -> Family:
    """Return what `dumped` made plain."""
    name, kind, text, samples = said
    return Family(name, kind, text, tuple((each, labels, value) for each, labels, value in samples))


def merged(
    serving: Iterable[Sequence[Family]],
    leaving: Iterable[Sequence[Family]] = (),
    ended: Iterable[Sequence[Family]] = (),
) -> list[Family]:
    """
    Return one family of each name, in the order of their first appearance.

    Of processes that are `leaving` (others took over) nothing counts but what there is in sum; of those that `ended`,
    or are silent, only what they counted: a sum that goes back looks like a restart, and all of it is counted twice.
    """
    first: dict[str, Family] = {}
    values: dict[str, dict[tuple[Any, ...], list[float]]] = {}
    for takes, processes in ((_any, serving), (_is_sum, leaving), (_is_count, ended)):
        for each in (each for families in processes for each in families if takes(each)):
            first.setdefault(each.name, each)
            cells = values.setdefault(each.name, {})
            for name, labels, value in each.samples:
                cells.setdefault((name, *sorted(labels.items())), []).append(value)
    return [_merged(each, values[name]) for name, each in first.items()]


def _any(_: Family) -> bool:
    return True


def _is_count(each: Family) -> bool:
    return each.kind in SUMMED


def _is_sum(each: Family) -> bool:
    return each.kind in SUMMED or GAUGES.get(each.name) is sum


def _merged(kind: Family, cells: Mapping[tuple[Any, ...], list[float]]) -> Family:
    together = sum if kind.kind in SUMMED else GAUGES.get(kind.name, max)
    samples = ((name, dict(labels), float(together(found))) for (name, *labels), found in cells.items())
    return Family(kind.name, kind.kind, kind.text, tuple(samples))


def counted(families: Iterable[Family]) -> list[Family]:
    """Return what is left of a process when it has ended: its counters."""
    return [each for each in families if _is_count(each)]
