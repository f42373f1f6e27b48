"""
What a replica says of itself, as it is found in the store: anybody may have written anything there.

What is no heartbeat becomes one sentence for the operator, and so does a fact that nobody could have meant; what
other builds say on top is left out, or passed on as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

import orjson
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from proxy.core.brief import brief, told
from proxy.core.frozen import Items
from proxy.core.model import MOST_VERSIONS
from proxy.core.problems import problems_of, shown
from proxy.core.scalars import is_deeper

MOST_BYTES = 262_144  # of one heartbeat; a replica with much to say needs a tenth of it
DEPTH_LIMIT = 16  # what is deeper could be read and not be shown
_WORST_CHARACTERS = 200

Text = Annotated[str, AfterValidator(brief)]
Count = Annotated[int, Field(ge=0, le=MOST_VERSIONS)]


@dataclass(frozen=True, slots=True)
class Heard:
    """What one key says: `values` by the fields of a heartbeat, None if it is none; `faults` what is wrong."""

    values: Mapping[str, Any] | None = None
    faults: tuple[str, ...] = field(default=())


class _Said(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True)


class _Heartbeat(_Said):
    host: Text = ""
    pid: Count = 0
    parent: Text = ""
    build: Text = ""
    started: Text = ""
    at: Text = ""
    version: Count = 0
    epoch: Text = ""
    source: Text = "none"
    lag_s: Annotated[float, Field(allow_inf_nan=False)] = 0.0
    emergencies: dict[str, str] = {}
    refusals: Annotated[Items[str], AfterValidator(told)] = ()
    breakers: Items[str] = ()
    facts: dict[str, Any] = {}


class _Alarm(_Said):
    kind: str
    why: str
    component: str | None = None


class _RefusedFile(_Said):
    component: str
    file: str
    problem: str


class _Drift(_Said):
    component: str
    file: str | None = None
    why: str


_FACTS: Mapping[str, TypeAdapter[Any]] = {
    "connected": TypeAdapter(bool, config=ConfigDict(strict=True)),
    "alarms": TypeAdapter(list[_Alarm]),
    "refused_files": TypeAdapter(list[_RefusedFile]),
    "drifts": TypeAdapter(list[_Drift]),
    "skew": TypeAdapter(dict[str, float], config=ConfigDict(strict=True)),
    "unclaimed": TypeAdapter(list[list[Any]]),
    "sides": TypeAdapter(dict[str, str], config=ConfigDict(strict=True)),
}


def heard(key: str, raw: bytes) -> Heard:
    """Return what the value of `key` says; each fault is one sentence that names the key."""
    try:
        said = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return no_heartbeat(key, "is not JSON")
    if is_deeper(said, DEPTH_LIMIT):
        return no_heartbeat(key, "is nested too deeply")
    try:
        values = _Heartbeat.model_validate(said).model_dump()
    except ValidationError as error:
        return no_heartbeat(key, _first(error, ""))
    facts, faults = dict(values["facts"]), []
    for name in facts.keys() & _FACTS.keys():
        try:
            _FACTS[name].validate_python(facts[name])
        except ValidationError as error:
            del facts[name]
            faults.append(f"{_named(key)} is understood in part: {_first(error, f'facts.{name}')}")
    return Heard({**values, "facts": facts}, tuple(sorted(faults)))


def no_heartbeat(key: str, why: str) -> Heard:
    """Return that a key holds no heartbeat."""
    return Heard(None, (f"{_named(key)} is no heartbeat: {why}",))


def _named(key: str) -> str:
    return shown(key).strip("`")


def _first(error: ValidationError, where: str) -> str:
    """Say the first thing that is wrong: `refusals should be a list, is null`."""
    first = problems_of(error, {}, "")[0]
    path = ".".join(part for part in (where, first.where) if part)
    return brief(f"{path} {first.what}".strip(), _WORST_CHARACTERS)
