"""
Do two answers to one request say the same? Status, the header fields that count, and the body without its coding.

Ground floor. The first answer is always the write primary's, whichever side the client got its answer from: one bug
then looks the same from both directions. Whatever bytes come in, there is an outcome: nothing is raised.

Error pages differ by nature (traces, request ids, the words of a framework): of two errors with one status only the
content type is compared, and callers count them apart. The note in a redirect is for people who do not follow it (RFC
9110 section 15.4.4): where both have a Location, which is always compared, only JSON is looked at beside it.
"""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

from proxy.core.codings import decoded
from proxy.core.comparerules import CompareRules
from proxy.core.documents import (
    ABSENT,
    EQUAL,
    MOST_DIFFERENCES,
    Comparison,
    Difference,
    Kind,
    compare_bodies,
)
from proxy.core.mediatypes import is_json, members, same_type
from proxy.core.messages import COLON, value_behind, values_of
from proxy.core.oddities import Oddity

__all__ = ["EQUAL", "Answer", "Comparison", "Difference", "Kind", "Oddity", "compare"]

MOST_BYTES = 8 << 20

_CODING, _TYPE, _LOCATION, _COOKIE = b"content-encoding", b"content-type", b"location", b"set-cookie"
_TYPE_START = _TYPE + COLON
_TYPE_START = _TYPE + COLON
_LF = 10


class Answer(NamedTuple):
    """One whole answer as it came; `fields` are its header lines (`core.messages`), `body` may have a coding."""

    status: int
    fields: bytes
    body: bytes


def compare(
    first: Answer,
    second: Answer,
    rules: CompareRules,
    most: int = MOST_DIFFERENCES,
    most_bytes: int = MOST_BYTES,
) -> Comparison:
    """
    Compare two whole answers; of two that differ in their status nothing else is looked at.

    `most` differences are looked for, and bodies of up to `most_bytes` without their coding.
    """
    status, one, other = first.status, first.fields, second.fields
    same = status == second.status and not 300 <= status < 400
    same = same and (one == other or _have_same(one, other, _starts_of(rules.headers)))
    if same and first.body == second.body:
        return EQUAL
    if status != second.status and not (rules.by_class and status // 100 == second.status // 100):
        return Comparison((Difference(Kind.STATUS, "status", (), status, second.status),))
    fields = () if same else _differing_fields(first.fields, second.fields, _counted(status, rules))[:most]
    if status >= 400:
        return Comparison(fields) if fields else EQUAL
    body = _compare_bodies(first, second, rules, (most, most_bytes), same)
    if not fields or not body.is_readable:
        return body
    cut = body.cut or len(fields) + len(body.differences) > most
    return Comparison((*fields, *body.differences)[:most], body.explained, cut, body.oddity)


@cache
def _starts_of(names: tuple[bytes, ...]) -> tuple[bytes, ...]:
    return tuple(name + COLON for name in (_CODING, *names))


def _have_same(first: bytes, second: bytes, starts: tuple[bytes, ...]) -> bool:
    """
    Say whether each field is in neither, or once in both with the same bytes.

    Hot: asked of every pair of equal bodies. False may mean that it takes a closer look.
    """
    for start in starts:
        at, other = first.find(start), second.find(start)
        if at < 0 and other < 0:
            continue
        if at < 0 or other < 0 or (at and first[at - 1] != _LF) or (other and second[other - 1] != _LF):
            return False
        end = first.find(b"\r", at)
        if end < 0 or not second.startswith(first[at : end + 1], other):
            return False
        if first.find(start, end) >= 0 or second.find(start, other + 1) >= 0:
            return False
    return True


# Header fields


def _counted(status: int, rules: CompareRules) -> tuple[bytes, ...]:
    """Return the names of the fields that are compared."""
    if status >= 400:
        return (_TYPE,) if _TYPE in rules.headers else ()
    if 300 <= status < 400 and _LOCATION not in rules.headers:
        return (*rules.headers, _LOCATION)
    return rules.headers


def _differing_fields(first: bytes, second: bytes, names: tuple[bytes, ...]) -> tuple[Difference, ...]:
    if first == second or _have_same(first, second, _starts_of(names)):
        return ()
    found = []
    for name in names:
        one, other = values_of(first, name), values_of(second, name)
        if not _are_alike(name, one, other):
            path = name.decode("latin-1")
            found.append(Difference(Kind.HEADER, path, (), _shown(one), _shown(other)))
    return tuple(found)


def _are_alike(name: bytes, first: list[bytes], second: list[bytes]) -> bool:
    """Say whether two fields mean the same: several lines are one list (RFC 9110 section 5.3), cookies apart."""
    if first == second:
        return True
    if not first or not second or name == _COOKIE:
        return False
    if name == _TYPE and len(first) == len(second) == 1:
        return same_type(first[0], second[0])
    return members(first) == members(second)


def _shown(values: list[bytes]) -> Any:
    """Return the value of a field as a text, a list of texts for several lines, ABSENT where there is none."""
    texts = [value.decode("latin-1") for value in values]
    return (texts if len(texts) > 1 else texts[0]) if texts else ABSENT


# Bodies


def _compare_bodies(
    first: Answer, second: Answer, rules: CompareRules, bounds: tuple[int, int], same: bool
) -> Comparison:
    """Compare two bodies; `same` says that their codings are, `bounds` how many differences and bytes are looked at."""
    codings = _codings_of(first)
    others = codings if same else _codings_of(second)
    if codings == others and first.body == second.body:
        return EQUAL
    most, most_bytes = bounds
    are_json = _says_json(first.fields) or _says_json(second.fields)
    if not are_json and _are_redirects(first, second):
        return EQUAL
    one, other = decoded(first.body, codings, most_bytes), decoded(second.body, others, most_bytes)
    if isinstance(one, Oddity):
        return Comparison(oddity=one)
    if isinstance(other, Oddity):
        return Comparison(oddity=other)
    return compare_bodies(one, other, rules, most, is_json=are_json)


def _says_json(fields: bytes) -> bool:
    value = value_behind(fields, _TYPE_START) or b""
    return value == b"application/json" or is_json(value)


def _codings_of(answer: Answer) -> bytes:
    return b",".join(values_of(answer.fields, _CODING)) if _CODING in answer.fields else b""


def _are_redirects(first: Answer, second: Answer) -> bool:
    return all(300 <= each.status < 400 and values_of(each.fields, _LOCATION) for each in (first, second))
