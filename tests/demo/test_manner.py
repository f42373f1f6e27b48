from __future__ import annotations

import asyncio
import re
from dataclasses import replace
from itertools import islice

import orjson
import pytest

from proxy.demo.asks import reads
from proxy.demo.entities import COMPONENTS
from proxy.demo.manner import Manner, random_id
from tests.demo.twins import few, twins

NOISY = Manner(is_noisy=True)


@pytest.mark.parametrize("component", COMPONENTS)
async def test_lists_and_searches_are_noisy_where_asked_for_and_entities_never(tmp_path, component):
    async with twins(tmp_path, manner=NOISY) as both:
        page = await both.ask("GET", f"/api/{component}?limit=1")
        search = await both.ask("GET", f"/api/{component}/search?q=a&limit=1")
        entity = await both.ask("GET", f"/api/{component}/{orjson.loads(page.body)['data'][0]['id']}")

    assert [each.noise for each in (page, search, entity)] == [("generated_at",), ("generated_at", "request_id"), ()]


async def test_nothing_is_noisy_unless_asked_for(tmp_path):
    async with twins(tmp_path) as both:
        for ask in islice(reads(), 200):
            assert (await both.ask(ask.method, ask.path)).noise == ()


async def test_two_noisy_applications_are_equal_but_for_the_noise(tmp_path):
    async with twins(tmp_path, manner=NOISY) as both:
        for ask in islice(reads(), 400):
            await both.ask(ask.method, ask.path)


async def test_noise_differs_each_time_and_between_the_two(tmp_path):
    path = "/api/users/search?q=berg&limit=2"
    async with twins(tmp_path, manner=NOISY) as both:
        found = []
        for client in (*both.clients.values(), *both.clients.values()):
            both.clock.advance()
            found.append(orjson.loads(await (await client.get(path)).read()))

    assert len({each["request_id"] for each in found}) == 4
    assert [each["generated_at"][-7:] for each in found] == ["01.234Z", "02.468Z", "03.702Z", "04.936Z"]


def test_ids_of_requests_are_plain_words():
    assert all(re.fullmatch("[0-9a-f]{32}", random_id()) for _ in range(20))


async def test_every_answer_names_the_version(tmp_path):
    async with twins(tmp_path, few(), replace(NOISY, version="2024.3")) as both:
        await both.clients["modern"].post("/_demo/fault", json={"kind": "500", "component": "analytics"})
        for path in ("/healthz", "/api/users/1", "/api/users/999", "/api/users?limit=0", "/nowhere", "/api/analytics"):
            answer = await both.clients["modern"].get(path)
            assert answer.headers["X-App-Version"] == "2024.3", path
    async with twins(tmp_path / "plain", few()) as both:
        answers = await asyncio.gather(*(client.get("/api/users/1") for client in both.clients.values()))
    assert [answer.headers["X-App-Version"] for answer in answers] == ["1", "1"]
