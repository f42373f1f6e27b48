"""
What is decided about one request, as frozen values: the plan, its reasons, its refusal, its deadlines.

Ground floor: types only. The plan travels with its request, so that a rule change in mid-flight cannot tear it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from typing import Any, Literal

from proxy.core.errors import Failure
from proxy.core.phases import RequestKind
from proxy.core.routes import EntityKey
from proxy.core.rules import Compare, Phase, Side, Timeouts


class Reason(StrEnum):
    """Why a side was chosen: one word for header, log, metric and `explain` alike."""

    UNCLAIMED = "unclaimed"
    PHASE = "phase"
    EMERGENCY = "emergency"
    FORCED = "forced"
    PIN = "pin"
    WEIGHT = "weight"
    FOLLOWS_WRITES = "follows_writes"
    MARKED = "marked"
    PINNED_SESSION = "pinned_session"
    BREAKER = "breaker"
    AMBIGUOUS = "ambiguous"
    STORE_LOST = "store_lost"
    WRITE_PRIMARY = "write_primary"
    TUNNEL = "tunnel"


class Mark(StrEnum):
    """What must be marked before a write is sent."""

    NONE = "none"
    ENTITY = "entity"
    CREATE = "create"
    COLLECTION = "collection"


@dataclass(frozen=True, slots=True)
class Refusal:
    """The request is answered by Banyan itself; no side is asked."""

    status: int
    why: str
    retry_after_s: int = 0  # 0: no Retry-After


AMBIGUOUS_PATH = Refusal(400, "the path can be read in more than one way; send it in its normal form")
OVERLOADED = Refusal(503, "this process has more to do than it gets done; try again", retry_after_s=1)
WRITES_NOT_SAFE = Refusal(503, "writes wait until the rule store was read once", retry_after_s=5)


@dataclass(frozen=True, slots=True)
class FallbackOn:
    """What makes a read fall back, apart from `sent: none`, which always does."""

    failures: frozenset[Failure]
    statuses: tuple[bool, ...]  # by status code, 0 to 999


@lru_cache(maxsize=64)  # a thousand items each, and nearly all routes say the same
def fallback_on(causes: tuple[str | int, ...]) -> FallbackOn:
    """Return what `fallback.on` of the rules lists: connect, timeout, reset, 5xx, or single codes."""
    fails = [code in causes or (500 <= code < 600 and "5xx" in causes) for code in range(1000)]
    return FallbackOn(frozenset(failure for failure in Failure if failure in causes), tuple(fails))


NO_FALLBACK = fallback_on(())


@dataclass(frozen=True, slots=True)
class Watch:
    """What is looked at behind the answers of one route: shares in 0.01 % of its reads."""

    shadow_bp: int  # also asked of the other side, and compared
    noise_bp: int  # asked of the same side twice, and compared
    compare: Compare
    drop: frozenset[bytes]  # fields of a request that a shadow read leaves out
    any_method: bool  # not only GET and HEAD: the route says that its requests are reads, and that they are shadowed
    phase: Phase


@dataclass(frozen=True, slots=True)
class PlanDefaults:
    """What the settings say about plans."""

    legacy: Timeouts = field(default_factory=Timeouts)  # deadlines of a try, where no rule changes them
    modern: Timeouts = field(default_factory=Timeouts)
    ambiguous_paths: Literal["legacy", "refuse"] = "legacy"
    validators: Literal["primary", "pass"] = "primary"


@dataclass(frozen=True, slots=True)
class Plan:
    """The decision about one request; made once per route and outcome, and then shared by all requests like it."""

    version: int  # of the rule set; 0 when there is none
    component: str | None
    component_index: int  # in Table.components; -1 when unclaimed
    route: str  # key of the route, or "unclaimed"
    kind: RequestKind
    side: Side
    reason: Reason
    label: bytes  # `v41;weight`, for X-Banyan-Plan
    primary: Side  # owns the writes, and the validators
    deadlines: Timeouts  # of a try on `side`
    fallback_deadlines: Timeouts  # of a try on `fallback`
    fallback: Side | None = None
    fallback_on: FallbackOn = NO_FALLBACK
    shadow: Side | None = None  # may be asked, too, and compared
    watch: Watch | None = None  # None where nothing is looked at, and nothing is to be created
    mark: Mark = Mark.NONE
    refusal: Refusal | None = None
    entity: EntityKey | None = None
    confirm_missing: bool = False  # a 404 of `side` is to be confirmed by `fallback`, outside the budget
    strip_validators: bool = False  # `side` does not own the validators
    fallback_strips: bool = False  # `fallback` does not
    needs_entity: bool = False  # the bucket depends on a key in the body: plan again with `entity` once it is read
    alarm: bool = False  # a write to a readonly component
    ambiguous: bool = False
    affects: tuple[str, ...] = ()  # other components that a write changes, too

    __hash__ = object.__hash__  # equal by value, but kept by identity: hashing every field costs more than planning

    def facts(self) -> dict[str, Any]:
        """Return what `explain` and the access log show of a plan, ready for JSON."""
        return {
            "version": self.version, "component": self.component, "route": self.route, "kind": self.kind,
            "side": self.side, "fallback": self.fallback, "shadow": self.shadow, "primary": self.primary,
            "mark": self.mark, "reason": self.reason, "ambiguous": self.ambiguous, "alarm": self.alarm,
            "refusal": None if self.refusal is None else {"status": self.refusal.status, "why": self.refusal.why},
            "deadlines": self.deadlines.model_dump(mode="json"),
        }  # fmt: skip
