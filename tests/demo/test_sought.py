"""What the story looks for is what its readers are shown: by both applications and the product's comparator."""

from __future__ import annotations

from itertools import islice

import pytest

from proxy.core.comparerules import CompareRules
from proxy.core.documents import compare_bodies
from proxy.demo.asks import Ask, reads
from proxy.demo.defects import Defect
from proxy.demo.entities import COMPONENTS
from proxy.demo.sought import COMPARED, PLACES, RULES, SOUGHT, place_of
from proxy.demo.traffic import READS_PER_S
from tests.demo.pretend import SHOWN
from tests.demo.twins import twins, without_noise

SECONDS = 20


def route_of(ask: Ask) -> str:
    path = ask.path.partition("?")[0]
    last = path.removeprefix(f"/api/{ask.component}")
    return path if last in ("", "/search") else f"/api/{ask.component}/{{id}}"


@pytest.mark.parametrize("defect", Defect)
async def test_it_shows_exactly_where_it_is_looked_for(tmp_path, defect):
    found = set()
    async with twins(tmp_path) as both:
        await both.clients["modern"].put(f"/_demo/defects/{defect}")
        for ask in islice(reads(), int(SECONDS * READS_PER_S)):
            bodies = [without_noise(await (await each.get(ask.path)).read())[0] for each in both.clients.values()]
            for each in compare_bodies(*bodies, CompareRules(), 1_000).differences:
                found.add((ask.component, route_of(ask), each.path, each.kind.value))

    assert found == SOUGHT[defect].places
    assert found == set(SHOWN[defect])


def test_all_defects_are_looked_for_each_somewhere_else():
    assert set(SOUGHT) == set(Defect)
    assert len(PLACES) == sum(len(each.places) for each in SOUGHT.values()) == 10
    assert set(COMPARED) == set(COMPONENTS)


def test_noise_are_the_two_fields_that_are_told():
    assert sorted(RULES) == [("ignore", "$.generated_at"), ("ignore", "$.request_id")]


def test_a_cluster_is_where_it_says():
    cluster = {"id": "0", "component": "users", "route": "/api/users/{id}", "path": "$.email", "kind": "missing"}

    assert place_of(cluster) in PLACES
