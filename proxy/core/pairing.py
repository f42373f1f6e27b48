"""
Which items of two lists belong together, where their order says nothing: by their key, or by what they say.

Ground floor. Every item gets a form, the same bytes for those that mean the same under the rules. Whoever pairs items
compares each pair afterwards, so that nothing is equal only because its form is.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any

import orjson
from xxhash import xxh3_128_hexdigest

from proxy.core.comparerules import How, Treatment
from proxy.core.likeness import NORMAL_FORMS, decimal_of, number
from proxy.core.places import State

NULL_IS_MISSING = "null-is-missing"
NUMBERS = frozenset((int, float, Decimal))
ANY = -1  # an index that no path names: what a rule says of one item by its number cannot be kept

_State = State[Treatment]
_Place = tuple[str | int, ...]
_Form = tuple[bytes, tuple[Any, ...]]  # what it says, and the numbers in it that need not be the same
Pairs = tuple[list[tuple[int, int]], list[int], list[int]]


def paired(
    first: list[Any], second: list[Any], state: _State, key: _Place | None = None, most: int | None = None
) -> Pairs:
    """
    Return (pairs of indexes, those of the first list alone, those of the second alone), each in order.

    With a `key`, by what stands there. Otherwise first by what is written alike, which is fast, then by forms; what is
    left after the former stays so if it is more than `most`. `state` is that of the lists.
    """
    if key is not None:
        return _matched(
            [(written(_at(item, key)), ()) for item in first], [(written(_at(item, key)), ()) for item in second]
        )
    below = state.step(ANY)
    if any(each.how is How.TOLERANCE for each in below.all_values()):
        # What is written alike may be needed for another partner: 0 and 1 go with 1 and 2, all of them one apart.
        if most is not None and len(first) > most:
            return [], list(range(len(first))), list(range(len(second)))
        return _matched(_forms(first, below), _forms(second, below))
    pairs, lost, found = _matched([(written(item), ()) for item in first], [(written(item), ()) for item in second])
    if not lost or not found or (most is not None and len(lost) > most):
        return pairs, lost, found
    more, mine, theirs = _matched(
        _forms([first[at] for at in lost], below), _forms([second[at] for at in found], below)
    )
    pairs += [(lost[index], found[other]) for index, other in more]
    return sorted(pairs), [lost[index] for index in mine], [found[index] for index in theirs]


def written(value: Any) -> bytes:
    """Return a value as JSON with its members in order; numbers as they stand."""
    try:  # a copy: behind each of its own texts orjson leaves room for 4 KB, and here are a hundred thousand of them
        return memoryview(orjson.dumps(value, default=told, option=orjson.OPT_SORT_KEYS)).tobytes()
    except orjson.JSONEncodeError:  # integers beyond 64 bits
        return json.dumps(value, default=told, sort_keys=True).encode("utf-8", "surrogatepass")


def told(number: Decimal) -> str:
    """Return a number as it stands. A step of Python for each, between which other threads may run: `str` is none."""
    return str(number)


def _matched(mine: Sequence[_Form], theirs: Sequence[_Form]) -> Pairs:
    """Pair those of one form; of several the smallest numbers with the smallest: so most are within a tolerance."""
    waiting: dict[bytes, list[int]] = {}
    for index in reversed(_in_order(theirs)):
        waiting.setdefault(theirs[index][0], []).append(index)
    pairs, lost = [], []
    for index in _in_order(mine):
        candidates = waiting.get(mine[index][0])
        if candidates:
            pairs.append((index, candidates.pop()))
        else:
            lost.append(index)
    return sorted(pairs), sorted(lost), sorted(index for left in waiting.values() for index in left)


def _in_order(forms: Sequence[_Form]) -> Sequence[int]:
    if not any(numbers for _, numbers in forms):
        return range(len(forms))
    return sorted(range(len(forms)), key=lambda index: forms[index][1])


def _forms(items: Iterable[Any], state: _State) -> list[_Form]:
    forms = []
    for item in items:
        numbers: list[Any] = []
        form = written(_normal(item, state, numbers))
        forms.append((form, tuple(numbers)))
    return forms


def _at(value: Any, place: _Place) -> Any:
    """Return what stands at a place, None where there is nothing."""
    for key in place:
        if isinstance(value, dict) and isinstance(key, str):
            value = value.get(key)
        elif isinstance(value, list) and isinstance(key, int) and -len(value) <= key < len(value):
            value = value[key]
        else:
            return None
    return value


def _normal(value: Any, state: _State, numbers: list[Any]) -> Any:
    """Return a value without what is ignored, and in normal forms where rules give some; tolerated `numbers` apart."""
    for each in state.values:
        if each.how is How.IGNORE:
            return None
        if each.how is How.TOLERANCE and decimal_of(value) is not None:
            numbers.append(value)
            return None
        if each.how is How.EQUAL_IF and each.argument != NULL_IS_MISSING:
            form = NORMAL_FORMS[each.argument](value)
            if form is not None:
                return [each.argument, str(form)]
        if each.how is How.UNORDERED and isinstance(value, list):
            return _unordered(value, state.step(ANY), numbers)
    if isinstance(value, dict):  # plain loops, here and below: one frame of the stack for each level
        members = {}
        for name in sorted(value):  # the numbers stand in the order of the members
            at = state.step(name)
            if not _may_be_absent(value[name], at):
                members[name] = _normal(value[name], at, numbers)
        return members
    if isinstance(value, list):
        items = []
        for index, item in enumerate(value):
            items.append(_normal(item, state.item(index, len(value)), numbers))
        return items
    form = number(value) if type(value) in NUMBERS else None
    return value if form is None else {"": str(form)}  # 1 and 1.0 are one number


def _unordered(items: list[Any], state: _State, numbers: list[Any]) -> list[str]:
    found = []
    for item in items:
        own: list[Any] = []
        # A digest, for texts within texts would double with each level.
        found.append((xxh3_128_hexdigest(written(_normal(item, state, own))), own))
    found.sort()
    for _, own in found:
        numbers += own
    return [form for form, _ in found]


def _may_be_absent(value: Any, state: _State) -> bool:
    return any(each.how is How.IGNORE or (each.argument == NULL_IS_MISSING and value is None) for each in state.values)
