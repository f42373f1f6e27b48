"""
What one value of a rule file may be: percentages, route keys, sticky sources, names, and how each is worded when wrong.

A check takes what the file says and returns the value, or raises ValueError with the sentence for the operator.
It looks at one value only; what depends on a second one is settled in `checks`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer

from proxy.core import jsonpaths
from proxy.core.problems import did_you_mean, either, shown, suggestion
from proxy.core.routes import parse_template

READ_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
RESERVED_NAMES = frozenset(
    # `emergency:all`, what metrics call a request that nobody claims, and the verbs that may stand instead of a name
    {"all", "unclaimed", "list", "show", "close"}
)
STICKY_KINDS = ("header", "jwt", "cookie", "entity", "client")
FALLBACK_WORDS = ("connect", "timeout", "reset", "5xx")

_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
_NAME = re.compile(r"[a-z][a-z0-9_-]{0,62}")
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110 section 5.6.2
_ENTITY = re.compile(r"\{[A-Za-z_][A-Za-z0-9_]*\}")
_STEP = 100  # a percentage has steps of 1/100


def is_deeper(value: object, levels: int) -> bool:
    """Say whether lists and mappings stand in each other more than `levels` deep; asks no stack."""
    level = [value]
    for _ in range(levels + 1):
        level = [child for node in level for child in _children(node)]
        if not level:
            return False
    return True


def is_larger(value: object, most: int) -> bool:
    """Say whether lists and mappings hold more than `most` values, at any depth; looks at no more than those."""
    waiting = [value]
    found = 0
    while waiting:
        children = _children(waiting.pop())
        found += len(children)
        if found > most:
            return True
        waiting.extend(children)
    return False


def _children(node: object) -> Collection[object]:
    if isinstance(node, dict):
        return node.values()
    return node if isinstance(node, list | tuple) else ()


def weight_bp(percent: float) -> int:
    """Return a percentage as a whole number of 0.01 %: what a bucket is compared with."""
    return round(percent * _STEP)


def checked_percent(value: object) -> float:
    """Return 0 to 100 in steps of 0.01; NaN, booleans and quoted numbers are refused."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 100:
        raise ValueError(f"should be 0 to 100, is {shown(value)}{_unquoted(value)}")
    steps = round(value * _STEP)
    if not math.isclose(value * _STEP, steps, rel_tol=0, abs_tol=1e-7):
        raise ValueError(f"should be 0 to 100 in steps of 0.01, is {value}")
    return steps / _STEP


def checked_name(value: str) -> str:
    """Return the name of a component: it becomes part of keys, labels and commands."""
    if not _NAME.fullmatch(value):
        raise ValueError(
            f"should be a name of small letters, digits, _ and -, a letter first, at most 63 long; is {shown(value)}"
        )
    if value in RESERVED_NAMES:
        raise ValueError(f"`{value}` is a word of its own, no component can be called so")
    return value


def split_route(key: str) -> tuple[str | None, str]:
    """Return method (None: any) and path template of a route key: `POST /api/users` → POST, /api/users."""
    method, _, template = key.rpartition(" ")
    return method.strip() or None, template


def checked_route(key: str) -> str:
    """Return a route key, `[METHOD ]/path/{name}/{rest...}`, when its method and its template are in order."""
    method, _ = split_route(key)
    if method is not None and method not in _METHODS:
        _check_method(method)
    parse_template(key)
    return key


def checked_entity(value: str) -> str:
    """Return where a route's entity key is: `{parameter}` of its template, or `body:` and a JSONPath to one place."""
    if value.startswith("body:"):
        if fault := jsonpaths.fault_of(value.removeprefix("body:"), singular=True):
            raise ValueError(f"after `body:`: {fault}")
    elif not _ENTITY.fullmatch(value):
        raise ValueError(f"should be a parameter of the path like `{{id}}`, or `body:$.id`; is {shown(value)}")
    return value


