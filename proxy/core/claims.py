"""
Which requests which component claims, as a list for people: what `banyan routes` prints.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from proxy.core.rules import Component, may_write, split_route

BUSIEST = 20


def claims_of(components: Mapping[str, Component]) -> list[dict[str, Any]]:
    """Return one entry for each route, component by component; `weight` is the one that counts for it."""
    return [_claim(component, key) for component in components.values() for key in component.routes]


def _claim(component: Component, key: str) -> dict[str, Any]:
    route = component.routes[key]
    method, template = split_route(key)
    weight = component.weight if route.weight is None else min(route.weight, component.weight)
    return {
        "component": component.component,
        "route": key,
        "method": method or "any",
        "path": template,
        "writes": may_write(key, route),
        "entity": route.entity,
        "follow": route.follow,
        "phase": component.effective_phase,
        "weight": int(weight) if weight == int(weight) else weight,
    }


def busiest(counted: Iterable[Sequence[Any]], count: int = BUSIEST) -> list[dict[str, Any]]:
    """Join what replicas counted as unclaimed, (first segments, requests), into one list, the busiest first."""
    total: Counter[str] = Counter()
    for each in counted:
        if len(each) == 2 and isinstance(each[0], str) and isinstance(each[1], int):
            total[each[0]] += each[1]
    return [{"path": path, "requests": requests} for path, requests in total.most_common(count)]
