from __future__ import annotations

from collections import Counter
from itertools import islice

from proxy.demo.asks import WRITES_OF_ONE, reads, reads_of, writes
from proxy.demo.entities import COMPONENTS
from proxy.demo.names import READERS
from tests.demo.twins import twins


def test_every_reader_of_a_component_comes_as_often_as_every_other():
    users = [ask.user for ask in islice(reads(), 1350) if ask.component == "users"]

    assert set(Counter(users).values()) == {len(users) // len(READERS)}


def test_reads_are_of_all_components_and_only_reads():
    asked = list(islice(reads(), 900))

    assert {ask.component for ask in asked} == set(COMPONENTS)
    assert all(ask.is_read and ask.path.startswith(f"/api/{ask.component}") for ask in asked)


def test_some_readers_can_be_asked_for_alone():
    assert [ask.user for ask in islice(reads_of("users", ["ana", "ben"]), 3)] == ["ana", "ben", "ana"]


def test_writes_go_only_to_what_was_named():
    assert {ask.component for ask in islice(writes(["analytics"]), 40)} == {"analytics"}


def test_all_writes_of_an_entity_come_at_a_stretch_and_the_last_removes_it():
    asked = list(islice(writes(["conversations", "analytics"]), 8 * WRITES_OF_ONE))
    for start in range(0, len(asked), WRITES_OF_ONE):
        one = asked[start : start + WRITES_OF_ONE]
        assert len({ask.component for ask in one}) == 1
        assert [ask.method == "DELETE" for ask in one] == [*[False] * (WRITES_OF_ONE - 1), True]


async def test_both_applications_give_what_is_owed_and_no_write_leaves_anything(tmp_path):
    async with twins(tmp_path) as both:
        before = [(await both.ask("GET", f"/api/{name}?limit=200")).body for name in COMPONENTS]
        for ask in [*islice(reads(), 200), *islice(writes(["conversations", "analytics"]), 16)]:
            answer = await both.ask(ask.method, ask.path, json=ask.body)
            assert answer.status == ask.owed, ask
        assert [(await both.ask("GET", f"/api/{name}?limit=200")).body for name in COMPONENTS] == before
