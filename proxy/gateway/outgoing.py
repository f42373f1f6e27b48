"""
Heads as Banyan writes them: requests to a side, answers to a client. Always written anew, never passed through.

Hot: ready-joined parts are kept per connection and per plan; what is rare (trusted peers, validators, Location) has
its own functions. Knows header rules, no connection and no plan's reasons.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from proxy.core.headers import VALIDATORS_OF_ANSWER, VALIDATORS_OF_REQUEST
from proxy.core.messages import CRLF, UNKNOWN_LENGTH, RequestHead, Saw, field, pairs_of, value_of, values_of, without
from proxy.wire.client import Client

_WITH_BODY = frozenset((b"POST", b"PUT", b"PATCH"))
_LOCATIONS = frozenset((b"location", b"content-location"))

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class Manner:
    """How this process behaves towards its peers, from the settings."""

    via_name: bytes = b"banyan"
    expose: bool = True
    force_secret: bytes | None = None
    strip_validators: bool = True
    trusted: tuple[Network, ...] = ()
    request_id_prefix: bytes = b"banyan-"
    body_buffer_bytes: int = 65_536
    access_log: bool = True


@dataclass(frozen=True, slots=True)
class SideManner:
    """What is particular to one side."""

    authorities: tuple[bytes, ...]  # host:port of its instances, in lower case; without the port of the scheme
    added: bytes = b""  # ready-joined fields of `sides.*.headers`
    replaced: frozenset[bytes] = frozenset()  # their names: a client's fields of the same name go
    scheme: bytes = b"http"

    @property
    def origins(self) -> tuple[bytes, ...]:
        """The URLs of its instances without a path, in every form in which they may stand in a Location."""
        usual = b":%d" % (443 if self.scheme == b"https" else 80)
        named = [b"%b://%b" % (self.scheme, authority) for authority in self.authorities]
        return (*named, *(name + usual for name in named if not name.rpartition(b":")[2].isdigit()))


def is_trusted(address: bytes, networks: tuple[Network, ...]) -> bool:
    """Say whether a peer's word on whom it serves is believed."""
    try:
        parsed = ipaddress.ip_address(address.decode("latin-1").partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(parsed, "ipv4_mapped", None) or parsed
    return any(mapped in network for network in networks)


def client_address(forwarded_for: list[bytes], peer: bytes, networks: tuple[Network, ...]) -> bytes:
    """Return the last address of the chain that is not a trusted proxy: the client; the first one if all are."""
    chain = [part.strip() for value in forwarded_for for part in value.split(b",") if part.strip()]
    for address in reversed(chain):
        if not is_trusted(address, networks):
            return address
    return chain[0] if chain else peer


def forwarded_lines(client: Client, host: bytes, manner: Manner) -> bytes:
    """
    Return Host, Via and X-Forwarded-* for a connection's requests to `host`; the same bytes as long as it stays.

    They end in the middle of X-Request-Id: what is particular to the request follows.
    """
    if client.forwarded and client.forwarded_host == host:
        return client.forwarded
    client.forwarded_host = host
    lines = _forwarded(client.address, host, client.scheme, host, manner)
    client.forwarded = lines + b"x-request-id: " + manner.request_id_prefix
    return client.forwarded


def _forwarded(for_: bytes, host: bytes, proto: bytes, forwarded_host: bytes, manner: Manner) -> bytes:
    own = b"host: %b\r\n" % host if host else b""
    told = b"x-forwarded-host: %b\r\n" % forwarded_host if forwarded_host else b""
    return b"%bvia: 1.1 %b\r\nx-forwarded-for: %b\r\nx-forwarded-proto: %b\r\n%b" % (
        own, manner.via_name, for_, proto, told,
    )  # fmt: skip


def trusted_lines(request: RequestHead, client: Client, manner: Manner) -> bytes:
    """Return the same for a request from a trusted proxy: its X-Forwarded-* are believed and added to."""
    said = request.forwarded
    chain = [*values_of(said, b"x-forwarded-for"), client.address]
    lines = _forwarded(
        b", ".join(part for part in chain if part),
        request.host,
        value_of(said, b"x-forwarded-proto") or client.scheme,
        value_of(said, b"x-forwarded-host") or request.host,
        manner,
    )
    rest = without(said, frozenset((b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host")))
    return lines + rest


def request_message(
    request: RequestHead, lines: bytes, side: SideManner, strip: bool, length: int, body: list[bytes]
) -> bytes:
    """
    Return a request as it goes to a side: head, and what there is of the body.

    `lines` are the forwarded lines and the request id; `length` the body's, or UNKNOWN_LENGTH for chunked;
    `strip` takes conditional fields out, because the side does not own the validators.
    """
    fields = request.fields
    if strip and request.saw & Saw.VALIDATOR:
        fields = _without_validators(fields)
    if side.replaced:
        fields = without(fields, side.replaced)
    out = [request.method, b" ", request.target, b" HTTP/1.1\r\n", fields, lines, side.added]
    if not request.host:  # an HTTP/1.0 client may leave it out, we may not (RFC 9110 section 7.2)
        out.append(b"host: %b\r\n" % side.authorities[0])
    if request.upgrade:
        out.append(b"connection: upgrade\r\nupgrade: %b\r\n" % request.upgrade)
    if length > 0:
        out.append(b"content-length: %d\r\n\r\n" % length)
    elif length == UNKNOWN_LENGTH:
        out.append(b"transfer-encoding: chunked\r\n\r\n")
    elif request.method in _WITH_BODY:
        out.append(b"content-length: 0\r\n\r\n")  # RFC 9110 section 8.6
    else:
        out.append(CRLF)
    if body:
        out += body
    return b"".join(out)


def _without_validators(fields: bytes) -> bytes:
    """Without If-Range a Range would be honoured whatever the entity has become: both go (RFC 9110 section 13.1.5)."""
    names = VALIDATORS_OF_REQUEST
    return without(fields, names | {b"range"} if value_of(fields, b"if-range") is not None else names)


def without_validators(fields: bytes) -> bytes:
    """Return an answer's fields without ETag and Last-Modified."""
    return without(fields, VALIDATORS_OF_ANSWER)


def own_location(fields: bytes, origins: tuple[bytes, ...], client_base: bytes) -> bytes:
    """Return fields in which a Location naming a side's own origin names the client's instead."""
    return b"".join([
        field(name, _to_client(value, origins, client_base) if name in _LOCATIONS else value)
        for name, value in pairs_of(fields)
    ])  # fmt: skip


def _to_client(value: bytes, origins: tuple[bytes, ...], client_base: bytes) -> bytes:
    lower = value.lower()
    for own in origins:
        if lower.startswith(own) and lower[len(own) : len(own) + 1] in (b"", b"/", b"?", b"#"):
            return client_base + value[len(own) :]
    return value


def replace_field(fields: bytes, name: bytes, value: bytes) -> bytes:
    """Return `fields` with exactly one field `name`."""
    return without(fields, frozenset((name,))) + field(name, value)
