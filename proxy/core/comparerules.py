"""
`compare` of the rules, compiled once for a route: what counts for nothing, and where.

Ground floor. Paths of names, indexes and wildcards are steps of one automaton; one with a filter or a slice is looked
up in each document that is compared, because where it leads depends on what stands there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Generic, TypeVar

from proxy.core.jsonpaths import Step, keys_of, query_of, steps_of
from proxy.core.model import Compare
from proxy.core.places import State, places
from proxy.core.shortcut import Cut, cut_of


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
_T = TypeVar("_T")


class CompareRules:
    """
    The rules of one route, ready to be walked along with two documents, as they are at one moment.

    `expired` names the rules whose `until` has passed: they do not work. `next_expiry_s` is when the next one will
    not, None for never: then it is time to compile anew. `headers` are the fields that are compared, in lower case;
    `by_class`: of the status only the hundreds.
    """

    def __init__(self, compare: Compare | None = None, now_s: float = 0.0) -> None:
        compare = compare or Compare()
        found = list(_treatments(compare))
        ends = {treatment: until_s for treatment, until_s in found if until_s is not None}
        coming = [until_s for until_s in ends.values() if until_s > now_s]
        self.expired = tuple(each.text for each, until_s in ends.items() if until_s <= now_s)
        self.next_expiry_s = min(coming, default=None)
        self.headers = tuple(name.encode() for name in compare.headers)
        self.by_class = compare.status == "class"
        self.reveal = compare.reveal
        working = [each for each, until_s in found if until_s is None or until_s > now_s]
        self.cuts = tuple(_cuts(working))
        said = map(repr, working)
        self.basis = "\n".join((*said, *compare.headers, compare.status))  # what makes two answers equal, and no more
        self._rules: _Paths[Treatment] = _Paths((each.path, each) for each in working)
        self._revealed: _Paths[str] = _Paths((path, path) for path in compare.reveal)

    @property
    def asks_documents(self) -> bool:
        """Whether a path leads where only the document tells: what that costs is up to whoever wrote it."""
        return self._rules.asks_documents

    def root(self, *documents: Any) -> State[Treatment]:
        """Return what the rules say of these documents, which are compared with each other."""
        return self._rules.root(documents)

    def revealed(self, *documents: Any) -> State[str]:
        """Return which places of these documents may be shown: those at which a state has values."""
        return self._revealed.root(documents)


class _Paths(Generic[_T]):
    """Paths with what stands at their ends, as one automaton as far as that goes without a document."""

    def __init__(self, ends: Iterable[tuple[str, _T]]) -> None:
        self._always: list[tuple[tuple[Step, ...], _T]] = []
        self._queries: list[tuple[Callable[[Any], list[_Place]], _T]] = []
        for path, end in ends:
            steps = steps_of(path)
            if steps is None:
                self._queries.append((query_of(path), end))
            else:
                self._always.append((steps, end))
        self._root = places(self._always)

    @property
    def asks_documents(self) -> bool:
        return bool(self._queries)

    def root(self, documents: Iterable[Any]) -> State[_T]:
        if not self._queries:
            return self._root
        found = {
            (place, end): None for query, end in self._queries for document in documents for place in query(document)
        }
        named = [(tuple(Step((key,)) for key in place), end) for place, end in found]
        return places([*self._always, *named])


def _cuts(rules: Iterable[Treatment]) -> Iterator[Cut]:
    """Yield what can be cut out of a text: members that are ignored, as far as their paths are of the plainest form."""
    for each in rules:
        steps = steps_of(each.path) if each.how is How.IGNORE else None
        cut = None if steps is None else cut_of(steps, each.text)
        if cut is not None:
            yield cut


def _treatments(compare: Compare) -> Iterator[tuple[Treatment, float | None]]:
    """Yield all rules, each with its end; where several name one place the first decides."""
    for ignored in compare.ignore:
        yield Treatment(How.IGNORE, ignored.path), ignored.until_s
    for path, unordered in compare.unordered.items():
        key = None if unordered.by is None else keys_of(unordered.by)
        yield Treatment(How.UNORDERED, path, key), unordered.until_s
    for path, tolerance in compare.tolerance.items():
        yield Treatment(How.TOLERANCE, path, tolerance.apart), tolerance.until_s
    for path, equal_if in compare.equal_if.items():
        yield Treatment(How.EQUAL_IF, path, equal_if.word), equal_if.until_s
