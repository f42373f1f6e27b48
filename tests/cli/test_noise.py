"""`banyan noise`: what is learned is told, with a text to paste that works."""

from __future__ import annotations

import asyncio

import pytest
import yaml

from proxy.core.evidence import Basis
from proxy.core.rules import Compare
from proxy.store.evidence import Batch, EvidenceStore
from proxy.store.link import Link
from tests.cli.place import Place


def learned(place: Place, route: str = "GET /api/users/{id}", **counts: int) -> None:
    names = {name.replace("__", " $."): count for name, count in counts.items()}

    async def add() -> None:
        link = Link(place.store)
        batch = Batch("users", route, "one", 1, "2026-11-20T10:00:00Z", "e1", Basis("a"), names)
        await EvidenceStore(link, "noise").add(batch)
        await link.close()

    asyncio.run(add())


@pytest.fixture
def users(place: Place) -> Place:
    assert place.say("rules", "push", "--yes").code == 0 or place.say("rules", "push").code == 0
    return place


def test_what_differs_from_itself_is_proposed_as_a_rule(users):
    learned(users, compared=44, value__generated_at=41, order__items=40)

    said = users.say("noise", "suggest", "users")

    assert said.code == 0
    proposed = yaml.safe_load(said.out)["routes"]["GET /api/users/{id}"]["compare"]
    compare = Compare.model_validate(proposed)
    assert [each.path for each in compare.ignore] == ["$.generated_at"]
    assert list(compare.unordered) == ["$.items"]
    assert "differed from itself in 41 of 44 reads since 2026-11-20" in said.out


def test_nothing_is_proposed_where_nothing_differs(users):
    learned(users, compared=44)

    said = users.say("noise", "suggest", "users")

    assert (said.code, said.out) == (0, "")
    assert "44 reads were answered twice by one side since 2026-11-20T10:00:00Z" in said.err


def test_that_nothing_was_compared_is_said_with_the_way_out(users):
    assert "noise: {sample: 1}" in users.say("noise", "suggest", "users").err


def test_the_places_are_listed(users):
    learned(users, compared=44, value__generated_at=41)

    (row,) = users.say("noise", "show", "users", "-o", "json").data
    assert (row["path"], row["kind"], row["count"], row["compared"]) == ("$.generated_at", "value", 41, 44)
    assert "41 of 44 reads" in users.say("noise", "show", "users").out


def test_an_unknown_component_is_refused_with_a_suggestion(users):
    said = users.say("noise", "suggest", "user")

    assert said.code == 2
    assert "users" in said.err
