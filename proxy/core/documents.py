"""
Do two documents say the same? One walk over both, with the rules at hand; every difference is named.

Ground floor. What comes out is a value: differences with a kind, a path template and both values, and the rules that
explained something. Knows bodies only: whole answers are compared in `compare`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Any

import orjson

from proxy.core.comparerules import CompareRules, How, Treatment
from proxy.core.jsonpaths import TooDeep
from proxy.core.jsontext import Document, exactly, parse
from proxy.core.likeness import NORMAL_FORMS, is_within
from proxy.core.names import is_word
from proxy.core.oddities import Oddity
from proxy.core.pairing import ANY, NULL_IS_MISSING, NUMBERS, paired, told, written
from proxy.core.places import State
from proxy.core.shortcut import explained_by

MOST_DIFFERENCES = 50
MOST_CONTAINERS = 200_000  # arrays and objects: to read so many takes 12 ms in which no other thread runs
MOST_LEVELS = 100  # deeper than this a document is compared as a whole
ABSENT = object()  # the other document has nothing in this place

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*", re.ASCII)  # what needs no brackets
_OPENS = re.compile(rb"[ \t\r\n]*[{\[]").match
_SCALARS = frozenset((str, int, float, bool, type(None), Decimal))
_MOST_FORMS = 500  # that are worth their time only to call it another order

_State = State[Treatment]


class Kind(StrEnum):
    """In what two answers differ."""

    MISSING = "missing"  # the second has it not
    EXTRA = "extra"  # the first has it not
    TYPE = "type"
    VALUE = "value"
    ORDER = "order"  # the same items, one behind another
    LENGTH = "length"
    STATUS = "status"
    HEADER = "header"


@dataclass(frozen=True, slots=True)
class Difference:
    """One difference; `path` is a template (`$.items[*].id`), `place` where it was. ABSENT where there is nothing."""

    kind: Kind
    path: str
    place: tuple[str | int, ...]
    first: Any
    second: Any


@dataclass(frozen=True, slots=True)
class Comparison:
    """What came of it; `cut` if there are more differences than were looked for."""

    differences: tuple[Difference, ...] = ()
    explained: tuple[str, ...] = ()  # the rules without which there would be more
    cut: bool = False
    oddity: Oddity | None = None

    @property
    def is_readable(self) -> bool:
        """Whether it is evidence: if not, there are no differences, and nothing is known to be equal either."""
        return self.oddity is None or self.oddity.is_readable

    @property
    def is_equal(self) -> bool:
        """Whether nothing is left to be explained."""
        return not self.differences and self.is_readable


EQUAL = Comparison()


def compare_bodies(
    first: bytes, second: bytes, rules: CompareRules, most: int = MOST_DIFFERENCES, *, is_json: bool = True
) -> Comparison:
    """
    Compare two bodies without content coding: as JSON if both are, else byte by byte.

    `is_json`: one of them says that it is. Else only objects and arrays are taken for documents: some servers send them
    as text, but `1` and `1.0` are two texts.
    """
    if first == second:
        return EQUAL
    if not is_json and not (_OPENS(first) and _OPENS(second)):
        return _as_a_whole(rules, Kind.VALUE, first, second)
    if rules.cuts and is_json:
        explained = explained_by(first, second, rules.cuts)
        if explained is not None:
            return Comparison(explained=explained)
    if _has_too_many(first) or _has_too_many(second):
        return Comparison(oddity=Oddity.TOO_MANY)
    one, other = parse(first), parse(second)
    if isinstance(one, Document) and isinstance(other, Document) and one.is_exact is not other.is_exact:
        one, other = exactly(first, one), exactly(second, other)
    if isinstance(one, Oddity) or isinstance(other, Oddity):
        return _without_documents((first, second), (one, other), rules, is_json)
    if one.written == other.written and one.written:
        return EQUAL
    if one.repeats or other.repeats:  # readers may take either member: only the same text is the same
        return _as_a_whole(rules, Kind.VALUE, first, second, Oddity.REPEATED_NAMES)
    return compare_documents(one.value, other.value, rules, most)


def compare_documents(first: Any, second: Any, rules: CompareRules, most: int = MOST_DIFFERENCES) -> Comparison:
    """Compare two parsed documents."""
    walk = _Walk(most)
    try:
        walk.compare(first, second, rules.root(first, second))
    except (TooDeep, RecursionError):  # the latter where 200 lists in lists have no order, or the stack was deep before
        return Comparison(oddity=Oddity.TOO_DEEP)
    except _Enough:
        return Comparison(tuple(walk.differences), tuple(walk.explained), cut=True)
    if not walk.differences and not walk.explained:
        return EQUAL
    return Comparison(tuple(walk.differences), tuple(walk.explained))


def template_of(place: tuple[str | int, ...]) -> str:
    """Return a place as a JSONPath in which indexes, and names that may be data, are `*`."""
    steps = []
    for key in place:
        if isinstance(key, int):
            steps.append("[*]")
        elif not is_word(key):
            steps.append(".*")
        else:
            steps.append(f".{key}" if _NAME.fullmatch(key) else f'["{key}"]')
    return "$" + "".join(steps)


def _has_too_many(text: bytes) -> bool:
    """Say whether a text may hold more arrays and objects than are read; each is at least two bytes."""
    return len(text) > 2 * MOST_CONTAINERS and text.count(b"[") + text.count(b"{") > MOST_CONTAINERS


def _without_documents(
    texts: tuple[bytes, bytes], read: tuple[Document | Oddity, Document | Oddity], rules: CompareRules, is_json: bool
) -> Comparison:
    """Compare two texts of which at least one could not be read as JSON."""
    oddities = [each for each in read if isinstance(each, Oddity)]
    oddity = next((each for each in oddities if each is not Oddity.NOT_JSON), Oddity.NOT_JSON if is_json else None)
    is_one_json = (read[0] is Oddity.NOT_JSON) is not (read[1] is Oddity.NOT_JSON)
    shown = [each.value if isinstance(each, Document) else text for each, text in zip(read, texts, strict=True)]
    return _as_a_whole(rules, Kind.TYPE if is_one_json else Kind.VALUE, shown[0], shown[1], oddity)


def _as_a_whole(rules: CompareRules, kind: Kind, first: Any, second: Any, oddity: Oddity | None = None) -> Comparison:
    ignored = tuple(each.text for each in rules.root().values if each.how is How.IGNORE)
    if ignored:
        return Comparison(explained=ignored[:1], oddity=oddity)
    return Comparison((Difference(kind, "$", (), first, second),), oddity=oddity)


class _Enough(Exception):
    """As many differences as were looked for."""


class _Walk:
    """The way through two documents; where it is stands in `_place`."""

    __slots__ = ("_most", "_place", "differences", "explained")

    def __init__(self, most: int) -> None:
        self._most = most
        self._place: list[str | int] = []
        self.differences: list[Difference] = []
        self.explained: dict[str, None] = {}

    def compare(self, first: Any, second: Any, state: _State) -> None:
        if not _is_same(first, second):
            self._look(first, second, state)

    def _look(self, first: Any, second: Any, state: _State) -> None:
        """Compare two values that are not the same at first sight."""
        if state.values and self._is_treated(first, second, state):
            return
        if len(self._place) >= MOST_LEVELS:
            self._differs(Kind.VALUE, first, second)
            return
        kind, other_kind = type(first), type(second)
        if kind is dict and other_kind is dict:
            self._members(first, second, state)
        elif kind is list and other_kind is list:
            self._items(first, second, state)
        elif kind is other_kind or (kind in NUMBERS and other_kind in NUMBERS):
            if first != second:
                self._differs(Kind.VALUE, first, second)
        else:
            self._differs(Kind.TYPE, first, second)

    def _members(self, first: dict[str, Any], second: dict[str, Any], state: _State) -> None:
        place = self._place
        for name, value in first.items():
            other = second.get(name, ABSENT)
            kind = type(value)
            if kind is type(other) and value == other and (kind in _SCALARS or _are_written_alike(value, other)):
                continue
            place.append(name)
            if other is ABSENT:
                self._absent(Kind.MISSING, value, ABSENT, state.step(name))
            else:
                self._look(value, other, state.step(name))
            place.pop()
        for name, other in second.items():
            if name not in first:
                place.append(name)
                self._absent(Kind.EXTRA, ABSENT, other, state.step(name))
                place.pop()

    def _absent(self, kind: Kind, first: Any, second: Any, state: _State) -> None:
        for each in state.values:
            is_null = first is None or second is None
            if each.how is How.IGNORE or (each.argument == NULL_IS_MISSING and is_null):
                self.explained[each.text] = None
                return
        self._differs(kind, first, second)

    def _items(self, first: list[Any], second: list[Any], state: _State) -> None:
        if len(first) != len(second):
            self._differs(Kind.LENGTH, first, second)
            return
        unlike = _unlike(first, second)
        before, looked = len(self.differences), len(unlike) < 2
        look = self._look if isinstance(unlike, list) else self.compare
        for index in unlike:
            self._place.append(index)
            look(first[index], second[index], state.item(index, len(first)))
            self._place.pop()
            if len(self.differences) > before and not looked:
                looked = True
                if _are_permuted([first[at] for at in unlike], [second[at] for at in unlike], state):
                    del self.differences[before:]
                    self._differs(Kind.ORDER, first, second)
                    return

    def _at(self, key: str | int, first: Any, second: Any, state: _State) -> None:
        self._place.append(key)
        self.compare(first, second, state)
        self._place.pop()

    def _is_treated(self, first: Any, second: Any, state: _State) -> bool:
        """Say whether a rule for this place has settled it."""
        for each in state.values:
            if each.how is How.IGNORE:
                self.explained[each.text] = None
                return True
            if each.how is How.UNORDERED:
                if isinstance(first, list) and isinstance(second, list):
                    self._unordered(first, second, state, each)
                    return True
            elif _is_alike(each, first, second):
                self.explained[each.text] = None
                return True
        return False

    # Lists whose order says nothing

    def _unordered(self, first: list[Any], second: list[Any], state: _State, rule: Treatment) -> None:
        pairs, lost, found = paired(first, second, state, rule.argument)
        if any(index != other for index, other in pairs):
            self.explained[rule.text] = None
        if rule.argument is None and len(lost) == len(found):  # each of them has changed, most likely
            pairs, lost, found = [*pairs, *zip(lost, found, strict=True)], [], []
        for index, other in pairs:
            self._at(index, first[index], second[other], state.item(index, len(first)))
        for index in lost:
            self._place.append(index)
            self._absent(Kind.MISSING, first[index], ABSENT, state.item(index, len(first)))
            self._place.pop()
        for index in found:
            self._place.append(index)
            self._absent(Kind.EXTRA, ABSENT, second[index], state.item(index, len(second)))
            self._place.pop()

    def _differs(self, kind: Kind, first: Any, second: Any) -> None:
        place = tuple(self._place)
        self.differences.append(Difference(kind, template_of(place), place, first, second))
        if len(self.differences) >= self._most:
            raise _Enough


def _is_same(first: Any, second: Any) -> bool:
    """Say whether two values are the same at first sight; numbers of two types and members in another order may be."""
    kind = type(first)
    if kind is not type(second):
        return False
    if kind in _SCALARS:
        return bool(first == second)
    return first == second and _are_written_alike(first, second)


def _are_written_alike(first: Any, second: Any) -> bool:
    """Say whether two values that are equal in Python are so in JSON, too: there, True is not 1."""
    try:
        if orjson.dumps(first, default=told) == orjson.dumps(second, default=told):
            return True
    except orjson.JSONEncodeError:  # integers beyond 64 bits
        pass
    return written(first) == written(second)


def _unlike(first: list[Any], second: list[Any]) -> Sequence[int]:
    """
    Return the indexes of the items that have to be looked at, of two lists of one length; in few steps of Python.

    A list if they are not the same at first sight; a range if some of them may be.
    """
    unlike = [index for index, (value, other) in enumerate(zip(first, second, strict=True)) if value != other]
    known = set(unlike)
    mine, theirs = ([item for index, item in enumerate(items) if index not in known] for items in (first, second))
    return unlike if _are_written_alike(mine, theirs) else range(len(first))


def _is_alike(each: Treatment, first: Any, second: Any) -> bool:
    if each.how is How.TOLERANCE:
        return is_within(first, second, *each.argument)
    if each.how is not How.EQUAL_IF or each.argument == NULL_IS_MISSING:
        return False
    one, other = (NORMAL_FORMS[each.argument](value) for value in (first, second))
    return one is not None and one == other


def _are_permuted(first: list[Any], second: list[Any], state: _State) -> bool:
    """Say whether two lists have the same items in another order, under the rules; if in doubt they have not."""
    pairs, lost, _ = paired(first, second, state, most=0 if state.is_empty else _MOST_FORMS)
    return not lost and all(_is_equal(first[index], second[other], state.step(ANY)) for index, other in pairs)


def _is_equal(first: Any, second: Any, state: _State) -> bool:
    try:
        _Walk(1).compare(first, second, state)
    except _Enough:
        return False
    return True
