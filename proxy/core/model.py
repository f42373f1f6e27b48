"""
The rules as values: what a rule file may say about one component, and the rule set that is published whole.

Defaults stand here and nowhere else. Everything is frozen and refuses unknown keys; a change is a new value.
This room knows neither where a document came from nor whether its parts fit each other: that is `rules` and `checks`.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, model_validator

from proxy.core.allowances import ComparedField, EqualIf, Ignored, Tolerance, UnorderedRule
from proxy.core.frozen import Frozen, Items
from proxy.core.scalars import (
    READ_METHODS,
    CreatedKey,
    EntitySource,
    FallbackCause,
    FieldName,
    JsonPath,
    KeyPath,
    Name,
    Percent,
    PositiveSeconds,
    RequestLine,
    RouteKey,
    Seconds,
    StickySource,
    is_deeper,
    split_route,
    weight_bp,
)

SCHEMA = "1.0"  # major.minor of the published document: a newer major is refused, a newer minor is read as far as known
HASHES_KEPT = 32
MOST_VERSIONS = 2**53  # beyond it other readers of JSON lose count; a forged one must leave room for the next
MOST_COMPONENTS = 1_000  # of a rule set; far more than anybody migrates at once, and no more than can be read in time
MOST_ROUTES = 10_000  # of all its components together
MOST_VALUES = 50_000  # of one component, one file's record, or one component's origins
MOST_PINS, MOST_SOURCES = 100, 20  # each request may ask all of them
MOST_HEADERS = 50  # that are compared
DEFAULT_SHADOW = 10.0  # percent
DEPTH_LIMIT = 64  # of what a record keeps of a file; pydantic writes no more than 255 levels


class Side(StrEnum):
    """One of the two applications: fixed for the whole migration."""

    LEGACY = "legacy"
    MODERN = "modern"

    @property
    def other(self) -> Side:
        """The side that this one is not."""
        return Side.MODERN if self is Side.LEGACY else Side.LEGACY


class Phase(StrEnum):
    """Where a component stands; `rank` counts from 0 (`off`) to 5 (`retired`)."""

    OFF = "off"
    BACKFILL = "backfill"
    SHADOW = "shadow"
    CANARY = "canary"
    CUTOVER = "cutover"
    RETIRED = "retired"

    @property
    def rank(self) -> int:
        """How far the migration of a component is in this phase."""
        return _RANKS[self]


_RANKS = {phase: rank for rank, phase in enumerate(Phase)}


class ComponentKind(StrEnum):
    """What Banyan knows of a component's writes."""

    PLAIN = "plain"  # they stay on legacy, nothing is copied
    READONLY = "readonly"  # there are none
    ENTITY = "entity"  # they reach both sides, entity by entity


def _mapping_or_nothing(value: object) -> object:
    """`/api/users:` with nothing behind it is as good as `{}`."""
    return {} if value is None else value


_WORD = Field(strict=False)  # the word itself is as good as the member it names
_M = TypeVar("_M", bound=BaseModel)


def overlay(full: _M, *overrides: BaseModel | None) -> _M:
    """Return `full` with what the overrides say: a later one wins, null in one says nothing."""
    said = {
        name: value for override in overrides if override is not None for name, value in override if value is not None
    }
    return full.model_copy(update=said) if said else full


class TimeoutsOverride(Frozen):
    """Deadlines of one try, as a side, a component or a route may change them; null: as above it."""

    connect_s: PositiveSeconds | None = None
    head_s: PositiveSeconds | None = None
    head_with_fallback_s: PositiveSeconds | None = None
    idle_s: PositiveSeconds | None = None
    exchange_s: Seconds | None = None


class Timeouts(Frozen):
    """Deadlines in seconds, per try, so that the second side always has its own time."""

    connect_s: PositiveSeconds = 1.0
    head_s: PositiveSeconds = 15.0
    head_with_fallback_s: PositiveSeconds = 3.0  # for the head of an answer while another side could stand in
    idle_s: PositiveSeconds = 60.0  # between two blocks of a body
    exchange_s: Seconds = 0.0  # for all of it; 0: no bound


