"""
Who may do what on the admin listener: bearer tokens with a role, and how long a wrong one has to wait.

A token is kept as its SHA-256 only and compared in constant time. Nothing here waits or answers: `Throttle` says how
long, the guard does it. Without any token everyone who reaches the listener is an operator; the caller of this room
has to make sure that only the own machine can reach it then.
"""

from __future__ import annotations

import hmac
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256

FREE_TRIES = 3  # a mistyped token is no attack
FIRST_DELAY_S = 0.25  # doubles with each further wrong token of a source
LONGEST_DELAY_S = 5.0
FORGET_AFTER_S = 60.0  # without a wrong token
MOST_SOURCES = 1024
MOST_WAITING_PER_SOURCE = 4  # beyond it a source is told 429 without a look at its token
MOST_WAITING = 64


class Role(StrEnum):
    """`operator` may do all that `viewer` may."""

    VIEWER = "viewer"
    OPERATOR = "operator"

    def covers(self, needed: Role) -> bool:
        """Say whether this role is enough where `needed` is asked for."""
        return self is Role.OPERATOR or needed is Role.VIEWER


@dataclass(frozen=True, slots=True)
class Token:
    """What is known of one bearer token; `name` stands as `who` in events and history."""

    name: str
    role: Role
    digest: bytes

    @classmethod
    def of(cls, name: str, role: str, secret: str) -> Token:
        """Keep the SHA-256 of `secret` and forget the rest."""
        return cls(name, Role(role), sha256(secret.encode()).digest())


def match(tokens: Sequence[Token], secret: bytes) -> Token | None:
    """Return the token that `secret` is; every token is compared, in constant time, so that time tells nothing."""
    digest = sha256(secret).digest()
    found = None
    for token in tokens:
        if hmac.compare_digest(token.digest, digest):
            found = token
    return found


def bearer_of(field: str | None) -> bytes | None:
    """Return the secret of an Authorization field (RFC 6750 section 2.1), or None if it is none."""
    scheme, _, secret = (field or "").strip().partition(" ")
    if scheme.lower() != "bearer" or not secret.strip():
        return None
    return secret.strip().encode("utf-8", "surrogateescape")


@dataclass(slots=True)
class _Source:
    wrong: int = 0
    last_at: float = 0.0
    waiting: int = 0


class Throttle:
    """
    How long each source has to wait after wrong tokens; bounded in sources and in what waits at once.

    Each `delay_s` is followed by `done` for the same source once it was waited for.
    """

    def __init__(self) -> None:
        self._sources: OrderedDict[str, _Source] = OrderedDict()
        self._waiting = 0

    def is_full(self, source: str) -> bool:
        """
        Say whether so many answers wait, of `source` or of all, that its next one is refused at once.

        A source that gave few wrong tokens is always heard: others must not be able to keep it out.
        """
        known = self._sources.get(source)
        if known is None:
            return False
        crowded = self._waiting >= MOST_WAITING and known.wrong > FREE_TRIES
        return crowded or known.waiting >= MOST_WAITING_PER_SOURCE

    def delay_s(self, source: str, now: float) -> float:
        """Count a wrong token of `source` and return how long its answer has to wait."""
        known = self._sources.pop(source, None) or _Source()
        if now - known.last_at > FORGET_AFTER_S:
            known.wrong = 0
        known.wrong += 1
        known.last_at = now
        known.waiting += 1
        self._waiting += 1
        self._sources[source] = known
        self._forget_the_oldest()
        if known.wrong <= FREE_TRIES:
            return 0.0
        return float(min(LONGEST_DELAY_S, FIRST_DELAY_S * 2 ** min(known.wrong - FREE_TRIES - 1, 10)))

    def done(self, source: str) -> None:
        """The answer that `delay_s` was asked for has gone out."""
        self._waiting -= 1
        known = self._sources.get(source)
        if known is not None and known.waiting:
            known.waiting -= 1

    def _forget_the_oldest(self) -> None:
        while len(self._sources) > MOST_SOURCES:
            self._sources.popitem(last=False)
