"""
What `config.yaml` may say: names, types, defaults and limits of every setting.

Values only: nothing here reads a file, the environment or a clock; `config.py` does. Defaults stand here and nowhere
else. What is not built yet is refused here, in so many words.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, PrivateAttr, SecretStr, model_validator

from proxy.addresses import (
    EMBEDDED,
    Origin,
    checked_field_name,
    checked_field_value,
    checked_listen,
    checked_namespace,
    checked_network,
    checked_server_name,
    checked_side_path,
    checked_side_url,
    checked_store,
    checked_via,
    host_port,
    is_loopback,
)
from proxy.core.allowances import checked_secretless
from proxy.core.frozen import Frozen, Items
from proxy.core.instances import HealthCheck, OutlierDetection
from proxy.core.model import Side, Timeouts, TimeoutsOverride, overlay
from proxy.core.problems import Location, dotted
from proxy.core.scalars import PositiveSeconds, Seconds
from proxy.wire.certificates import DialingFiles, ServingFiles


def _unshown(value: object) -> object:
    """Anything but text is refused before pydantic would print it."""
    if not isinstance(value, str | SecretStr | None):
        raise ValueError("should be text; quote it")
    return value


def _secret(secret: SecretStr) -> SecretStr:
    text = secret.get_secret_value()
    if not text or not text.isascii() or not text.isprintable() or any(c in text for c in " ;,"):
        raise ValueError("should be printable ASCII without spaces, `;` and `,`")
    return secret


def _or_defaults(value: object) -> object:
    """`tls: null` is as good as leaving it out."""
    return {} if value is None else value


Listen = Annotated[str, AfterValidator(checked_listen)]
SidePath = Annotated[str, AfterValidator(checked_side_path)]
SideUrl = Annotated[str, AfterValidator(checked_side_url)]
ServerName = Annotated[str, AfterValidator(checked_server_name)]
FieldName = Annotated[str, AfterValidator(checked_field_name)]
FieldValue = Annotated[str, AfterValidator(checked_field_value)]
VersionField = Annotated[str, AfterValidator(checked_secretless)]
Network = Annotated[str, AfterValidator(checked_network)]
Store = Annotated[str, AfterValidator(checked_store), BeforeValidator(_unshown)]
Secret = Annotated[SecretStr, Field(strict=False), AfterValidator(_secret), BeforeValidator(_unshown)]
Rate = Annotated[float, Field(ge=0, le=1_000_000, allow_inf_nan=False)]
File = Annotated[Path, Field(strict=False)]  # relative to the file that says it


class Deadlines(Timeouts):
    """How long anything may take, in seconds: the sides (as each side and route may say too), and the clients."""

    client_head_s: PositiveSeconds = 10.0  # from the first byte of a request's head to its end
    client_body_idle_s: PositiveSeconds = 30.0  # between two blocks of a request's body


LEAST_INTERVAL_S = 0.1  # of health checks
MOST_INSTANCES = 256  # of a side; what has more stands behind a load balancer of its own


class SideLimits(Frozen):
    """How much one side is asked to bear from this replica."""

    connections: Annotated[int, Field(ge=1, le=65_535)] = 1024
    pending_requests: Annotated[int, Field(ge=0, le=65_535)] = 1024  # that wait for one, up to `connect_s`


class SideShadow(Frozen):
    """How much one side is asked to bear for comparison alone."""

    requests_per_s: Rate = 100.0  # from all replicas together; 0: no cap
    concurrency: Annotated[int, Field(ge=1, le=65_535)] = 32  # from this process


class ShadowReads(Frozen):
    """What shadow reads may cost, beside what each side bears of them; see `core/sampling.py`."""

    timeout_s: PositiveSeconds = 5.0  # for all of one
    body_bytes: Annotated[int, Field(ge=1_024, le=67_108_864)] = 1_048_576  # a longer answer is not compared
    buffer_bytes: Annotated[int, Field(ge=2_048, le=2**36)] = 67_108_864  # of answers that wait, also for a second look
    pending: Annotated[int, Field(ge=1, le=65_535)] = 256  # reads of this process that wait for their shadow
    settle_s: Seconds = 2.0  # after a write so long nothing is made of a difference in its entity
    rereads_per_s: Rate = 20.0  # of all replicas together, to tell a mismatch from noise
    floor_per_h: Rate = 60.0  # comparisons that each route gets, however few its share would be

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.buffer_bytes < 2 * self.body_bytes:
            raise ValueError(f"`buffer_bytes` should be at least {2 * self.body_bytes}: two answers of `body_bytes`")
        return self


class Limits(Frozen):
    """
    How much of anything is taken from a client before it says 413, 414, 431 or 400; see `core/limits.py`.

    The connections of clients that this process holds: beyond them the one that is idle the longest gives way.
    """

    head_bytes: Annotated[int, Field(ge=1_024, le=1_048_576)] = 65_536
    line_bytes: Annotated[int, Field(ge=256, le=1_048_576)] = 16_384
    head_fields: Annotated[int, Field(ge=8, le=10_000)] = 100
    target_bytes: Annotated[int, Field(ge=256, le=1_048_576)] = 16_384
    body_bytes: Annotated[int, Field(ge=0, le=2**62)] = 0  # 0: no limit
    body_buffer_bytes: Annotated[int, Field(ge=0, le=16_777_216)] = 65_536
    connections: Annotated[int, Field(ge=1, le=1_048_576)] = 8_192  # no limit at all would be that of the descriptors
    connections_per_address: Annotated[int, Field(ge=0, le=1_048_576)] = 0  # 0: no limit; trusted proxies have none
    loop_lag_s: Seconds = 1.0  # the event loop is later than this, turn after turn: reads get 503; 0: no limit


class ListenerTls(Frozen):
    """TLS of the listener for clients; without `cert` it is plain. All files are PEM."""

    cert: File | None = None  # the certificate, and behind it those between it and a root
    key: File | None = None  # null: it stands in `cert`
    client_ca: File | None = None  # whose certificates clients may show
    client_certificates: Literal["none", "optional", "required"] = "none"

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.cert is None and self.model_fields_set - {"cert"} and self != ListenerTls():
            raise ValueError("needs `cert`, the file with the certificate")
        if self.client_certificates != "none" and self.client_ca is None:
            raise ValueError(f"`client_certificates: {self.client_certificates}` needs `client_ca`")
        if self.client_certificates == "none" and self.client_ca is not None:
            raise ValueError("`client_ca` means nothing without `client_certificates: optional` or `required`")
        return self

    @property
    def files(self) -> ServingFiles | None:
        """What the wire makes a context of; None if the listener is plain."""
        if self.cert is None:
            return None
        return ServingFiles(self.cert, self.key, self.client_ca, self.client_certificates)


class SideTls(Frozen):
    """How TLS is spoken to a side whose url is https. All files are PEM."""

    ca: File | None = None  # whom to trust; null: whom the system trusts
    verify: bool = True
    server_name: ServerName | None = None  # in the certificate, and sent along (SNI); null: the host of the url
    cert: File | None = None  # what to show when the side asks for a certificate
    key: File | None = None  # null: it stands in `cert`

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.key is not None and self.cert is None:
            raise ValueError("has `key` and no `cert`; give both")
        if self.ca is not None and not self.verify:
            raise ValueError("`ca` means nothing with `verify: false`; leave one of them out")
        return self


class SideSettings(Frozen):
    """One of the two applications."""

    url: SideUrl
    urls: Items[SideUrl] = ()  # instead of `url`: instances of one application, with one store
    health: SidePath | None = "/healthz"
    health_check: HealthCheck = HealthCheck()
    outlier_detection: OutlierDetection = OutlierDetection()
    headers: dict[FieldName, FieldValue] = Field(default_factory=dict, repr=False)  # written into every request to it
    timeouts: TimeoutsOverride = TimeoutsOverride()
    tls: Annotated[SideTls, BeforeValidator(_or_defaults)] = SideTls()
    limits: SideLimits = SideLimits()
    version_header: VersionField | None = None  # in its answers: which build of the application gave them
    shadow: SideShadow = SideShadow()

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.urls and "url" in self.model_fields_set:
            raise ValueError("has `url` and `urls`; give one of them")
        if len(self.urls) > MOST_INSTANCES:
            raise ValueError(f"`urls` has {len(self.urls)} instances; {MOST_INSTANCES} is the most")
        if self.limits.connections < len(self.origins):
            raise ValueError(f"`limits.connections` should be {len(self.origins)} or more, one for each instance")
        if self.health_check.interval_s and self.health is None:
            raise ValueError("`health_check` needs `health`, the path to ask for")
        if 0 < self.health_check.interval_s < LEAST_INTERVAL_S:
            raise ValueError(f"`health_check.interval_s` should be 0 (never) or at least {LEAST_INTERVAL_S:g} s")
        return self

    @property
    def origins(self) -> tuple[Origin, ...]:
        """Where its instances are, all with the same scheme."""
        return tuple(map(Origin, self.urls or (self.url,)))

    @property
    def scheme(self) -> Literal["http", "https"]:
        """How it is spoken to."""
        return self.origins[0].scheme

    @property
    def files(self) -> DialingFiles | None:
        """What the wire makes a context of; None if the side is spoken to in plain."""
        if self.scheme == "http":
            return None
        return DialingFiles(self.tls.ca, self.tls.verify, self.tls.cert, self.tls.key)

    def server_name(self, origin: Origin) -> str:
        """Return the name that an instance's certificate must have."""
        return self.tls.server_name or origin.host