class ListShape(Frozen):
    """How the answer of a list route is built: where its items are and which key each has."""

    items: JsonPath
    key: KeyPath


class EntityMapping(Frozen):
    """How one entity's state is read, put and removed; null: derived from the component's routes."""

    read: RequestLine | None = None
    upsert: RequestLine | None = None
    delete: RequestLine | None = None
    created_key: CreatedKey = "$.id"


class Compare(Frozen):
    """
    Which differences between two answers count for nothing, and what beside the body is compared at all.

    Each rule is written short or long, see `core.allowances`.
    """

    ignore: Items[Ignored] = ()
    unordered: dict[JsonPath, UnorderedRule] = Field({})
    tolerance: dict[JsonPath, Tolerance] = Field({})
    equal_if: dict[JsonPath, EqualIf] = Field({})
    headers: Annotated[Items[ComparedField], Field(max_length=MOST_HEADERS)] = ("content-type",)
    status: Literal["exact", "class"] = "exact"  # class: any 2xx is as good as another
    reveal: Items[JsonPath] = ()  # whose values may be shown in the examples of a mismatch


class CompareOverride(Frozen):
    """`compare` of one route; null: as the component's."""

    ignore: Items[Ignored] | None = None
    unordered: dict[JsonPath, UnorderedRule] | None = None
    tolerance: dict[JsonPath, Tolerance] | None = None
    equal_if: dict[JsonPath, EqualIf] | None = None
    headers: Annotated[Items[ComparedField], Field(max_length=MOST_HEADERS)] | None = None
    status: Literal["exact", "class"] | None = None
    reveal: Items[JsonPath] | None = None


class Noise(Frozen):
    """How a component learns in what one side differs from itself."""

    sample: Percent | None = None  # of reads, asked of the same side twice; null: 1 where shadow reads are sent, else 0


class ShadowHeaders(Frozen):
    """What a shadow read says other than the request that it repeats."""

    drop: Items[FieldName] = ()


class Fallback(Frozen):
    """When a read is answered by the other side because the chosen one failed."""

    on: Items[FallbackCause] = ("connect", "timeout", "reset", "5xx")
    budget_pct: Percent = 20.0  # of the component's reads, over 10 s
    to_modern: bool = False  # whether modern may stand in for legacy


class FallbackOverride(Frozen):
    """`fallback` of one route; null: as the component's."""

    on: Items[FallbackCause] | None = None
    budget_pct: Percent | None = None
    to_modern: bool | None = None


class Breaker(Frozen):
    """When a replica spares a side of a component for a while."""

    window_s: Annotated[PositiveSeconds, Field(le=300)] = 10.0
    min_requests: Annotated[int, Field(ge=1)] = 20
    error_pct: Percent = 50.0
    slow_ms: Annotated[int, Field(ge=1)] = 2000
    consecutive: Annotated[int, Field(ge=1)] = 5
    open_s: PositiveSeconds = 5.0
    observe_only: bool = False


class Pin(Frozen):
    """Callers that always get one side: those whose header field `header` has one of the `values`."""

    header: FieldName
    values: Annotated[Items[str], Field(alias="in", min_length=1)]
    side: Annotated[Side, _WORD]


class Route(Frozen):
    """What is special about one route; its key (method and template) stands in `Component.routes`."""

    kind: Literal["read"] | None = None
    entity: EntitySource | None = None
    list: ListShape | None = None
    follow: Literal["writes"] | None = None
    affects: Items[Name] = ()
    weight: Percent | None = None
    shadow: Percent | None = None
    compare: CompareOverride | None = None
    fallback: FallbackOverride | None = None
    timeouts: TimeoutsOverride | None = None


def may_write(key: str, route: Route) -> bool:
    """Say whether a route, given by its key and rules, can carry a write."""
    return split_route(key)[0] not in READ_METHODS and route.kind != "read"


