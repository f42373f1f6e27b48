"""
Header rules: what each field of a message means to a proxy, and which fields it must drop, add or refuse.

Tables for the wire and the gateway; each distinct field line asks them once. Nothing here parses a message.
"""

from __future__ import annotations

import re

from proxy.core.messages import Saw, SawAnswer

# What a field means, as plain ints because the wire asks for each field of each message: PLAIN fields are passed on
# and looked at by nobody; positive ones are passed on and leave their bits in `saw`; negative ones are for the wire.
PLAIN = 0
HOST = -1
LENGTH = -2
TRANSFER = -3
CONNECTION = -4
HOP = -5  # hop-by-hop by name (RFC 9110 section 7.6.1), Proxy-*, X-Banyan-* from outside: dropped
ODD = -6  # a name with `_`: WSGI, PHP and CGI read it as `-`: dropped and counted
UPGRADE = -7
EXPECT = -8
FORCE = -9
FORWARDED = -10  # X-Forwarded-*, Forwarded, Client-Cert, X-Request-Id: believed from trusted peers only
REROUTE = -11  # another target than the request line's, which frameworks serve instead: likewise, and counted

_HOP = (b"keep-alive", b"te", b"trailer", b"http2-settings")
_REQUEST: dict[bytes, int] = {
    b"host": HOST,
    b"content-length": LENGTH,
    b"transfer-encoding": TRANSFER,
    b"connection": CONNECTION,
    b"upgrade": UPGRADE,
    b"expect": EXPECT,
    b"x-banyan-force": FORCE,
    b"forwarded": FORWARDED,
    b"x-forwarded-for": FORWARDED,
    b"x-forwarded-proto": FORWARDED,
    b"x-forwarded-host": FORWARDED,
    b"x-forwarded-port": FORWARDED,
    b"x-forwarded-server": FORWARDED,
    b"x-forwarded-prefix": FORWARDED,
    b"x-request-id": FORWARDED,
    b"client-cert": FORWARDED,  # RFC 9440 section 2.4: whoever ends TLS for us may say it, and nobody else
    b"client-cert-chain": FORWARDED,
    b"x-original-url": REROUTE,  # Symfony, Laminas, IIS serve it, and the rules were asked about another path
    b"x-rewrite-url": REROUTE,
    b"via": Saw.VIA,
    b"if-match": Saw.VALIDATOR,
    b"if-none-match": Saw.VALIDATOR,
    b"if-modified-since": Saw.VALIDATOR,
    b"if-unmodified-since": Saw.VALIDATOR,
    b"if-range": Saw.VALIDATOR,
    b"range": Saw.RANGE,
    b"x-http-method-override": Saw.OVERRIDE,
    b"x-http-method": Saw.OVERRIDE,
    b"x-method-override": Saw.OVERRIDE,
}
_ANSWER: dict[bytes, int] = {
    b"content-length": LENGTH,
    b"transfer-encoding": TRANSFER,
    b"connection": CONNECTION,
    b"upgrade": UPGRADE,
    b"etag": SawAnswer.VALIDATOR,
    b"last-modified": SawAnswer.VALIDATOR,
    b"location": SawAnswer.LOCATION,
    b"content-location": SawAnswer.LOCATION,
}
VALIDATORS_OF_REQUEST = frozenset(name for name, meaning in _REQUEST.items() if meaning == Saw.VALIDATOR)
VALIDATORS_OF_ANSWER = frozenset((b"etag", b"last-modified"))

# Connection may name only fields that live for one hop. These live end to end, or are ours to set, or frame the
# message: naming them is an attempt to have us remove them (Traefik CVE-2021-32813, Go CVE-2021-33197).
NEVER_BY_CONNECTION = frozenset(_REQUEST) - {b"upgrade", b"connection", b"http2-settings"} | frozenset(
    (
        b"accept", b"accept-charset", b"accept-encoding", b"accept-language", b"authorization", b"cache-control",
        b"content-encoding", b"content-language", b"content-location", b"content-range", b"content-type", b"cookie",
        b"date", b"from", b"idempotency-key", b"max-forwards", b"origin", b"pragma", b"referer", b"traceparent",
        b"tracestate", b"user-agent", b"x-real-ip",
    )
)  # fmt: skip

_SECRET = frozenset(
    (
        b"authorization", b"cookie", b"proxy-authorization", b"set-cookie", b"x-api-key", b"x-auth-token",
        b"x-banyan-force", b"x-csrf-token",
    )
)  # fmt: skip


def meaning_in_request(name: bytes) -> int:
    """Return what a field of a request means; `name` in lower case."""
    meaning = _REQUEST.get(name)
    if meaning is not None:
        return meaning
    # `Proxy`: CGI makes HTTP_PROXY of it (CVE-2016-5385)
    if name in _HOP or name == b"proxy" or name.startswith((b"proxy-", b"x-banyan-")):
        return HOP
    if name.startswith(b"x-forwarded-"):
        return FORWARDED
    return ODD if b"_" in name else PLAIN


def meaning_in_answer(name: bytes) -> int:
    """Return what a field of an answer means; `name` in lower case."""
    meaning = _ANSWER.get(name)
    if meaning is not None:
        return meaning
    return HOP if name in _HOP or name.startswith((b"proxy-connection", b"x-banyan-")) else PLAIN


def is_secret(name: bytes) -> bool:
    """Say whether a field carries what must not be kept anywhere, not even in memory; `name` in lower case."""
    return name in _SECRET


def tokens(value: bytes) -> list[bytes]:
    """Return the members of a comma-separated list in lower case, without empty ones (RFC 9110 section 5.6.1)."""
    return [token for member in value.lower().split(b",") if (token := member.strip(b" \t"))]


_HOST = re.compile(
    rb"(?:\[[0-9A-Fa-f:.]{2,45}\]|(?:[A-Za-z0-9\-._~!$&'()*+;=]|%[0-9A-Fa-f]{2}){1,255})(?::([0-9]{0,5}))?"
)


def is_host(value: bytes) -> bool:
    """Say whether `value` is a Host that a gateway may forward: uri-host, and a port if any (RFC 9110 section 7.2)."""
    found = _HOST.fullmatch(value)
    return found is not None and (not found[1] or int(found[1]) <= 65535)


def loops(via: list[bytes], own_name: bytes) -> bool:
    """Say whether our own pseudonym stands in the received Via values (RFC 9110 section 7.6.3)."""
    for value in via:
        for member in value.split(b","):
            parts = member.split()
            if len(parts) > 1 and parts[1].lower() == own_name.lower():
                return True
    return False
