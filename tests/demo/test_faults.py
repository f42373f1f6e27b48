from __future__ import annotations

import asyncio

import aiohttp
import pytest

from proxy.demo.faults import Fault, FaultKind, Faults
from tests.demo.twins import few, twins
from tests.waiting import until


@pytest.fixture
async def modern(tmp_path):
    async with twins(tmp_path, few()) as both:
        yield both.clients["modern"]


async def fault(client, **told):
    answer = await client.post("/_demo/fault", json=told)
    assert answer.status == 204


async def test_errors_last_as_long_as_told_and_spare_what_is_not_the_api(modern):
    await fault(modern, kind="500", for_s=60)

    assert (await modern.get("/api/users/1")).status == 500
    assert (await modern.get("/healthz")).status == 200
    await fault(modern, kind="500", for_s=0.2)
    assert await until(lambda: answered(modern, "/api/users/1"))


async def answered(client, path):
    return (await client.get(path)).status == 200


async def test_a_fault_can_be_of_one_component_and_be_ended(modern):
    await fault(modern, kind="500", for_s=60, component="users")

    assert [(await modern.get(f"/api/{name}")).status for name in ("users", "analytics")] == [500, 200]
    assert (await modern.delete("/_demo/fault")).status == 204
    assert (await modern.get("/api/users")).status == 200


async def test_what_hangs_is_answered_when_the_fault_ends(modern):
    await fault(modern, kind="hang", for_s=60)
    hanging = asyncio.create_task(modern.get("/api/users/1"))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(asyncio.shield(hanging), 0.1)

    await modern.delete("/_demo/fault")

    assert (await asyncio.wait_for(hanging, 5)).status == 200


async def test_a_reset_connection_gives_no_answer(modern):
    await fault(modern, kind="close", for_s=60)

    with pytest.raises(aiohttp.ClientConnectionError):
        await modern.post("/api/users", json={})


async def test_a_torn_answer_ends_in_its_middle(modern):
    await fault(modern, kind="tear", for_s=60)

    answer = await modern.get("/api/users")

    assert answer.status == 200
    with pytest.raises(aiohttp.ClientPayloadError):
        await answer.read()


@pytest.mark.parametrize("told", [{"kind": "sulk"}, {}, [], {"kind": "500", "for_s": 0}, {"kind": "500", "for_s": "x"}])
async def test_an_unknown_fault_is_refused(modern, told):
    answer = await modern.post("/_demo/fault", json=told)

    assert answer.status == 400
    assert (await modern.get("/api/users")).status == 200


def test_a_later_fault_takes_the_place_of_an_earlier_one():
    faults = Faults()
    faults.set(FaultKind.HANG, 10, "", now=100)
    faults.set(FaultKind.ERROR, 1, "users", now=101)

    assert faults.active("users", 101.9) == Fault(FaultKind.ERROR, 102, "users")
    assert faults.active("users", 102) is None
    assert faults.active("analytics", 101.9) is None
