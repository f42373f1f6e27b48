"""
`compare` of the rules, compiled once for a route: what counts for nothing, and where.

Ground floor. Paths of names, indexes and wildcards are steps of one automaton; one with a filter or a slice is looked
up in each document that is compared, because where it leads depends on what stands there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Any

from proxy.core.jsonpaths import Step, keys_of, query_of, steps_of
from proxy.core.model import Compare
from proxy.core.places import State, places


class How(StrEnum):
    """What a rule says of a place."""

    IGNORE = "ignore"
    UNORDERED = "unordered"
    TOLERANCE = "tolerance"
    EQUAL_IF = "equal_if"


@dataclass(frozen=True, slots=True)
class Treatment:
    """One rule: `argument` is the key's place, (absolute, relative), or the word of `equal_if`."""

    how: How
    path: str
    argument: Any = None

    @property
    def text(self) -> str:
        """How people name it: `ignore $.updated_at`."""
        return f"{self.how} {self.path}"


_Place = tuple[str | int, ...]


class CompareRules:
    """The rules of one route, ready to be walked along with two documents."""

    def __init__(self, compare: Compare | None = None) -> None:
        self._always: list[tuple[tuple[Step, ...], Treatment]] = []
        self._queries: list[tuple[Callable[[Any], list[_Place]], Treatment]] = []
        for treatment in _treatments(compare or Compare()):
            steps = steps_of(treatment.path)
            if steps is None:
                self._queries.append((query_of(treatment.path), treatment))
            else:
                self._always.append((steps, treatment))
        self._root = places(self._always)
        self.headers: tuple[bytes, ...] = (b"content-type",)
        self.by_class = False

    def root(self, *documents: Any) -> State[Treatment]:
        """Return what the rules say of these documents, which are compared with each other."""
        if not self._queries:
            return self._root
        found = {
            (place, treatment): None
            for query, treatment in self._queries
            for document in documents
            for place in query(document)
        }
        named = [(tuple(Step((key,)) for key in place), treatment) for place, treatment in found]
        return places([*self._always, *named])


def _treatments(compare: Compare) -> list[Treatment]:
    """Return all rules; where several name one place the first decides."""
    found = [Treatment(How.IGNORE, path) for path in compare.ignore]
    for path, key in compare.unordered.items():
        found.append(Treatment(How.UNORDERED, path, None if key is None else keys_of(key)))
    for path, apart in compare.tolerance.items():
        found.append(Treatment(How.TOLERANCE, path, (Decimal(repr(apart)), Decimal(0))))
    for path, word in compare.equal_if.items():
        found.append(Treatment(How.EQUAL_IF, path, word))
    return found
