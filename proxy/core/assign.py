"""
Sticky assignment: on which side of a migration a caller is.

Ground floor and hot: arithmetic only, so that every process, and every restart, puts the same caller on the same side.
Tokens are read, never verified: they place a caller, they do not let anyone in.
"""

from __future__ import annotations

import binascii
from collections.abc import Callable

import orjson
from xxhash import xxh3_64_intdigest

from proxy.core.messages import RequestHead, value_of, values_of

BUCKETS = 10_000  # one bucket is 0.01 % of callers
NO_BUCKET = -1  # the plan did not depend on one
PER_REQUEST = -1  # instead of the index of a sticky source: none was present
_STRIDE = 6_181  # of per-request buckets: BUCKETS by the golden ratio, made coprime to it, so that any run is even
_TOKEN_LIMIT_BYTES = 8_192
COOKIES_LIMIT = 512  # pairs of a request that are looked at; browsers send 180 at most

Source = Callable[[RequestHead, bytes], bytes | None]  # (head, key of the entity or b"") → the caller's value


def bucket_of(value: bytes, cohort: bytes) -> int:
    """
    Place a caller in its bucket: 0 <= bucket < BUCKETS.

    `cohort` salts the hash. Components that name the same cohort move the same callers
    together; without a salt of their own the same callers would always go first.
    Not `hash()`: that one changes with each process.
    """
    return xxh3_64_intdigest(cohort + b"\0" + value) % BUCKETS


def bucket_of_roll(roll: int) -> int:
    """Place the `roll`-th request of a per-request assignment: any BUCKETS rolls in a row give each bucket once."""
    return roll * _STRIDE % BUCKETS


def is_moved(bucket: int, weight_bp: int) -> bool:
    """Say whether `bucket` is served by modern; `weight_bp` in 0.01 %, a higher one only adds buckets."""
    return bucket < weight_bp


def sticky_value(
    sources: tuple[Source, ...], head: RequestHead, entity: bytes, start: int = 0
) -> tuple[bytes | None, int]:
    """Return what the first source from `start` on that is present says, and its index; else (None, PER_REQUEST)."""
    for index in range(start, len(sources)):
        value = sources[index](head, entity)
        if value:
            return value, index
    return None, PER_REQUEST


def source_of(name: str) -> Source:
    """
    Return how `header:x-user-id`, `jwt:sub`, `cookie:session`, `entity` or `client` is read from a request.

    An empty value counts as absent, because it says nothing about who is calling. Raises ValueError for another name.
    """
    kind, _, of = name.partition(":")
    if kind == "header" and of:
        return _header(of.lower().encode())
    if kind == "jwt" and of:
        return _claim(of)
    if kind == "cookie" and of:
        return _cookie(of.encode())
    if name == "entity":
        return lambda head, entity: entity
    if name == "client":
        return lambda head, entity: head.peer
    raise ValueError(f"should be header:NAME, jwt:CLAIM, cookie:NAME, entity or client, is `{name}`")


def _header(name: bytes) -> Source:
    return lambda head, entity: value_of(head.fields, name)


def _cookie(name: bytes) -> Source:
    def read(head: RequestHead, entity: bytes) -> bytes | None:
        left = COOKIES_LIMIT
        for field in values_of(head.fields, b"cookie"):
            pairs = field.split(b";", left)[:left]
            left -= len(pairs)
            for pair in pairs:
                key, _, value = pair.partition(b"=")
                if key.strip() == name:
                    return value.strip()
        return None

    return read


def _claim(claim: str) -> Source:
    """Read a claim of a bearer token (RFC 6750, RFC 7519); its signature is the application's business."""

    def read(head: RequestHead, entity: bytes) -> bytes | None:
        scheme, _, token = (value_of(head.fields, b"authorization") or b"").partition(b" ")
        if scheme.lower() != b"bearer" or len(token) > _TOKEN_LIMIT_BYTES:
            return None
        value = _claims(token.strip()).get(claim)
        if isinstance(value, str):
            return value.encode("utf-8", "surrogatepass")
        if isinstance(value, int) and not isinstance(value, bool):
            return b"%d" % value
        return None

    return read


def _claims(token: bytes) -> dict[str, object]:
    parts = token.split(b".")
    if len(parts) != 3:
        return {}
    try:
        payload = binascii.a2b_base64(parts[1].translate(_URL_SAFE) + b"=" * (-len(parts[1]) % 4))
        claims = orjson.loads(payload)
    except ValueError:  # binascii.Error and orjson.JSONDecodeError are both ValueErrors
        return {}
    return claims if isinstance(claims, dict) else {}


_URL_SAFE = bytes.maketrans(b"-_", b"+/")
