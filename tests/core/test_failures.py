"""The failure table, row by row and then over everything that can be asked of it."""

from __future__ import annotations

import itertools

import pytest

from proxy.core.breaker import ERROR, TRANSPORT
from proxy.core.errors import OUT_OF_DESCRIPTORS, POOL_FULL, Failure, Sent, UpstreamError
from proxy.core.failures import (
    MISSING,
    PROXY_STATUS_ERROR,
    STATUS,
    Next,
    after_answer,
    after_failure,
    counts_as,
    status_of,
)
from proxy.core.instances import Blame

REFUSED = UpstreamError("modern", Failure.CONNECT, Sent.NONE, "refused")
STALE = UpstreamError("modern", Failure.RESET, Sent.COMPLETE, "closed as we wrote", stale=True)
RESET = UpstreamError("modern", Failure.RESET, Sent.COMPLETE, "closed")
HALF_SENT = UpstreamError("modern", Failure.RESET, Sent.PARTIAL, "closed")
LATE = UpstreamError("modern", Failure.TIMEOUT, Sent.COMPLETE, "no head")

ROWS = [
    # what happened, read?, another side?, again already?, what follows
    (REFUSED, True, True, False, Next.OTHER),
    (REFUSED, True, False, False, Next.GIVE_UP),
    (REFUSED, False, False, False, Next.AGAIN),
    (REFUSED, False, False, True, Next.GIVE_UP),
    (STALE, True, True, False, Next.AGAIN),
    (STALE, True, True, True, Next.OTHER),
    (STALE, True, False, True, Next.GIVE_UP),
    (STALE, False, False, False, Next.GIVE_UP),
    (RESET, True, True, False, Next.OTHER),
    (RESET, True, False, False, Next.GIVE_UP),
    (RESET, False, False, False, Next.GIVE_UP),
    (HALF_SENT, False, False, False, Next.GIVE_UP),
    (LATE, True, True, False, Next.OTHER),
    (LATE, False, False, False, Next.GIVE_UP),
]


@pytest.mark.parametrize(("error", "is_read", "fallback", "tried_again", "following"), ROWS)
def test_the_table(error, is_read, fallback, tried_again, following):
    asked = {"is_read": is_read, "replayable": True, "tried_again": tried_again, "fallback": fallback}

    assert after_failure(error, committed=False, **asked) is following
    assert after_failure(error, committed=True, **asked) is Next.ABORT
    assert after_failure(error, committed=False, **{**asked, "replayable": False}) is Next.GIVE_UP


@pytest.mark.parametrize(
    ("error", "is_read", "tried_again", "following"),
    [
        (REFUSED, True, False, Next.AGAIN),
        (REFUSED, True, True, Next.OTHER),
        (REFUSED, False, False, Next.AGAIN),
        (REFUSED, False, True, Next.GIVE_UP),
        (RESET, True, False, Next.OTHER),
        (RESET, False, False, Next.GIVE_UP),
        (UpstreamError("m", Failure.CONNECT, Sent.NONE, "full", kind=POOL_FULL), True, False, Next.OTHER),
        (UpstreamError("m", Failure.CONNECT, Sent.NONE, "none", kind=OUT_OF_DESCRIPTORS), True, False, Next.OTHER),
    ],
)
def test_what_was_not_sent_to_one_instance_is_tried_at_another_once(error, is_read, tried_again, following):
    asked = {"is_read": is_read, "replayable": True, "tried_again": tried_again, "fallback": is_read}

    assert after_failure(error, committed=False, others=True, **asked) is following


@pytest.mark.parametrize("following", Next)
def test_what_another_try_may_heal_counts_for_no_breaker_and_one_instance_of_several_is_no_dead_side(following):
    found = {blame: counts_as(following, blame) for blame in Blame}
    if following is Next.AGAIN:
        assert set(found.values()) == {None}
    else:
        assert found == {Blame.SIDE: TRANSPORT, Blame.SHARED: ERROR, Blame.INSTANCE: None}


