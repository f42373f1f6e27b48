"""
Header rules: what each field of a message means to a proxy, and which fields it must drop, add or refuse.

Hot tables for the wire and the gateway: names are looked up as they came, in any case, through a bounded memo, so that
a field costs one dictionary look-up and no `lower()`. Nothing here parses a message.
"""

from __future__ import annotations

import re

from proxy.core.messages import Saw, SawAnswer

MEMO_LIMIT = 4096  # names remembered; then all are forgotten, so that nobody fills the memory or keeps others out
MEMO_NAME_BYTES = 64  # longer names are classified anew each time


# What a field means, as plain ints because each field of each message is asked: PLAIN fields are passed on and looked
# at by nobody; positive ones are passed on and leave their bits in `saw`; negative ones are for the wire alone.
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
FORWARDED = -10  # X-Forwarded-*, Forwarded, X-Request-Id: believed from trusted peers only

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

_request_memo: dict[bytes, tuple[bytes, int]] = {}
_answer_memo: dict[bytes, tuple[bytes, int]] = {}
request_known = _request_memo.get  # raw name → (lower name, meaning) or None: then ask `classify_request`
answer_known = _answer_memo.get


def classify_request(raw: bytes) -> tuple[bytes, int]:
    """Return a request field's name in lower case and its meaning, and remember it."""
    name = raw.lower()
    meaning = _REQUEST.get(name)
    if meaning is None:
        if name in _HOP or name.startswith((b"proxy-", b"x-banyan-")):
            meaning = HOP
        elif b"_" in name:
            meaning = ODD
        else:
            meaning = PLAIN
    return _remember(_request_memo, raw, (name, meaning))


def classify_answer(raw: bytes) -> tuple[bytes, int]:
    """Return an answer field's name in lower case and its meaning, and remember it."""
    name = raw.lower()
    meaning = _ANSWER.get(name)
    if meaning is None:
        hop = name in _HOP or name.startswith((b"proxy-connection", b"x-banyan-"))
        meaning = HOP if hop else PLAIN
    return _remember(_answer_memo, raw, (name, meaning))


def _remember(memo: dict[bytes, tuple[bytes, int]], raw: bytes, found: tuple[bytes, int]) -> tuple[bytes, int]:
    if len(raw) <= MEMO_NAME_BYTES:
        if len(memo) >= MEMO_LIMIT:
            memo.clear()
        memo[raw] = found
    return found


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