def checked_sticky(value: str) -> str:
    """Return a sticky source: header:NAME, jwt:CLAIM, cookie:NAME, entity or client; field names in lower case."""
    kind, colon, name = value.partition(":")
    named = kind in ("header", "jwt", "cookie")
    if kind not in STICKY_KINDS:
        hint = suggestion(kind, STICKY_KINDS)
        raise ValueError(f"should be header:NAME, jwt:CLAIM, cookie:NAME, entity or client; is {shown(value)}{hint}")
    if named and not (name if kind == "jwt" else _TOKEN.fullmatch(name)):
        raise ValueError(f"should be `{kind}:` and a name, is {shown(value)}")
    if not named and colon:
        raise ValueError(f"should be `{kind}` alone, is {shown(value)}")
    return value.lower() if kind == "header" else value


def checked_field(value: str) -> str:
    """Return the name of a header field in lower case."""
    if not _TOKEN.fullmatch(value):
        raise ValueError(f"should be the name of a header field, is {shown(value)}")
    return value.lower()


def checked_failure(value: object) -> str | int:
    """Return one entry of `fallback.on`: connect, timeout, reset, 5xx, or one status code from 400 to 599."""
    if isinstance(value, str) and value in FALLBACK_WORDS:
        return str(value)
    if isinstance(value, int) and not isinstance(value, bool) and 400 <= value <= 599:
        return value
    hint = suggestion(value, FALLBACK_WORDS) if isinstance(value, str) and not value.isdigit() else _unquoted(value)
    raise ValueError(f"should be {either(FALLBACK_WORDS)}, or a code from 400 to 599; is {shown(value)}{hint}")


def checked_jsonpath(value: str) -> str:
    """Return a JSONPath (RFC 9535)."""
    if fault := jsonpaths.fault_of(value):
        raise ValueError(fault)
    return value


def checked_key_path(value: str) -> str:
    """Return a JSONPath that names one place."""
    if fault := jsonpaths.fault_of(value, singular=True):
        raise ValueError(fault)
    return value


def checked_created_key(value: str) -> str:
    """Return where the answer to a create names the new key: a JSONPath to one place, or `location`."""
    return value if value == "location" else checked_key_path(value)


def checked_request_line(value: str) -> str:
    """Return `METHOD /path/{key}`: how one entity is read, put or removed."""
    method, template = split_route(value)
    if method is None or not template.startswith("/"):
        raise ValueError(f"should be a method, one space and a path, is {shown(value)}")
    return checked_route(value)


def _check_method(method: str) -> None:
    """Refuse what is probably a slip of a known method, and what no side is ever asked; others are let through."""
    meant = did_you_mean(method, _METHODS)
    if meant or method in ("CONNECT", "TRACE"):
        hint = f"; did you mean `{meant}`?" if meant else ""
        raise ValueError(f"should begin with a method ({', '.join(_METHODS)}) and a space, not with `{method}`{hint}")


def _unquoted(value: object) -> str:
    return "; leave out the quotes" if isinstance(value, str) and value.strip().isdigit() else ""


def _plain_number(value: float) -> float | int:
    return int(value) if value == int(value) else value


_AsWritten = PlainSerializer(_plain_number, return_type=float | int, when_used="json")  # 25, not 25.0, as people write

Percent = Annotated[float, Field(ge=0, le=100), BeforeValidator(checked_percent), _AsWritten]
Seconds = Annotated[float, Field(ge=0, le=86_400, allow_inf_nan=False), _AsWritten]
PositiveSeconds = Annotated[float, Field(gt=0, le=86_400, allow_inf_nan=False), _AsWritten]
Name = Annotated[str, AfterValidator(checked_name)]
RouteKey = Annotated[str, AfterValidator(checked_route)]
EntitySource = Annotated[str, AfterValidator(checked_entity)]
StickySource = Annotated[str, AfterValidator(checked_sticky)]
FieldName = Annotated[str, AfterValidator(checked_field)]
FallbackCause = Annotated[str | int, BeforeValidator(checked_failure)]
JsonPath = Annotated[str, AfterValidator(checked_jsonpath)]
KeyPath = Annotated[str, AfterValidator(checked_key_path)]
CreatedKey = Annotated[str, AfterValidator(checked_created_key)]
RequestLine = Annotated[str, AfterValidator(checked_request_line)]