class LegacySide(SideSettings):
    """The application that is being replaced."""

    url: SideUrl = "http://127.0.0.1:9001"


class ModernSide(SideSettings):
    """Its replacement."""

    url: SideUrl = "http://127.0.0.1:9002"


class Sides(Frozen):
    """Where the two applications are."""

    legacy: LegacySide = LegacySide()
    modern: ModernSide = ModernSide()


class Probes(Frozen):
    """The listener of /livez, /readyz and /metrics: read-only, no token."""

    listen: Listen = "127.0.0.1:8082"


class Token(Frozen):
    """One bearer of the admin listener; the token itself comes from a variable or a file, never from here."""

    name: Annotated[str, Field(min_length=1)]
    role: Literal["viewer", "operator"]
    env: str | None = None
    token_file: File | None = None
    _secret: str = PrivateAttr("")

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.env is None) == (self.token_file is None):
            raise ValueError("needs either `env`, the name of a variable, or `token_file`")
        return self

    @property
    def secret(self) -> str:
        """The token, once the settings are loaded; never empty then."""
        return self._secret

    def take(self, secret: str) -> None:
        """Keep the token that `env` or `token_file` names; called once, while the settings are loaded."""
        self._secret = secret


class Admin(Frozen):
    """The operator's listener: API, page and what `probes` serves."""

    listen: Listen = "127.0.0.1:8081"
    hosts: Items[str] = ()  # further names under which people reach it
    tokens: Items[Token] = ()


