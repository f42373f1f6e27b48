"""
What to do when a side fails: the failure table, as one pure function.

A read may be sent again; a write only if not one of its bytes was sent, and then only to the same side: a proxy must
not repeat a non-idempotent request (RFC 9110 section 9.2.2), and idempotent on one side is not idempotent across two.
"""

from __future__ import annotations

from enum import StrEnum

from proxy.core.breaker import ERROR, TRANSPORT
from proxy.core.errors import POOL_FULL, Failure, Sent, UpstreamError
from proxy.core.instances import Blame

PROXY_STATUS_ERROR = {  # RFC 9209 section 2.3
    Failure.CONNECT: "destination_unavailable",
    Failure.TIMEOUT: "http_response_timeout",
    Failure.RESET: "connection_terminated",
}


class Next(StrEnum):
    """The next step of an exchange after a failure."""

    AGAIN = "again"  # once more to the same side, on a fresh connection, and to another instance if it has one
    OTHER = "other"  # to the side that stands in
    GIVE_UP = "give_up"  # tell the client: 502 or 504
    ABORT = "abort"  # the head was passed on: cut the connection, never end it silently


def after_failure(
    error: UpstreamError,
    *,
    is_read: bool,
    committed: bool,
    replayable: bool,
    tried_again: bool,
    fallback: bool,
    others: bool = False,
) -> Next:
    """
    Decide what follows `error` on the current side.

    `committed`: the head of an answer was passed on. `replayable`: all of the request's body that was sent is still
    held. `tried_again`: the same side was asked a second time already. `fallback`: another side may stand in for
    this kind of failure. `others`: the side has further instances, and the next try goes to one of them.
    """
    if committed:
        return Next.ABORT
    if not replayable:
        return Next.GIVE_UP
    if not is_read:
        may_again = error.sent is Sent.NONE and error.kind != POOL_FULL  # it has waited for its turn already
        return Next.AGAIN if may_again and not tried_again else Next.GIVE_UP
    elsewhere = others and error.sent is Sent.NONE and not error.is_ours
    if (error.stale or elsewhere) and not tried_again:
        return Next.AGAIN
    return Next.OTHER if fallback else Next.GIVE_UP


def counts_as(following: Next, blame: Blame) -> int | None:
    """
    Return what a failure is for the side's breaker, which spares the side as a whole; None: nothing.

    One that another try may heal is none yet. Where there are other instances many failures in a row (TRANSPORT) say
    that one is dead, not the side; and what those of them did that are left out already says nothing at all.
    """
    if following is Next.AGAIN or blame is Blame.INSTANCE:
        return None
    return ERROR if blame is Blame.SHARED else TRANSPORT


MISSING = "missing"  # reasons of a fallback, besides those of `core.errors.Failure`
STATUS = "status"


def after_answer(
    status: int, fails: bool, *, confirm_missing: bool, fallback: bool, fell_back: str, has_first: bool
) -> str:
    """
    Return why an answer to a read should not be the client's if there is a better one; empty when it should.

    `fails`: `fallback.on` lists the status. `confirm_missing`: a 404 of this side is to be confirmed by the other one.
    `fallback`: another side may still be asked. `fell_back`: why the other side was asked already, empty before
    that; then the first side's answer, if it was a real one (`has_first`), is better than a failing second one.
    """
    if fell_back:
        worse = not 200 <= status < 300 if fell_back == MISSING else fails
        return fell_back if has_first and worse else ""
    if status == 404 and confirm_missing:
        return MISSING
    return STATUS if fallback and fails else ""


def status_of(error: UpstreamError) -> int:
    """Return the status that tells a client of a failure (RFC 9110 sections 15.6.3 to 15.6.5)."""
    if error.is_ours:
        return 503
    return 504 if error.failure is Failure.TIMEOUT else 502
