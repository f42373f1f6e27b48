"""
Who waits for whom in a circle: found in one walk over the graph, however large it is.

Ground floor; knows names and nothing of components. The graph may come from anybody who can write to the store.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

Ways = Mapping[str, Collection[str]]  # from each name to those it waits for; names that the graph lacks lead nowhere


def circles(ways: Ways) -> tuple[tuple[str, ...], ...]:
    """
    Return a circle for each knot of names that all wait for each other, in the order of their first names.

    A circle starts at the first name of its knot and is the shortest one through it; it does not repeat that name at
    its end. A name that waits for itself alone makes none.
    """
    known = {name: tuple(there for there in ways[name] if there in ways and there != name) for name in ways}
    return tuple(sorted(_way_round(min(knot), knot, known) for knot in _knots(known) if len(knot) > 1))


def _knots(ways: Mapping[str, tuple[str, ...]]) -> Iterator[frozenset[str]]:
    """Yield the strongly connected parts of a graph (Tarjan 1972), without recursion."""
    order: dict[str, int] = {}
    lowest: dict[str, int] = {}
    open_names: dict[str, None] = {}  # met and not yet in a knot, in the order in which they were met
    for root in ways:
        path = [] if root in order else [(root, iter(ways[root]))]
        while path:
            name, rest = path[-1]
            if name not in order:
                order[name] = lowest[name] = len(order)
                open_names[name] = None
            for there in rest:
                if there not in order:
                    path.append((there, iter(ways[there])))
                    break
                if there in open_names:
                    lowest[name] = min(lowest[name], order[there])
            else:
                path.pop()
                if path:
                    lowest[path[-1][0]] = min(lowest[path[-1][0]], lowest[name])
                if lowest[name] == order[name]:
                    yield _closed(open_names, name)


def _closed(open_names: dict[str, None], first: str) -> frozenset[str]:
    """Take the knot that was entered at `first` out of the open names."""
    knot = set()
    while first not in knot:
        knot.add(open_names.popitem()[0])
    return frozenset(knot)


def _way_round(start: str, knot: Collection[str], ways: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    """Return the shortest way from `start` through its knot until it is back, breadth first."""
    came_from = {start: ""}
    for name in (queue := [start]):
        for there in ways[name]:
            if there == start:
                return _path_to(name, came_from)
            if there in knot and there not in came_from:
                came_from[there] = name
                queue.append(there)
    raise AssertionError(f"{start} is in a knot without a way back")


def _path_to(name: str, came_from: Mapping[str, str]) -> tuple[str, ...]:
    path = [name]
    while came_from[path[-1]]:
        path.append(came_from[path[-1]])
    return tuple(reversed(path))
