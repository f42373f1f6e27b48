"""
The comparator's test of itself: a difference is planted in a copy of a document, and must be found.

Ground floor; chance comes in as an argument. What is planted is larger than any sensible tolerance and keeps no normal
form, so that only a rule that is too wide swallows it: an `ignore` that leaves nothing, a tolerance without measure, or
a fault of the comparator itself, which then names no rule.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from decimal import Decimal
from math import isfinite
from typing import Any

from proxy.core.codings import decoded
from proxy.core.compare import MOST_BYTES, Answer
from proxy.core.comparerules import CompareRules, How, Treatment
from proxy.core.documents import MOST_LEVELS, compare_documents, template_of
from proxy.core.jsonpaths import TooDeep
from proxy.core.jsontext import Document, parse
from proxy.core.messages import values_of
from proxy.core.oddities import Oddity
from proxy.core.places import State

_FAR = 10**9
_TIMES = 1_000
_TEXT = "planted: "

_Place = tuple[str | int, ...]
_State = State[Treatment]


@dataclass(frozen=True, slots=True)
class Planted:
    """A document and its copy, which differ in one leaf; where `ignore` leaves none, the rules that cover them all."""

    first: Any
    second: Any
    place: _Place = ()
    covered_by: tuple[str, ...] = ()

    @property
    def path(self) -> str:
        """Where it was planted, as a template."""
        return template_of(self.place)


@dataclass(frozen=True, slots=True)
class Detection:
    """Whether the comparator sees what was planted; if not, the rules that swallow it, as people name them."""

    is_found: bool
    swallowed_by: tuple[str, ...] = ()


def plant_in(answer: Answer, rules: CompareRules, roll: float, most_bytes: int = MOST_BYTES) -> Planted | None:
    """Plant a difference in the body of an answer; None if it is no JSON document, or an empty one."""
    body = decoded(answer.body, b",".join(values_of(answer.fields, b"content-encoding")), most_bytes)
    read = body if isinstance(body, Oddity) else parse(body)
    return plant(read.value, rules, roll) if isinstance(read, Document) else None


def plant(document: Any, rules: CompareRules, roll: float) -> Planted | None:
    """
    Change one leaf that no `ignore` rule covers, in a copy; None for an empty document.

    `roll` (0 <= roll < 1) picks it: at each level every member is as likely as the others, so that a long list does not
    hide what stands beside it. What did not change is shared with the document.
    """
    if document in ({}, []):
        return None
    try:
        state = rules.root(document)
    except TooDeep:
        return None
    search = _Search()
    place = search.leaf(document, state, roll)
    if place is not None:
        return Planted(document, _with_changed(document, place), place)
    return Planted(document, document, covered_by=tuple(search.covered))


def detect(planted: Planted, rules: CompareRules) -> Detection:
    """Compare what was planted with its document, under the rules."""
    if planted.covered_by:
        return Detection(False, planted.covered_by)
    comparison = compare_documents(planted.first, planted.second, rules, most=1)
    return Detection(True) if comparison.differences else Detection(False, comparison.explained)


def examine(answer: Answer, rules: CompareRules, roll: float, most_bytes: int = MOST_BYTES) -> Detection | None:
    """Plant a difference in an answer, and say whether it is found; None where nothing can be planted."""
    planted = plant_in(answer, rules, roll, most_bytes)
    if planted is None:
        return None
    detection = detect(planted, rules)
    if detection.is_found or detection.swallowed_by:
        return detection
    return Detection(False, (planted.path,))  # a fault of the comparator itself: where


class _Search:
    """The way to one leaf; `covered` are the rules in its way, in the order in which they were met."""

    __slots__ = ("_place", "covered")

    def __init__(self) -> None:
        self._place: list[str | int] = []
        self.covered: dict[str, None] = {}

    def leaf(self, value: Any, state: _State, roll: float) -> _Place | None:
        """Return the place of a leaf at or below this one that nothing covers, or None."""
        for each in state.values:
            if each.how is How.IGNORE:
                self.covered[each.text] = None
                return None
        keys = _keys_of(value)
        if not keys or len(self._place) >= MOST_LEVELS:
            return tuple(self._place)
        at = roll * len(keys)
        begin = int(at) % len(keys)
        for turn in range(len(keys)):
            key = keys[(begin + turn) % len(keys)]
            below = state.step(key) if isinstance(key, str) else state.item(key, len(keys))
            self._place.append(key)
            found = self.leaf(value[key], below, at - int(at))
            self._place.pop()
            if found is not None:
                return found
        return None


def _keys_of(value: Any) -> list[str] | range:
    if isinstance(value, dict):
        return list(value)
    return range(len(value)) if isinstance(value, list) else range(0)


def _with_changed(value: Any, place: _Place) -> Any:
    """Return a copy of a document with another leaf in one place; all beside the way there is shared."""
    if not place:
        return _changed(value)
    whole = copy.copy(value)
    whole[place[0]] = _with_changed(value[place[0]], place[1:])
    return whole


def _changed(value: Any) -> Any:
    """Return what nobody takes for the same value: another sign and size, a text of no form, the other boolean."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, str):
        return _TEXT + value
    if isinstance(value, int | float | Decimal):
        return _far_from(value)
    return [_TEXT] if value == [] else {_TEXT: _TEXT} if value == {} else _TEXT


def _far_from(number: int | float | Decimal) -> int | float:
    far = -_FAR if number > 0 else _FAR
    if isinstance(number, Decimal) or (isinstance(number, float) and not isfinite(number * _TIMES)):
        return far
    return far - number * _TIMES
