"""
Every error the gateway raises on purpose, by whose fault it is.

That decides what happens next: ConfigError refuses the file, Conflict asks the operator to look
again, NotAllowed names the condition, UpstreamError may fall back, StoreError keeps the last good rules.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class GatewayError(Exception):
    """Base of every error raised on purpose."""


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """Where in a file: `line` and `column` from 1, or 0 for the file as a whole; prints as `users.yaml:2:9`."""

    file: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}" if self.line else self.file


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One thing that is wrong in a file or document; prints as `users.yaml:2:9: weight: should be 0 to 100, is 140`."""

    at: Position
    where: str  # dotted path inside the file: "breaker.error_pct"; empty for the file as a whole
    what: str  # what is wrong, and what would be right; may go on in further lines (a caret under a character)

    def __str__(self) -> str:
        return f"{self.at}: {self.where}: {self.what}" if self.where else f"{self.at}: {self.what}"


class ConfigError(GatewayError):
    """What was refused, over all files; `problems` has every reason in the order of the files, not just the first."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = tuple(problems)


class Conflict(GatewayError):
    """The store holds another version than the one the change was made for; nothing was written."""

    def __init__(self, expected: int, actual: int) -> None:
        super().__init__(
            f"the rules are at version {actual} by now, not {expected}: look again, then repeat the change"
        )
        self.expected = expected
        self.actual = actual


class NotAllowed(GatewayError):
    """A change that would be valid is refused as things stand; the text names the condition that is not met."""


class StoreError(GatewayError):
    """The store is away or unreadable; whoever has good rules keeps them."""


class Unreadable(StoreError):
    """What the store holds is no document of ours at all: no JSON, or of the wrong type."""


class NewerSchema(StoreError):
    """What the store holds was written by a newer build for things this one does not know; never overwrite it."""


class Sent(StrEnum):
    """How far a request had got when its exchange failed."""

    NONE = "none"  # nothing was written: as if it had never been tried
    PARTIAL = "partial"
    COMPLETE = "complete"


class Failure(StrEnum):
    """Why a side gave no usable answer, in the words that `fallback.on` and the metrics use."""

    CONNECT = "connect"  # refused, unreachable, no name, connect time-out, TLS, pool full: nothing was sent
    TIMEOUT = "timeout"  # no head, or no further byte, within its deadline
    RESET = "reset"  # closed or reset before the answer was complete, or bytes that are no HTTP answer


# Kinds of an UpstreamError that are our own shortage (RFC 9209 section 2.3)
POOL_FULL = "connection_limit_reached"
OUT_OF_DESCRIPTORS = "proxy_internal_error"


class UpstreamError(GatewayError):
    """
    A side gave no usable answer.

    Anything but `Sent.NONE` forbids repeating a write (RFC 9110 section 9.2.2). `stale` says that a pooled
    connection was closed by the peer before any byte of an answer came: a read may be sent once more on a fresh one.
    `kind` is the proxy error type of RFC 9209 section 2.3 where it says more than the failure does, else empty.
    `is_ours`: it is we who have no further connection to give; nothing of it says anything about the side.
    """

    def __init__(
        self, pool: str, failure: Failure, sent: Sent, detail: str, stale: bool = False, kind: str = ""
    ) -> None:
        super().__init__(f"{pool}: {detail} ({sent} sent)")
        self.pool = pool
        self.failure = failure
        self.sent = sent
        self.detail = detail
        self.stale = stale
        self.kind = kind
        self.is_ours = kind in (POOL_FULL, OUT_OF_DESCRIPTORS)
