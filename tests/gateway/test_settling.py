"""Which entities may still be on their way to the other side."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.gateway import settling
from proxy.gateway.settling import Settling


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def writes(clock: Clock) -> Settling:
    return Settling(2.0, clock)


def test_what_nobody_wrote_to_is_settled(writes):
    assert writes.is_settled("users", b"1", 100.0)
    assert writes.is_settled("users", b"", 100.0)


def test_an_entity_is_unsettled_while_a_write_is_under_way_and_for_a_while_after_it(writes, clock):
    writes.began("users", b"1")
    clock.now = 150.0
    assert not writes.is_settled("users", b"1", clock.now)

    writes.ended("users", b"1")
    assert not writes.is_settled("users", b"1", 151.9)
    assert writes.is_settled("users", b"1", 152.1)


def test_a_write_to_one_entity_unsettles_lists_and_no_other_entity(writes, clock):
    writes.began("users", b"1")
    writes.ended("users", b"1")

    assert not writes.is_settled("users", b"", clock.now)
    assert writes.is_settled("users", b"2", clock.now)
    assert writes.is_settled("orders", b"1", clock.now)


def test_a_write_of_which_nobody_knows_the_entity_unsettles_them_all(writes, clock):
    writes.began("users", b"")

    assert not writes.is_settled("users", b"2", clock.now)
    writes.ended("users", b"")
    assert not writes.is_settled("users", b"2", clock.now)
    assert writes.is_settled("users", b"2", clock.now + 2.1)


def test_of_two_writes_the_later_end_counts(writes, clock):
    writes.began("users", b"1")
    writes.began("users", b"1")
    writes.ended("users", b"1")
    clock.now = 200.0

    assert not writes.is_settled("users", b"1", clock.now)


def test_a_write_that_ended_before_the_read_began_counts_if_it_was_just_before(writes, clock):
    writes.began("users", b"1")
    writes.ended("users", b"1")
    clock.now = 500.0

    assert not writes.is_settled("users", b"1", 101.0)
    assert writes.is_settled("users", b"1", 103.0)


@given(st.lists(st.tuples(st.sampled_from([b"1", b"2", b"3", b"4", b""]), st.booleans()), max_size=40))
def test_more_entities_than_are_kept_are_rather_unsettled_than_forgotten(steps):
    clock = Clock()
    small, exact = Settling(2.0, clock), Settling(2.0, clock)
    under_way: list[bytes] = []
    at_once = 0
    most, settling.MOST_ENTITIES = settling.MOST_ENTITIES, 2
    try:
        for entity, begins in steps:
            clock.now += 0.5
            if begins:
                under_way.append(entity)
                at_once = max(at_once, len(under_way))
            elif entity in under_way:
                under_way.remove(entity)
            else:
                continue
            (small.began if begins else small.ended)("users", entity)
            settling.MOST_ENTITIES = most
            (exact.began if begins else exact.ended)("users", entity)
            settling.MOST_ENTITIES = 2
            for each in (b"1", b"2", b"3", b"4", b""):
                assert exact.is_settled("users", each, clock.now) or not small.is_settled("users", each, clock.now)
            assert len(small._components["users"].named) <= 2 + at_once
    finally:
        settling.MOST_ENTITIES = most
