from __future__ import annotations

import pytest

from proxy.admin.tokens import (
    FREE_TRIES,
    MOST_SOURCES,
    MOST_WAITING,
    MOST_WAITING_PER_SOURCE,
    Role,
    Throttle,
    Token,
    bearer_of,
    match,
)


def test_an_operator_may_do_what_a_viewer_may_and_not_the_other_way_round():
    assert Role.OPERATOR.covers(Role.VIEWER)
    assert Role.OPERATOR.covers(Role.OPERATOR)
    assert Role.VIEWER.covers(Role.VIEWER)
    assert not Role.VIEWER.covers(Role.OPERATOR)


def test_a_token_is_known_by_its_hash_alone():
    ana = Token.of("ana", "operator", "s3cret-s3cret-s3cret-s3cret")
    grafana = Token.of("grafana", "viewer", "another-another-another-anot")

    assert match((ana, grafana), b"another-another-another-anot") is grafana
    assert match((ana, grafana), b"s3cret") is None
    assert match((), b"s3cret") is None
    assert "s3cret" not in repr(ana)


@pytest.mark.parametrize(
    ("field", "secret"),
    [
        ("Bearer abc", b"abc"),
        ("bearer  abc ", b"abc"),
        ("Basic abc", None),
        ("Bearer", None),
        ("Bearer ", None),
        ("", None),
        (None, None),
    ],
)
def test_the_secret_stands_behind_the_word_bearer(field, secret):
    assert bearer_of(field) == secret


def test_wrong_tokens_wait_longer_each_time_and_are_forgotten_after_a_while():
    throttle = Throttle()

    delays = []
    for _ in range(12):
        delays.append(throttle.delay_s("10.0.0.1", now=100.0))
        throttle.done("10.0.0.1")

    assert delays == [0, 0, 0, 0.25, 0.5, 1.0, 2.0, 4.0, 5.0, 5.0, 5.0, 5.0]
    assert throttle.delay_s("10.0.0.2", now=100.0) == 0
    assert throttle.delay_s("10.0.0.1", now=161.0) == 0


def test_one_source_cannot_have_many_answers_waiting():
    throttle = Throttle()
    for _ in range(MOST_WAITING_PER_SOURCE):
        assert not throttle.is_full("10.0.0.1")
        throttle.delay_s("10.0.0.1", now=0.0)

    assert throttle.is_full("10.0.0.1")
    assert not throttle.is_full("10.0.0.2")
    throttle.done("10.0.0.1")
    assert not throttle.is_full("10.0.0.1")


def test_all_sources_together_cannot_either():
    throttle = Throttle()
    for number in range(MOST_WAITING):
        throttle.delay_s(f"10.0.0.{number}", now=0.0)

    for _ in range(FREE_TRIES):
        throttle.delay_s("10.0.1.1", now=0.0)
        throttle.done("10.0.1.1")
    throttle.delay_s("10.0.1.1", now=0.0)
    assert throttle.is_full("10.0.1.1")


def test_who_gave_no_wrong_token_is_heard_however_many_others_do():
    """Else whoever has some addresses could keep every operator out."""
    throttle = Throttle()
    for number in range(MOST_WAITING + 1):
        throttle.delay_s(f"10.0.0.{number}", now=0.0)

    assert not throttle.is_full("10.0.1.1")
    throttle.delay_s("10.0.1.1", now=0.0)
    throttle.done("10.0.1.1")
    assert not throttle.is_full("10.0.1.1")  # a mistyped one


def test_the_sources_remembered_are_bounded():
    throttle = Throttle()
    for number in range(MOST_SOURCES + 50):
        throttle.delay_s(f"source {number}", now=0.0)
        throttle.done(f"source {number}")

    assert len(throttle._sources) == MOST_SOURCES
    assert not throttle.is_full("source 0")
