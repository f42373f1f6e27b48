"""
What the four components of the demo keep: the shape of each entity, and what is accepted at the door.

Pure, and shared by both applications as the specification that a rewrite is given. How entities are kept, and
what is derived from them, each application does in its own way.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import orjson
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, ValidationError

Document = dict[str, Any]  # one entity as JSON, fields in the order in which they are answered

ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._~-]{0,63}", re.ASCII)
_NUMBER = re.compile(r"[1-9][0-9]{0,17}", re.ASCII)
_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_RESERVED = "search"  # the path of the search is no entity's
_DEEPEST = 10
_EXACT = 2**53  # integers up to here are the same number in every JSON reader


class Invalid(Exception):
    """A request that asks for what cannot be; `problems` maps the dotted path of a field to what is wrong with it."""

    def __init__(self, message: str, problems: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.problems = dict(problems or {})


def instant(moment: datetime) -> str:
    """Return a moment as every answer spells it: UTC with three decimals and a Z."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _canonical_instant(text: str) -> str:
    if not _RFC3339.fullmatch(text):
        raise ValueError("should be a time like 2024-03-01T09:30:00Z")
    try:
        return instant(datetime.fromisoformat(text.upper()))
    except (ValueError, OverflowError):
        raise ValueError("is no time that a calendar knows") from None


def _plain_id(text: str) -> str:
    if not ID.fullmatch(text):
        raise ValueError("should be 1 to 64 of A-Z a-z 0-9 . _ ~ - and start with a letter or digit")
    if text == _RESERVED:
        raise ValueError("is the path of the search")
    return text


def _distinct(words: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(words)) < len(words):
        raise ValueError("has an entry twice")
    return words


def _finite(number: float) -> float:
    if not math.isfinite(number):
        raise ValueError("should be a finite number")
    return number + 0.0  # minus zero is zero: a database may not keep the sign


def _scalar(value: str | float | bool | None) -> str | float | bool | None:
    if isinstance(value, int) and abs(value) > _EXACT:
        raise ValueError("is an integer that not every JSON reader keeps exactly")
    return _finite(value) if isinstance(value, float) else value


def _by_key(values: dict[str, Any]) -> dict[str, Any]:
    return dict(sorted(values.items()))


Id = Annotated[str, AfterValidator(_plain_id)]
Instant = Annotated[str, AfterValidator(_canonical_instant)]
Text = Annotated[str, StringConstraints(max_length=4000, pattern=r"^[^\x00]*$")]
Line = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")]
Word = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_.-]{0,39}$")]
Words = Annotated[tuple[Word, ...], Field(max_length=20), AfterValidator(_distinct)]
Number = Annotated[float, AfterValidator(_finite)]
Scalar = Annotated[bool | int | float | Text | None, AfterValidator(_scalar)]


class Entity(BaseModel):
    """What every entity has."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    id: Id
    created_at: Instant
    updated_at: Instant


class User(Entity):
    name: Line
    email: Annotated[Line, StringConstraints(pattern=r"^[^@\s]+@[^@\s]+$")]
    active: bool = True
    roles: Words = ()
    settings: Annotated[dict[Word, Line], Field(max_length=20), AfterValidator(_by_key)] = {}


class Entry(Entity):
    scope: Literal["system", "tenant", "user"] = "system"
    description: Text = ""
    value: Scalar
    overrides: Annotated[dict[Word, Scalar], Field(max_length=20), AfterValidator(_by_key)] = {}


class Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    author: Word
    text: Text
    at: Instant
    read: bool = False


class Conversation(Entity):
    title: Line
    status: Literal["open", "closed"] = "open"
    participants: Words = ()
    messages: Annotated[tuple[Message, ...], Field(max_length=500)] = ()


class Event(Entity):
    name: Word
    user: Word
    at: Instant
    value: Number = 0.0
    tags: Words = ()


MODELS: dict[str, type[Entity]] = {
    "users": User,
    "configuration": Entry,
    "conversations": Conversation,
    "analytics": Event,
}
COMPONENTS = tuple(MODELS)
# Answered, but never stored by a client: what a reader sends back of these is not looked at.
DERIVED = {"conversations": ("message_count", "unread", "last_message_at")}


def checked(component: str, body: Mapping[str, Any]) -> Document:
    """
    Return the entity that `body` describes: every field, in order, in its one canonical form.

    `body` needs id, created_at and updated_at; derived fields are left out. Raises Invalid with every problem.
    """
    given = {key: value for key, value in body.items() if key not in DERIVED.get(component, ())}
    try:
        entity = MODELS[component].model_validate_json(orjson.dumps(given))
    except ValidationError as refused:
        problems = {
            ".".join(map(str, error["loc"])) or "body": error["msg"].removeprefix("Value error, ")
            for error in refused.errors(include_url=False)
        }
        raise Invalid("the entity is not valid", problems) from None
    return entity.model_dump(mode="json")


def stamped(body: Mapping[str, Any], entity_id: str, now: str, before: Document | None) -> Document:
    """
    Return a full entity's `body` with its id and times.

    Times that are given are kept as they are, so that the state of one application can be put on the other.
    Raises Invalid for a body that names another id.
    """
    _same_id(body, entity_id)
    created = before["created_at"] if before else now
    return {"created_at": created, "updated_at": now, **body, "id": entity_id}


def patched(before: Document, patch: Mapping[str, Any], now: str) -> Document:
    """Return an entity with a merge patch applied (RFC 7396) and, unless the patch says when, a new updated_at."""
    _same_id(patch, before["id"])
    merged = _merge(before, {"updated_at": now, **patch})
    return {**merged, "id": before["id"]}


def _same_id(body: Mapping[str, Any], entity_id: str) -> None:
    if body.get("id", entity_id) != entity_id:
        raise Invalid("the body names another id than the path", {"id": f"should be {entity_id!r} or left out"})


def _merge(target: object, patch: Mapping[str, Any], depth: int = 0) -> Document:
    if depth > _DEEPEST:
        raise Invalid("the body is nested deeper than any entity")
    merged = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = _merge(merged.get(key), value, depth + 1) if isinstance(value, dict) else value
    return merged


def number_of(entity_id: str) -> int:
    """Return the number that an id is, or 0: new ids count on from the highest ever seen."""
    return int(entity_id) if _NUMBER.fullmatch(entity_id) else 0


def rank(entity_id: str) -> str:
    """Return what puts ids in the order of lists: numbers by size, then words as bytes."""
    number = number_of(entity_id)
    return f"0{number:018d}" if number else f"1{entity_id}"
