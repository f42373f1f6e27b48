"""
Which of many JSONPaths name a place of a document, told while the document is walked: one step for each member or item.

Ground floor. The paths become an automaton: its nodes are where a path may have got to, a State is all that may be
reached at one place. States are made when they are first needed and kept, so that a step is two look-ups.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from operator import itemgetter
from typing import Generic, TypeVar

from proxy.core.jsonpaths import Step

T = TypeVar("T")


class _Node(Generic[T]):
    """Where a path has got to: the ways on, and what stands at its end."""

    __slots__ = ("any", "deep", "keys", "stays", "values")

    def __init__(self, stays: bool = False) -> None:
        self.keys: dict[str | int, _Node[T]] = {}
        self.any: _Node[T] | None = None
        self.deep: _Node[T] | None = None  # the same place, for steps from any depth below
        self.stays = stays
        self.values: list[tuple[int, T]] = []  # with the number of the path


class State(Generic[T]):
    """All that the paths say at one place; `values` of those that name it, in the order in which they were given."""

    __slots__ = ("_all", "_kept", "_known", "_nodes", "_others", "_states", "is_empty", "values")

    def __init__(self, nodes: frozenset[_Node[T]], states: dict[frozenset[_Node[T]], State[T]]) -> None:
        self._nodes = nodes
        self._states = states
        self._known = {key for node in nodes for key in node.keys}
        self._kept: dict[str | int, State[T]] = {}
        self._others: State[T] | None = None
        says = (node.keys or node.any or node.deep or node.values for node in nodes)
        self.is_empty = not any(says)  # nothing is said here nor anywhere below
        found = [each for node in nodes for each in node.values]
        self.values: tuple[T, ...] = tuple(value for _, value in sorted(found, key=itemgetter(0)))
        self._all: tuple[T, ...] | None = None

    def step(self, key: str | int) -> State[T]:
        """Return the state of a member or of an item."""
        kept = self._kept.get(key)
        if kept is not None:
            return kept
        if key in self._known:
            kept = self._kept[key] = self._after(key)
            return kept
        if self._others is None:
            self._others = self._after(None)
        return self._others

    def item(self, index: int, count: int) -> State[T]:
        """Return the state of one of `count` items; a path may have counted from the end."""
        from_end = index - count
        if from_end not in self._known:
            return self.step(index)
        return _state(self._reached(index) | self._reached(from_end), self._states)

    def all_values(self) -> tuple[T, ...]:
        """Return what the paths say here and anywhere below."""
        if self._all is None:
            self._all = tuple(value for node in self._nodes for value in _values_of(node))
        return self._all

    def _after(self, key: str | int | None) -> State[T]:
        return _state(self._reached(key), self._states)

    def _reached(self, key: str | int | None) -> set[_Node[T]]:
        found: set[_Node[T]] = set()
        for node in self._nodes:
            if node.stays:
                found.add(node)
            if node.any is not None:
                found.add(node.any)
            if key is not None and key in node.keys:
                found.add(node.keys[key])
        return found


def places(paths: Iterable[tuple[tuple[Step, ...], T]]) -> State[T]:
    """Return the state of the document itself, given paths and what stands at their ends."""
    root: _Node[T] = _Node()
    for number, (steps, value) in enumerate(paths):
        ends = [root]
        for step in steps:
            ends = [below for node in ends for below in _grow(node, step)]
        for node in ends:
            node.values.append((number, value))
    return _state({root}, {})


def _values_of(node: _Node[T]) -> Iterator[T]:
    yield from (value for _, value in node.values)
    for below in (*node.keys.values(), node.any, node.deep):
        if below is not None:
            yield from _values_of(below)


def _grow(node: _Node[T], step: Step) -> list[_Node[T]]:
    if step.deep:
        if node.deep is None:
            node.deep = _Node(stays=True)
        node = node.deep
    if step.keys is None:
        if node.any is None:
            node.any = _Node()
        return [node.any]
    return [node.keys.setdefault(key, _Node()) for key in step.keys]


def _state(nodes: set[_Node[T]], states: dict[frozenset[_Node[T]], State[T]]) -> State[T]:
    closed = frozenset(nodes | {node.deep for node in nodes if node.deep is not None})
    found = states.get(closed)
    if found is None:
        found = states[closed] = State(closed, states)
    return found