class Settings(Frozen):
    """All that one replica is told once, at its start; the keys and defaults of `config.yaml`."""

    listen: Listen = "127.0.0.1:8080"
    tls: Annotated[ListenerTls, BeforeValidator(_or_defaults)] = ListenerTls()
    probes: Probes = Probes()
    admin: Admin = Admin()
    sides: Sides = Sides()
    store: Annotated[str, AfterValidator(checked_store), BeforeValidator(_unshown), Field(repr=False)] = EMBEDDED
    store_file: File | None = None
    namespace: Annotated[str, AfterValidator(checked_namespace)] = "banyan"
    single: bool = False
    data_dir: File = Path(".banyan")
    rules: File = Path("rules")
    processes: Annotated[int, Field(ge=1, le=256)] = 1  # of one parent, on the same sockets
    trusted_proxies: Items[Network] = ()
    via_name: Annotated[str, AfterValidator(checked_via)] = "banyan"
    timeouts: Deadlines = Deadlines()
    limits: Limits = Limits()
    shadow: ShadowReads = ShadowReads()
    pre_drain_s: Seconds = 0.0
    drain_s: Seconds = 30.0
    expose: bool = True
    access_log: bool = True  # one JSON line a request on stdout
    force_secret: Secret | None = None
    force_secret_file: File | None = None
    live_changes: Literal["all", "emergency_only"] = "all"
    cold_start: Literal["refuse-writes", "trust-files"] = "refuse-writes"
    ambiguous_paths: Literal["legacy", "refuse"] = "legacy"
    validators: Literal["primary", "pass"] = "primary"
    emergency_file: File | None = None

    def side(self, side: Side) -> SideSettings:
        """Return where `side` is and how it is talked to."""
        return self.sides.legacy if side is Side.LEGACY else self.sides.modern

    def timeouts_of(self, side: Side) -> Timeouts:
        """Return the deadlines of one try on `side`: its own where it has some, else the general ones."""
        general = Timeouts.model_validate(self.timeouts.model_dump(include=set(Timeouts.model_fields)))
        return overlay(general, self.side(side).timeouts)


