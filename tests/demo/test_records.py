"""What both ways of keeping entities promise; that their answers are equal is told in test_api."""

from __future__ import annotations

import pytest

from proxy.demo.legacy import JsonFiles
from proxy.demo.modern import SqliteTables
from tests.demo.twins import few


async def open_records(kind, folder, seed):
    return JsonFiles(folder, seed) if kind == "legacy" else await SqliteTables.open(folder, seed)


@pytest.fixture(params=["legacy", "modern"])
async def kept(request, tmp_path):
    records = await open_records(request.param, tmp_path, few())
    yield records
    await records.close()


async def test_the_highest_number_outlives_what_had_it(kept):
    user = await kept.get("users", "3")
    await kept.save("users", {**user, "id": "9"})

    assert await kept.remove("users", "9")
    assert await kept.last_number("users") == 9
    assert not await kept.remove("users", "9")


async def test_pages_go_on_behind_an_entity_that_is_gone(kept):
    await kept.remove("users", "2")

    assert [user["id"] for user in await kept.page("users", "2", 10)] == ["3"]
    assert await kept.page("users", "3", 10) == []


@pytest.mark.parametrize("kind", ["legacy", "modern"])
async def test_what_is_there_is_not_seeded_again(kind, tmp_path):
    first = await open_records(kind, tmp_path, few())
    await first.remove("users", "1")
    await first.close()

    second = await open_records(kind, tmp_path, few())
    assert [user["id"] for user in await second.page("users", "", 10)] == ["2", "3"]
    await second.close()
