"""What each planted defect changes, that it changes nothing else, and that the demo's own traffic meets it soon."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import asynccontextmanager
from itertools import islice
from typing import Any

import orjson
import pytest

from proxy.core.comparerules import CompareRules
from proxy.core.documents import Kind, compare_bodies
from proxy.demo.asks import reads, writes
from proxy.demo.defects import ONE_IN, Defect, Defects, lacks_field
from proxy.demo.entities import COMPONENTS
from proxy.demo.manner import Manner
from proxy.demo.seed import everything
from proxy.demo.traffic import READS_PER_S
from tests.demo.twins import few, twins, without_noise

SECONDS = 5

# By defect: which component, and what differs in the answer for one entity of it.
DIFFERENCES: dict[Defect, tuple[str, Kind, str]] = {
    Defect.UNREAD: ("conversations", Kind.VALUE, "unread"),
    Defect.ZONE: ("analytics", Kind.VALUE, "at"),
    Defect.MISSING_FIELD: ("users", Kind.MISSING, "email"),
    Defect.ORDER: ("users", Kind.ORDER, "roles"),
}


@asynccontextmanager
async def planted(folder, *defects, **options):
    async with twins(folder, **options) as both:
        for defect in defects:
            assert (await both.clients["modern"].put(f"/_demo/defects/{defect}")).status == 204
        yield both


async def bodies(both, path) -> list[bytes]:
    """Return what legacy and modern say, without noise."""
    both.clock.advance()
    return [without_noise(await (await client.get(path)).read())[0] for client in both.clients.values()]


def paths(component: str) -> Iterator[str]:
    """Yield every read of a component: each entity, all of them in a list, and a search."""
    yield from (f"/api/{component}/{document['id']}" for document in everything()[component])
    yield from (f"/api/{component}?limit=200", f"/api/{component}/search?q=a&limit=200")


def differences(first: bytes, second: bytes) -> set[tuple[Kind, str]]:
    """Return what the comparator of the product finds between two bodies: kinds and names of fields."""
    found = compare_bodies(first, second, CompareRules(), 10_000).differences
    return {(each.kind, each.path.split(".")[-1].split("[")[0]) for each in found}


@pytest.mark.parametrize("defect", Defect)
async def test_exactly_one_field_differs_in_one_component(tmp_path, defect):
    component, kind, field = DIFFERENCES[defect]
    seen = 0
    async with planted(tmp_path, defect, manner=Manner(is_noisy=True)) as both:
        for other in COMPONENTS:
            for path in paths(other):
                first, second = await bodies(both, path)
                if other != component:
                    assert first == second, path
                elif first != second:
                    assert differences(first, second) == {(kind, field)}, path
                    seen += 1
    assert seen >= 2


@pytest.mark.parametrize("defect", Defect)
async def test_nothing_differs_before_and_after(tmp_path, defect):
    async with planted(tmp_path) as both:
        for path in paths(DIFFERENCES[defect][0]):
            await both.ask("GET", path)
        for verb in ("put", "delete"):
            assert (await both.clients["modern"].request(verb, f"/_demo/defects/{defect}")).status == 204
        for path in paths(DIFFERENCES[defect][0]):
            await both.ask("GET", path)


EXAMPLES: list[tuple[Defect, str, dict[str, Any], dict[str, Any]]] = [
    (Defect.UNREAD, "conversations", {"message_count": 5, "unread": 2}, {"message_count": 5, "unread": 5}),
    (Defect.ZONE, "analytics", {"at": "2024-12-31T22:30:00.125Z"}, {"at": "2025-01-01T00:30:00.125Z"}),
    (Defect.ZONE, "analytics", {"at": "9999-12-31T22:30:00.000Z"}, {"at": "9999-12-31T22:30:00.000Z"}),
    (Defect.MISSING_FIELD, "users", {"id": "150", "email": "a@b", "name": "A"}, {"id": "150", "name": "A"}),
    (Defect.MISSING_FIELD, "users", {"id": "151", "email": "a@b"}, {"id": "151", "email": "a@b"}),
    (Defect.ORDER, "users", {"roles": ["a", "c", "b"]}, {"roles": ["b", "c", "a"]}),
]


@pytest.mark.parametrize(("defect", "component", "right", "wrong"), EXAMPLES)
def test_what_a_defect_makes_of_an_entity(defect, component, right, wrong):
    before = orjson.dumps(right)

    assert Defects([defect]).shown(component, right) == wrong
    assert orjson.dumps(right) == before, "what is kept is not touched"
    assert Defects().shown(component, right) == right


def test_one_entity_in_fifty_lacks_a_field_and_always_the_same():
    numbered = [str(number) for number in range(1, 5_001)]
    words = [f"word-{number}" for number in range(5_000)]

    assert [name for name in numbered if lacks_field(name)] == [str(number) for number in range(ONE_IN, 5_001, ONE_IN)]
    assert 60 <= sum(map(lacks_field, words)) <= 140
    assert [lacks_field(name) for name in words] == [lacks_field(name) for name in words]


@pytest.mark.parametrize("defect", Defect)
def test_the_seed_has_at_least_fifty_entities_with_the_field(defect):
    component, _, field = DIFFERENCES[defect]
    entities = [with_derived(component, document) for document in everything()[component]]
    spoiled = [each for each in entities if Defects([defect]).shown(component, each) != each]

    assert sum(field in each for each in entities) >= 50
    assert len(spoiled) == len(entities) / ONE_IN if defect is Defect.MISSING_FIELD else len(spoiled) >= 50


def with_derived(component: str, document: dict[str, Any]) -> dict[str, Any]:
    """Return a seeded entity with the two derived fields that a defect needs."""
    if component != "conversations":
        return document
    messages = document["messages"]
    return {**document, "message_count": len(messages), "unread": sum(not each["read"] for each in messages)}


@pytest.mark.parametrize("defect", Defect)
async def test_the_traffic_of_the_demo_meets_it_within_seconds(tmp_path, defect):
    async with planted(tmp_path, defect) as both:
        seen = [ask for ask in some_seconds() if len(set(await bodies(both, ask.path))) > 1]

    assert len(seen) >= 2
    assert {ask.component for ask in seen} == {DIFFERENCES[defect][0]}


def some_seconds() -> Iterable[Any]:
    return islice(reads(), int(READS_PER_S * SECONDS))


async def test_defects_add_up_and_each_is_healed_for_itself(tmp_path):
    path = "/api/users?limit=200"
    async with planted(tmp_path, Defect.ORDER, Defect.MISSING_FIELD) as both:
        both_wrong = differences(*await bodies(both, path))
        await both.clients["modern"].delete("/_demo/defects/order")
        one_wrong = differences(*await bodies(both, path))

    assert both_wrong == {(Kind.ORDER, "roles"), (Kind.MISSING, "email")}
    assert one_wrong == {(Kind.MISSING, "email")}


async def test_writes_answer_and_keep_what_is_right(tmp_path):
    async with planted(tmp_path, *Defect) as both:
        for ask in islice(writes(["conversations", "analytics"]), 16):
            await both.ask(ask.method, ask.path, json=ask.body)
        await both.ask("PATCH", "/api/users/50", json={"name": "Ida Berg"})
        for defect in Defect:
            await both.clients["modern"].delete(f"/_demo/defects/{defect}")
        await both.ask("GET", "/api/users/50")


async def test_an_unknown_defect_is_refused_with_those_that_there_are(tmp_path):
    async with twins(tmp_path, few()) as both:
        answer = await both.clients["modern"].put("/_demo/defects/luck")
        said = (await answer.json())["error"]["message"]

    assert answer.status == 404
    assert said == "no defect is called luck; known are unread, zone, missing_field, order"


async def test_legacy_cannot_be_given_any(tmp_path):
    async with twins(tmp_path, few(), Manner(defects=frozenset(Defect))) as both:
        assert (await both.clients["legacy"].put("/_demo/defects/order")).status == 404
        answer = await both.clients["legacy"].get("/api/users/1")
        assert await answer.read() == orjson.dumps(few()["users"][0])
