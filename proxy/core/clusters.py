"""
Confirmed mismatches as clusters: which differences are one bug seen again, and what may be kept as an example of it.

Ground floor. What comes in has values, names and secrets; what goes out has none of them: types, shapes, lengths, names
made of words, and the values that `reveal` of the rules names. Parses bodies: long ones belong in a thread.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import orjson
from xxhash import xxh3_64_intdigest

from proxy.core.brief import brief
from proxy.core.codings import decoded
from proxy.core.compare import MOST_BYTES, Answer, Comparison, Difference, Kind
from proxy.core.comparerules import CompareRules
from proxy.core.documents import ABSENT
from proxy.core.errors import NotAllowed
from proxy.core.jsonpaths import TooDeep
from proxy.core.jsontext import Document, exactly, parse
from proxy.core.messages import values_of
from proxy.core.model import Compare
from proxy.core.names import is_word
from proxy.core.retelling import needed_fields, shown_path, shown_query
from proxy.core.routes import parse_template
from proxy.core.rules import Side
from proxy.core.shapes import hints, shape_of, word_of
from proxy.core.surroundings import surroundings

MOST_CLUSTERS = 200  # of a component; what comes beyond is counted in one more, of kind OTHER
MOST_EXAMPLES = 20  # of a cluster
MOST_EXAMPLE_BYTES = 4_096
OTHER = "other"
ID_DIGITS = 10  # hexadecimal: 40 bits
MOST_REVEALED = 200  # characters of a value

_MOST_OTHERS = 20  # further differences that an example names
_MOST_STEPS = 30
PATH_LIMIT = 300  # characters of a path that are shown; the id is made of all of it
_METHODS = (b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE")
_ALIKE = (Kind.ORDER, Kind.LENGTH)


class NoSuchCluster(NotAllowed):
    """There is no mismatch of this id, or it was not seen for so long that it was forgotten."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A confirmed mismatch: one read, the two answers (`first` is the write primary's), and in what they differ."""

    component: str
    route: str
    method: bytes
    target: bytes  # raw, with its query
    request_fields: bytes  # header lines
    entity: bytes
    primary: Side
    first: Answer
    second: Answer
    comparison: Comparison
    version: int  # of the rule set
    at_s: float  # since 1970
    reveal: tuple[str, ...] = ()  # JSONPaths


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What makes two differences one cluster; `shape` is their types: `text≠number`, `array`, `200≠500`."""

    component: str
    route: str
    path: str
    kind: str
    shape: str

    @property
    def id(self) -> str:
        """The name of the cluster, the same in every replica and release."""
        words = (self.component, self.route, self.path, self.kind, self.shape)
        return hashlib.sha256("\0".join(words).encode("utf-8", "replace")).hexdigest()[:ID_DIGITS]


@dataclass(frozen=True, slots=True)
class Sighting:
    """One cluster as one pair shows it; `entity` is a hash, `example` is ready for JSON."""

    of: Fingerprint
    entity: int
    at_s: float
    example: Mapping[str, Any] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """That of its cluster."""
        return self.of.id


def catch_all(component: str) -> Fingerprint:
    """Return the cluster of everything that is beyond MOST_CLUSTERS."""
    return Fingerprint(component, "", "", OTHER, "")


def is_id(text: str) -> bool:
    """Say whether a text looks like the id of a cluster."""
    return len(text) == ID_DIGITS and all(character in "0123456789abcdef" for character in text)


def fingerprint_of(component: str, route: str, difference: Difference) -> Fingerprint:
    """Return the cluster that a difference belongs to."""
    path = difference.path
    if difference.kind is Kind.HEADER and not is_word(path):
        path = "*"
    return Fingerprint(component, route, path, difference.kind.value, _shape(difference))


def sightings(pair: Pair, *, examples: bool = True) -> tuple[Sighting, ...]:
    """
    Return one sighting for each cluster of a pair, in the order of the differences; items of a list are one.

    Without `examples` it is cheap: no body is looked at.
    """
    found: dict[Fingerprint, list[Difference]] = {}
    for difference in pair.comparison.differences:
        found.setdefault(fingerprint_of(pair.component, pair.route, difference), []).append(difference)
    entity = xxh3_64_intdigest(pair.entity or pair.target)
    if not examples or not found:
        return tuple(Sighting(of, entity, pair.at_s) for of in found)
    documents = _documents(pair) if any(each[0].path.startswith("$") for each in found.values()) else None
    common = _common(pair)
    return tuple(
        Sighting(of, entity, pair.at_s, {**common, **_told(pair, of, same, tuple(found), documents)})
        for of, same in found.items()
    )


def _shape(difference: Difference) -> str:
    first, second = difference.first, difference.second
    if difference.kind is Kind.STATUS:
        return f"{first}≠{second}"
    if difference.kind in _ALIKE:
        return word_of(first)
    return f"{word_of(first)}≠{word_of(second)}"


# Examples


def _common(pair: Pair) -> dict[str, Any]:
    """Return what is the same in all examples of a pair."""
    known = (*_METHODS, parse_template(pair.route).method)
    return {
        "at": datetime.fromtimestamp(pair.at_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "route": pair.route,
        "method": pair.method.decode("latin-1") if pair.method in known else "*",
        "request_path": shown_path(pair.route, pair.target),
        "query": list(shown_query(pair.target)),
        "fields": list(needed_fields(pair.request_fields)),
        "sides": [pair.primary.value, pair.primary.other.value],
        "statuses": [pair.first.status, pair.second.status],
        "version": pair.version,
    }


def _told(
    pair: Pair,
    of: Fingerprint,
    same: list[Difference],
    all_of: tuple[Fingerprint, ...],
    documents: tuple[Any, Any] | None,
) -> dict[str, Any]:
    """Return what an example says of its own difference, and in short of the others."""
    this = same[0]
    steps = [None if isinstance(key, int) or not is_word(key) else key for key in this.place]
    others = [[each.kind, brief(each.path, PATH_LIMIT)] for each in all_of if each != of]
    told: dict[str, Any] = {
        "kind": of.kind,
        "path": brief(of.path, PATH_LIMIT),
        "steps": steps if len(steps) <= _MOST_STEPS else None,
        "places": len(same),
        "shapes": _shapes(this),
        "hints": list(_hints(this)),
        "others": others[:_MOST_OTHERS],
        "more_others": max(0, len(others) - _MOST_OTHERS),
    }
    if documents is not None and this.kind not in (Kind.STATUS, Kind.HEADER):
        around = surroundings(*documents, this, pair.comparison.differences)
        told["around"] = None if around is None else asdict(around)
        if pair.reveal and _is_revealed(this, pair.reveal, documents):
            told["revealed"] = [_value(this.first), _value(this.second)]
    return told


def _shapes(this: Difference) -> list[str]:
    if this.kind is Kind.STATUS:
        return [str(this.first), str(this.second)]
    return [shape_of(this.first), shape_of(this.second)]


def _hints(this: Difference) -> tuple[str, ...]:
    if this.kind is Kind.ORDER:
        return ("the same items in another order: `unordered`",)
    return () if this.kind is Kind.STATUS else hints(this.first, this.second)


def _documents(pair: Pair) -> tuple[Any, Any] | None:
    """Return both bodies as they were compared, None unless both are JSON."""
    one, other = _parsed(pair.first), _parsed(pair.second)
    if one is None or other is None:
        return None
    first, second = one[1], other[1]
    if first.is_exact is not second.is_exact:
        exact, also = exactly(*one), exactly(*other)
        if not (isinstance(exact, Document) and isinstance(also, Document)):
            return None
        first, second = exact, also
    return first.value, second.value


def _parsed(answer: Answer) -> tuple[bytes, Document] | None:
    text = decoded(answer.body, b",".join(values_of(answer.fields, b"content-encoding")), MOST_BYTES)
    document = parse(text) if isinstance(text, bytes) else None
    return (text, document) if isinstance(text, bytes) and isinstance(document, Document) else None


@lru_cache(maxsize=256)
def _revealing(paths: tuple[str, ...]) -> CompareRules:
    return CompareRules(Compare(reveal=paths))


def _is_revealed(this: Difference, paths: tuple[str, ...], documents: tuple[Any, Any]) -> bool:
    """Say whether a path names the place of a difference, or something that it is a part of."""
    try:
        state = _revealing(paths).revealed(*documents)
    except TooDeep:  # where a path leads in such a document nobody knows, so nothing is shown
        return False
    value = documents[0] if this.first is not ABSENT else documents[1]
    for key in this.place:
        if state.values:
            return True
        if isinstance(key, int):
            state = state.item(key, len(value) if isinstance(value, list) else 0)
            value = value[key] if isinstance(value, list) and key < len(value) else None
        else:
            state = state.step(key)
            value = value.get(key) if isinstance(value, dict) else None
    return bool(state.values)


def _value(value: Any) -> str | None:
    if value is ABSENT:
        return None
    if isinstance(value, bytes):
        return brief(value.decode("utf-8", "replace"), MOST_REVEALED)
    return brief(json.dumps(value, default=str, ensure_ascii=False), MOST_REVEALED)


# Size

_SHORTENED = ("others", "fields", "query")
_LEFT_OUT = ("steps", "around", "revealed", "hints", "others", "fields", "query")


def written(example: Mapping[str, Any]) -> bytes:
    """Return an example as JSON of at most MOST_EXAMPLE_BYTES; b"" for none. What helps least is left out first."""
    if not example:
        return b""
    said = dict(example)
    text = orjson.dumps(said)
    while len(text) > MOST_EXAMPLE_BYTES and _shorten(said):
        text = orjson.dumps(said)
    return text if len(text) <= MOST_EXAMPLE_BYTES else b""


def _shorten(said: dict[str, Any]) -> bool:
    """Leave something out; say whether there was anything left for that."""
    around = said.get("around")
    if around is not None and len(around["rows"]) > 5:
        half = len(around["rows"]) // 2
        rows = sorted(around["rows"], key=lambda row: not row[3])[:half]
        said["around"] = {**around, "rows": rows, "more": around["more"] + len(around["rows"]) - half}
        return True
    for name in _SHORTENED:
        if len(said.get(name) or ()) > 4:
            said[name] = said[name][: len(said[name]) // 2]
            return True
    for name in _LEFT_OUT:
        if said.get(name):
            del said[name]
            return True
    return False
