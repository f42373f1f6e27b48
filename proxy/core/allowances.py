"""
One rule of `compare` as a value: a difference that counts for nothing, why, and until when.

Each is written short (`$.score: 0.001`) or long (`$.score: {absolute: 0.001, why: …, until: 2027-01-31}`). Here it is
always the long one; it is written back short if that says all of it. Compares nothing: see `comparerules`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any, ClassVar, Literal, TypeGuard, get_args

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    GetJsonSchemaHandler,
    ModelWrapValidatorHandler,
    model_serializer,
    model_validator,
)

from proxy.core.frozen import Frozen
from proxy.core.likeness import instant
from proxy.core.problems import either, shown, suggestion
from proxy.core.scalars import JsonPath, KeyPath, checked_field, checked_jsonpath, checked_key_path

MOST_WHY = 200  # characters
MOST_ABSOLUTE = 1e300

Word = Literal["same-instant", "same-number", "case", "null-is-missing", "uuid", "url-path"]
WORDS: tuple[str, ...] = get_args(Word)

_WHOLE = 2**53  # beyond it a float is no longer one whole number
_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_DAY_S = 86_400
_RELATIVE = re.compile(r"(\d{1,15}(?:\.\d{1,20})?(?:[eE][+-]?\d{1,3})?) ?%", re.ASCII)

_SECRET = (
    "authorization",
    "cookie",
    "set-cookie",
    "set-cookie2",
    "www-authenticate",
    "authentication-info",
    "x-api-key",
)
_OF_ONE_ANSWER = ("age", "date", "expires", "server-timing", "via", "x-request-id", "traceparent", "tracestate")
_OF_THE_CONNECTION = ("connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "content-length")


def ends_at(until: str) -> float | None:
    """Return when a date or instant of RFC 3339 is over, in seconds since 1970; None for what is neither."""
    found = instant(f"{until}T00:00:00Z" if _DAY.fullmatch(until) else until)
    if not isinstance(found, tuple):
        return None
    seconds, decimals = found
    return float(seconds + _DAY_S) if _DAY.fullmatch(until) else seconds + float(f"0.{decimals or 0}")


def checked_until(value: object) -> str:
    """Return a date or an instant as it was written."""
    if not isinstance(value, str) or len(value) > 40 or ends_at(value) is None:
        raise ValueError(
            "should be a date like 2027-01-31 (its end in UTC) or an instant like 2027-01-31T12:00:00Z, "
            f"is {shown(value)}"
        )
    return value


def checked_relative(value: object) -> str:
    """Return a share of the larger number, like `1%`, as it was written."""
    found = _RELATIVE.fullmatch(value) if isinstance(value, str) else None
    if found is None or not isinstance(value, str) or Decimal(found[1]) > 100:
        raise ValueError(f"should be a share from 0% to 100%, like `1%`; is {shown(value)}")
    return value


def is_amount(value: object) -> TypeGuard[int | float]:
    """Say whether a value is a number that two others can be apart."""
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= MOST_ABSOLUTE


def checked_absolute(value: object) -> float:
    """Return how far apart two numbers may be."""
    if not is_amount(value):
        raise ValueError(f"should be a number, 0 or more; is {shown(value)}")
    return float(value)


def checked_secretless(value: str) -> str:
    """Return the name of a header field, in lower case, unless its values are secrets."""
    name = checked_field(value)
    if name in _SECRET or name.startswith("proxy-"):
        raise ValueError(f"`{name}` is never looked at: its values are secrets")
    return name


def checked_compared(value: str) -> str:
    """Return the name of a header field whose values may be compared, in lower case."""
    name = checked_secretless(value)
    if name in _OF_ONE_ANSWER or name.startswith("x-banyan-"):
        raise ValueError(f"`{name}` is never compared: no two answers have the same")
    if name in _OF_THE_CONNECTION:
        raise ValueError(f"`{name}` is never compared: it is about the connection, not the answer")
    return name


def _as_people_write(value: object) -> object:
    return int(value) if isinstance(value, float) and value.is_integer() and value < _WHOLE else value


Until = Annotated[str, BeforeValidator(checked_until)]
Relative = Annotated[str, BeforeValidator(checked_relative)]
Absolute = Annotated[float, BeforeValidator(checked_absolute)]
ComparedField = Annotated[str, AfterValidator(checked_compared)]


class Allowance(Frozen):
    """What every rule of `compare` may say; `SHORT` names the fields of which one alone is the short form."""

    SHORT: ClassVar[tuple[str, ...]] = ()
    SCHEMA_OF_SHORT: ClassVar[tuple[Mapping[str, Any], ...]] = ({"type": "string"},)

    why: Annotated[str, Field(min_length=1, max_length=MOST_WHY)] | None = None
    until: Until | None = None

    @property
    def until_s(self) -> float | None:
        """When the rule stops to work, in seconds since 1970."""
        return None if self.until is None else ends_at(self.until)

    @classmethod
    def long(cls, short: object) -> dict[str, Any]:
        """Return what the short form means; raises ValueError with the sentence for the operator."""
        raise NotImplementedError

    @model_validator(mode="wrap")
    @classmethod
    def _read(cls, value: Any, handler: ModelWrapValidatorHandler[Allowance]) -> Allowance:
        return handler(value if isinstance(value, Allowance | Mapping) else cls.long(value))

    @model_serializer(mode="plain")
    def _written(self) -> Any:
        fields = type(self).model_fields
        said = {fields[name].alias or name: _as_people_write(value) for name, value in self if value is not None}
        if not said:
            return None
        if len(said) == 1 and (only := next(iter(said))) in self.SHORT:
            return said[only]
        beside = {name: said.pop(name) for name in ("why", "until") if name in said}
        return said | beside

    @classmethod
    def __get_pydantic_json_schema__(cls, core: Any, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        long = handler.resolve_ref_schema(handler(core))
        return {"anyOf": [*map(dict, cls.SCHEMA_OF_SHORT), long], "title": cls.__name__}


class Ignored(Allowance):
    """What stands at these places is not compared, nor whether anything does."""

    SHORT = ("path",)

    path: JsonPath

    @classmethod
    def long(cls, short: object) -> dict[str, Any]:
        """Return what `$.a` alone means."""
        if not isinstance(short, str):
            raise ValueError(f"should be a JSONPath, or a mapping with `path`; is {shown(short)}")
        return {"path": checked_jsonpath(short)}


class Unordered(Allowance):
    """The order of a list says nothing; items are matched by their key, or (null) as equal ones."""

    SHORT = ("by",)
    SCHEMA_OF_SHORT = ({"type": "string"}, {"type": "null"})

    by: KeyPath | None = None

    @classmethod
    def long(cls, short: object) -> dict[str, Any]:
        """Return what `$.id`, or null, alone means."""
        if short is not None and not isinstance(short, str):
            raise ValueError(
                f"should be the JSONPath of the items' key, null, or a mapping with `by`; is {shown(short)}"
            )
        return {"by": None if short is None else checked_key_path(short)}


def _not_empty(value: object) -> object:
    if value == {}:  # in a file an empty mapping says nothing, and leaves what is live
        raise ValueError("should not be empty; say null if items are matched as equal ones")
    return value


UnorderedRule = Annotated[Unordered, BeforeValidator(_not_empty)]


class Tolerance(Allowance):
    """Two numbers may be so far apart: by an amount, or by a share of the larger one; one of both will do."""

    SHORT = ("absolute", "relative")
    SCHEMA_OF_SHORT = ({"type": "number", "minimum": 0}, {"type": "string", "pattern": f"^{_RELATIVE.pattern}$"})

    absolute: Absolute | None = None
    relative: Relative | None = None

    @classmethod
    def long(cls, short: object) -> dict[str, Any]:
        """Return what a number, or `1%`, alone means."""
        if isinstance(short, str) and short.rstrip().endswith("%"):
            return {"relative": checked_relative(short)}
        if not is_amount(short):
            what = "should be a number (0 or more), a share like `1%`, or a mapping with `absolute` or `relative`"
            raise ValueError(f"{what}; is {shown(short)}")
        return {"absolute": short}

    @model_validator(mode="after")
    def _says_how_far(self) -> Tolerance:
        if self.absolute is None and self.relative is None:
            raise ValueError("needs `absolute`, a number, or `relative`, a share like `1%`")
        return self

    @property
    def apart(self) -> tuple[Decimal, Decimal]:
        """What is allowed: (absolute, relative as a fraction)."""
        share = Decimal(0) if self.relative is None else Decimal(self.relative.rstrip("% ")) / 100
        return Decimal(repr(self.absolute or 0)), share


class EqualIf(Allowance):
    """Two values are equal if they mean the same in this way."""

    SHORT = ("as",)
    SCHEMA_OF_SHORT = ({"enum": list(WORDS)},)

    word: Annotated[Word, Field(alias="as")]

    @classmethod
    def long(cls, short: object) -> dict[str, Any]:
        """Return what the word alone means."""
        if short not in WORDS:
            hint = suggestion(short, WORDS) if isinstance(short, str) else ""
            raise ValueError(f"should be {either(WORDS)}, or a mapping with `as`; is {shown(short)}{hint}")
        return {"as": short}
