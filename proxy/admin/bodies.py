"""
The bodies of the admin listener's POSTs: what may stand in them, and what is said when it does not.

Every change needs a reason. Whether a weight or a side makes sense is decided where changes are, in the same words as
on the command line.
"""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, TypeVar

import orjson
from aiohttp import web
from pydantic import Field, StringConstraints, ValidationError

from proxy.admin.answers import Refused
from proxy.core.frozen import Frozen
from proxy.core.problems import problems_of

BODY_BYTES = 64 * 1024
LONGEST_S = 366 * 86400

Why = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=1000)]
Version = Annotated[int, Field(ge=0)]


class Reason(Frozen):
    """All that a rollback needs."""

    why: Why
    expect: Version | None = Field(
        default=None, description="the version that the change is made for; 409 if it is not live"
    )


class Weight(Reason):
    """Another share of a component's reads for modern."""

    weight: Any = Field(json_schema_extra={"type": "number", "minimum": 0, "maximum": 100, "multipleOf": 0.01})


class Phase(Reason):
    """Another phase of a component; `auto` or null: it follows the weight."""

    phase: str | None


class Close(Frozen):
    """A cluster of mismatches is fixed, or of no account."""

    why: Why


class Emergency(Frozen):
    """All reads of a component, or of `all`, to one side at once; `off` ends it."""

    why: Why
    to: str = Field(json_schema_extra={"enum": ["legacy", "modern", "off"]})
    for_s: Annotated[float, Field(gt=0, le=LONGEST_S, allow_inf_nan=False)] | None = None


Body = TypeVar("Body", bound=Frozen)


async def body_of(request: web.Request, model: type[Body], within_s: float) -> Body:
    """Return the body of a POST; raises Refused with everything that is wrong with it, or when it is late."""
    try:
        async with asyncio.timeout(within_s):
            values = orjson.loads(await request.read())
    except TimeoutError:
        raise Refused(408, f"the body did not come within {within_s:g} s") from None
    except web.RequestPayloadError:
        raise Refused(400, "the body is not framed as its head says") from None
    except orjson.JSONDecodeError as exc:
        raise Refused(400, f"the body is not JSON: {exc}") from None
    try:
        return model.model_validate(values)
    except ValidationError as exc:
        problems = [str(problem) for problem in problems_of(exc, {}, "body", model)]
        raise Refused(400, "; ".join(problems), problems=problems) from None