class Component(Frozen):
    """A named slice of the application: the unit of migration, of rollback and of progress."""

    component: Name
    kind: Annotated[ComponentKind, _WORD] = ComponentKind.PLAIN
    owner: str | None = None
    after: Items[Name] = ()
    phase: Annotated[Phase, _WORD] | None = None  # null follows the weight
    weight: Percent = 0.0
    cohort: Annotated[str, Field(min_length=1, max_length=200)] = ""  # left out: the component's name is filled in
    sticky: Annotated[Items[StickySource], Field(max_length=MOST_SOURCES)] = ("header:x-user-id", "client")
    pin: Annotated[Items[Pin], Field(max_length=MOST_PINS)] = ()
    shadow: Percent = DEFAULT_SHADOW  # of reads, from phase shadow to cutover
    routes: dict[RouteKey, Annotated[Route, BeforeValidator(_mapping_or_nothing)]] = Field({})
    shadow_headers: ShadowHeaders = ShadowHeaders()
    noise: Noise = Noise()
    entity: EntityMapping | None = None
    compare: Compare = Compare()
    fallback: Fallback = Fallback()
    breaker: Breaker = Breaker()
    timeouts: TimeoutsOverride | None = None

    @model_validator(mode="before")
    @classmethod
    def _named_cohort(cls, values: Any) -> Any:
        if isinstance(values, dict) and isinstance(values.get("component"), str) and values.get("cohort") is None:
            return {**values, "cohort": values["component"]}
        return values

    @property
    def effective_phase(self) -> Phase:
        """The phase that counts: without one of its own a component is `off` at weight 0, else in `canary`."""
        if self.phase is not None:
            return self.phase
        return Phase.CANARY if self.weight > 0 else Phase.OFF

    @property
    def weight_bp(self) -> int:
        """The weight as a whole number of 0.01 %."""
        return weight_bp(self.weight)

    @property
    def write_routes(self) -> tuple[str, ...]:
        """The keys of the routes that can carry a write; none in a component that is `readonly`."""
        if self.kind is ComponentKind.READONLY:
            return ()
        return tuple(key for key, route in self.routes.items() if may_write(key, route))

    def changed(self, **values: Any) -> Self:
        """Return this component with other values for some keys, checked like a file; raises ValidationError."""
        return type(self).model_validate({**self.model_dump(by_alias=True), **values})


def _shallow(values: dict[str, Any]) -> dict[str, Any]:
    """Refuse what could be read and never be written back; no rule file is as deep."""
    if is_deeper(values, DEPTH_LIMIT):
        raise ValueError(f"should be nested at most {DEPTH_LIMIT} levels deep")
    return values


Values = Annotated[dict[str, Any], AfterValidator(_shallow)]


class FileRecord(Frozen):
    """What was last taken from a component's file; it outlives the component, so that an old file revives nothing."""

    hash: str
    values: Values  # parsed, over _defaults.yaml, before the defaults of the models
    hashes: Items[str]  # the last 32 taken, the newest last


def record_of(file_hash: str, values: dict[str, Any], before: tuple[str, ...] = ()) -> FileRecord:
    """Return the record of a file that was just taken; `before` has the hashes taken earlier, the newest last."""
    hashes = (*(each for each in before if each != file_hash), file_hash)
    return FileRecord(hash=file_hash, values=values, hashes=hashes[-HASHES_KEPT:])


class Origin(Frozen):
    """Who gave a value what it is now."""

    who: str
    at: str  # RFC 3339
    version: int
    why: str


class RuleSet(Frozen):
    """All rules of all components at one version: published whole, held frozen."""

    schema_version: str = Field(default=SCHEMA, alias="schema")
    epoch: Annotated[str, Field(min_length=1)]  # random at the first publication
    version: Annotated[int, Field(ge=1, le=MOST_VERSIONS)]
    seed: bool = False  # the first publication from files: yields to any set that was held before
    who: str
    why: str
    at: str  # RFC 3339
    accepts: Items[str] = ()  # epochs that an operator declared to be superseded by this one
    files: dict[str, FileRecord] = Field({})
    components: dict[str, Component] = Field({})
    origins: dict[str, dict[str, Origin]] = Field({})  # component → dotted leaf → who set it; never set: not in here
