"""
What stands around a difference: the members of the nearest object, as shapes, those of both answers side by side.

Ground floor. Of a member that is not made of words not even the name is told: such ones are counted as `*`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from proxy.core.documents import ABSENT, Difference, template_of
from proxy.core.names import is_word
from proxy.core.shapes import shape_of

MOST_MEMBERS = 30
OTHERS = "*"
UNKNOWN = "unknown"  # the list is in another order: which item is meant is not known

Row = tuple[str, str, str, bool]  # name, shape of the first, of the second, whether they differ
Place = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Surroundings:
    """The object at `path`, its members in the order of the first answer; `more` were left out."""

    path: str
    rows: tuple[Row, ...]
    more: int = 0


def surroundings(first: Any, second: Any, this: Difference, all_of_them: Iterable[Difference]) -> Surroundings | None:
    """Return what stands around a difference of two documents, None if it is in no object."""
    place = this.place
    for length in range(len(place), -1, -1):
        above = place[:length]
        one, other = value_at(first, above), value_at(second, above)
        if length == len(place) and not (isinstance(one, dict) and isinstance(other, dict)):
            continue  # the differing value itself
        if isinstance(one, dict) or isinstance(other, dict):
            places = [each.place[length:] for each in all_of_them if each.place[:length] == above]
            return _rows(above, one, _where_it_is(second, other, this, above), places, place[length:])
    return None


def _where_it_is(document: Any, found: Any, this: Difference, above: Place) -> Any:
    """Return the object of the second answer, None if it may be another item: places are those of the first answer."""
    if not any(isinstance(key, int) for key in above):
        return found
    value = value_at(document, this.place)
    return found if value is this.second or value == this.second else None


def _rows(above: Place, first: Any, second: Any, places: list[Place], own: Place) -> Surroundings:
    differing = {place[0] for place in places if place}
    names = dict.fromkeys([*_names(first), *_names(second)])
    told = [name for name in names if is_word(name)]
    kept = set([*(name for name in told if name in own[:1]), *told][:MOST_MEMBERS])
    rows = [(name, _shape(first, name), _shape(second, name), name in differing) for name in told if name in kept]
    hidden = [name for name in names if not is_word(name)]
    rows += _counted(hidden, first, second, differing)
    return Surroundings(template_of(above), tuple(rows), len(told) - len(kept))


def _names(value: Any) -> Iterator[str]:
    yield from value if isinstance(value, dict) else ()


def _shape(value: Any, name: str) -> str:
    return shape_of(value.get(name, ABSENT)) if isinstance(value, dict) else UNKNOWN


def _counted(hidden: list[str], first: Any, second: Any, differing: set[str | int]) -> list[Row]:
    """Return one row for all members whose names are data."""
    if not hidden:
        return []
    one, other = (
        f"{sum(name in value for name in hidden)} more (names may be data)" if isinstance(value, dict) else UNKNOWN
        for value in (first, second)
    )
    return [(OTHERS, one, other, any(name in differing for name in hidden))]


def value_at(document: Any, place: Place) -> Any:
    """Return what stands at a place of a document, ABSENT where there is nothing."""
    for key in place:
        inner: Any = document if isinstance(document, dict | list) else ()
        try:
            document = inner[key]
        except (LookupError, TypeError):
            return ABSENT
    return document