def everything():
    errors = [
        UpstreamError("p", failure, sent, "x", stale)
        for failure, sent, stale in itertools.product(Failure, Sent, (False, True))
    ]
    names = ("is_read", "committed", "replayable", "tried_again", "fallback")
    for error, values in itertools.product(errors, itertools.product((False, True), repeat=5)):
        yield error, dict(zip(names, values, strict=True))


def test_a_write_is_sent_again_only_if_nothing_was_sent_once_and_to_nobody_else():
    for error, asked in everything():
        if not asked["is_read"]:
            following = after_failure(error, **asked)
            assert following is not Next.OTHER
            if following is Next.AGAIN:
                assert error.sent is Sent.NONE and not asked["tried_again"]


def test_a_write_that_waited_for_a_connection_in_vain_does_not_wait_again():
    asked = {"is_read": False, "committed": False, "replayable": True, "tried_again": False, "fallback": False}
    kinds = {"": Next.AGAIN, OUT_OF_DESCRIPTORS: Next.AGAIN, POOL_FULL: Next.GIVE_UP}
    for kind, following in kinds.items():
        error = UpstreamError("modern", Failure.CONNECT, Sent.NONE, "", kind=kind)
        assert after_failure(error, **asked) is following


def test_after_the_head_was_passed_on_nothing_is_sent_and_nothing_is_answered():
    for error, asked in everything():
        assert (after_failure(error, **asked) is Next.ABORT) == asked["committed"]


def test_what_is_not_held_any_more_is_never_sent_again():
    for error, asked in everything():
        if not asked["replayable"] and not asked["committed"]:
            assert after_failure(error, **asked) is Next.GIVE_UP


def test_nothing_is_sent_a_third_time_to_the_same_side():
    for error, asked in everything():
        if asked["tried_again"]:
            assert after_failure(error, **asked) is not Next.AGAIN


def test_a_read_goes_to_another_side_only_if_there_is_one():
    for error, asked in everything():
        if not asked["fallback"]:
            assert after_failure(error, **asked) is not Next.OTHER


def test_what_a_client_is_told():
    assert {failure: status_of(UpstreamError("modern", failure, Sent.NONE, "")) for failure in Failure} == {
        Failure.CONNECT: 502,
        Failure.TIMEOUT: 504,
        Failure.RESET: 502,
    }
    for kind in (POOL_FULL, OUT_OF_DESCRIPTORS):
        assert status_of(UpstreamError("modern", Failure.CONNECT, Sent.NONE, "", kind=kind)) == 503
    assert set(PROXY_STATUS_ERROR) == set(Failure)


@pytest.mark.parametrize(
    ("status", "fails", "confirm_missing", "fallback", "fell_back", "has_first", "reason"),
    [
        (200, False, True, True, "", False, ""),
        (500, True, False, True, "", False, STATUS),
        (500, True, False, False, "", False, ""),
        (500, False, False, True, "", False, ""),
        (404, False, True, True, "", False, MISSING),
        (404, False, False, True, "", False, ""),
        (404, True, True, True, "", False, MISSING),
        (200, False, False, True, STATUS, True, ""),
        (503, True, False, True, STATUS, True, STATUS),
        (503, True, False, True, STATUS, False, ""),
        (404, False, False, True, STATUS, True, ""),
        (200, False, True, True, MISSING, True, ""),
        (404, False, True, True, MISSING, True, MISSING),
        (302, False, True, True, MISSING, True, MISSING),
        (500, True, True, True, MISSING, False, ""),
        (500, True, False, True, "timeout", False, ""),
    ],
)
def test_an_answer_gives_way_only_to_a_better_one(
    status, fails, confirm_missing, fallback, fell_back, has_first, reason
):
    said = after_answer(
        status, fails, confirm_missing=confirm_missing, fallback=fallback, fell_back=fell_back, has_first=has_first
    )

    assert said == reason
