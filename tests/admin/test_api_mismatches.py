"""Mismatches at the operator's listener: listed, shown, closed; and without a secret."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import pytest

from proxy.admin.api import build_admin
from proxy.core.clusters import sightings
from proxy.settings import Admin
from proxy.store.mismatches import Batch
from tests.admin.small import SmallHouse, file, served, small_house
from tests.admin.test_api import token
from tests.core.pairs import pair
from tests.store.secretive import secretive, traces_of_it

Ask = Callable[..., Awaitable[tuple[int, Any]]]
WHY = {"why": "fixed in 1.2"}


@pytest.fixture
async def ask(house: SmallHouse, client: aiohttp.ClientSession):
    """Ask the admin listener of `house`, in which there are two mismatches of `users`."""
    await house.seed(file(weight=5), file("configuration"))
    found = sightings(pair({"a": 1, "b": 1}, {"a": 2, "b": "x"}))
    await house.mismatches.record(Batch("users", "one", 1, found))

    async with served(build_admin(house)) as server:

        async def ask(method: str, path: str, body: Any = None, **fields: str) -> tuple[int, Any]:
            more = {} if body is None else {"json": body}
            async with client.request(method, server.make_url(f"/api/v1/{path}"), headers=fields, **more) as answer:
                return answer.status, await answer.json(content_type=None)

        yield ask


async def test_the_list_is_that_of_the_command_line(ask):
    status, document = await ask("GET", "mismatches")

    assert status == 200
    assert {(each["component"], each["path"], each["kind"], each["status"]) for each in document} == {
        ("users", "$.a", "value", "open"),
        ("users", "$.b", "type", "open"),
    }
    assert await ask("GET", "mismatches?component=users") == (200, document)
    assert await ask("GET", "mismatches?component=configuration") == (200, [])


async def test_a_component_or_an_id_that_is_none_is_not_found(ask):
    status, document = await ask("GET", "mismatches?component=user")
    assert (status, document["detail"]) == (404, "no component is called 'user'; did you mean `users`?")

    for method, path, body in (
        ("GET", "mismatches/zzz", None),
        ("GET", "mismatches/0123456789", None),
        ("POST", "mismatches/0123456789/close", WHY),
    ):
        status, document = await ask(method, path, body)
        assert (status, document["status"]) == (404, 404)
        assert "no mismatch has the id" in document["detail"]


async def test_one_has_its_examples(ask):
    _, listed = await ask("GET", "mismatches")
    one = next(each for each in listed if each["path"] == "$.a")

    status, document = await ask("GET", f"mismatches/{one['id']}")
    examples = document.pop("examples")
    assert (status, document) == (200, one)
    assert [each["request_path"] for each in examples] == ["/api/users/42"]


async def test_one_is_closed_with_a_reason(ask, house):
    _, listed = await ask("GET", "mismatches")
    path = f"mismatches/{listed[0]['id']}/close"

    for body in ({}, {"why": " "}, {"why": "x", "more": 1}):
        assert (await ask("POST", path, body))[0] == 400
    status, document = await ask("POST", path, WHY)
    assert (status, document["changed"], document["status"], document["closed_why"]) == (
        200, True, "closed", "fixed in 1.2",
    )  # fmt: skip
    assert document["closed_by"].startswith("admin")
    assert (await ask("POST", path, WHY))[1]["changed"] is False
    assert (await house.reader.events(10))[-1].kind == "mismatch_closed"


async def test_a_viewer_looks_and_does_not_close(client):
    tokens = token("eve", "viewer", "viewer-" + "t" * 32), token("ana", "operator", "operator-" + "t" * 32)
    async with small_house(admin=Admin(tokens=tokens)) as house:
        await house.seed(file(weight=5))
        await house.mismatches.record(Batch("users", "one", 1, sightings(pair({"a": 1}, {"a": 2}))))
        (found,) = await house.clusters.of("users")
        async with served(build_admin(house)) as server:
            url = server.make_url(f"/api/v1/mismatches/{found.id}")

            async def status(method: str, role: str, path: str = "") -> int:
                fields = {"Authorization": f"Bearer {role}-" + "t" * 32}
                more = {"json": WHY} if method == "POST" else {}
                async with client.request(method, f"{url}{path}", headers=fields, **more) as answer:
                    return answer.status

            assert await status("GET", "viewer") == 200
            assert await status("POST", "viewer", "/close") == 403
            assert await status("POST", "operator", "/close") == 200
            assert (await house.clusters.one(found.id)).closed_by == "ana"


async def test_without_the_store_it_says_so(house, ask):
    house.server.kill()

    assert (await ask("GET", "mismatches"))[0] == 503
    assert (await ask("GET", "mismatches/x"))[0] == 503
    assert (await ask("POST", "mismatches/x/close", WHY))[0] == 503


async def test_no_secret_of_a_message_is_told(house, ask):
    for number, each in enumerate(secretive()):
        await house.mismatches.record(Batch("users", "two", number + 1, sightings(each)))

    _, listed = await ask("GET", "mismatches")
    told = [listed, *[(await ask("GET", f"mismatches/{each['id']}"))[1] for each in listed]]
    told.append((await ask("GET", "events?count=100"))[1])
    assert len(listed) > 8
    assert "$.profile" in repr(told)
    assert traces_of_it(repr(told)) == []