def contradictions(settings: Settings) -> Iterator[tuple[Location, str]]:
    """Yield what is wrong with settings that are each right: (path, sentence)."""
    yield from _same_port(settings)
    admin = settings.admin
    if not is_loopback(host_port(admin.listen)[0]) and not admin.tokens:
        yield ("admin", "listen"), f"{admin.listen} is open to others: add `admin.tokens`, or listen on 127.0.0.1"
    for side in Side:
        where = settings.side(side)
        for path, what in _wrong_instances(settings, where):
            yield ("sides", side.value, *path), what
        if where.scheme == "http" and where.tls != SideTls():
            what = f"means nothing for {where.origins[0].url}; give https://host:port, or leave it out"
            yield ("sides", side.value, "tls"), what
    names = [token.name for token in admin.tokens]
    for index, name in enumerate(names):
        if name in names[:index]:
            yield ("admin", "tokens", index, "name"), f"`{name}` stands here twice; each token needs a name of its own"


def _same_port(settings: Settings) -> Iterator[tuple[Location, str]]:
    taken: dict[tuple[str, int], Location] = {}
    listeners: dict[Location, str] = {
        ("listen",): settings.listen,
        ("probes", "listen"): settings.probes.listen,
        ("admin", "listen"): settings.admin.listen,
    }
    for path, listen in listeners.items():
        first = taken.setdefault(host_port(listen), path)
        if first != path and host_port(listen)[1]:
            yield path, f"{listen} is taken by `{dotted(first)}`; give it a port of its own"


def _wrong_instances(settings: Settings, where: SideSettings) -> Iterator[tuple[Location, str]]:
    places = [(each.host, each.port) for each in where.origins]
    for index, origin in enumerate(where.origins):
        path: Location = ("urls", index) if where.urls else ("url",)
        if _is_self(settings, origin):
            yield path, "is where the gateway itself listens; give the application's address"
        if places[index] in places[:index]:
            yield path, f"{origin.url} stands here twice; give each instance once"
        if origin.scheme != where.scheme:
            yield path, f"is {origin.scheme}, and the first one is {where.scheme}; all instances are spoken to alike"


def _is_self(settings: Settings, origin: Origin) -> bool:
    host, port = host_port(settings.listen)
    everywhere = host in ("0.0.0.0", "::") and is_loopback(origin.host)
    return origin.port == port and (origin.host == host or everywhere)
