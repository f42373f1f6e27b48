from __future__ import annotations

import pytest

from proxy.admin.probes import build_probes
from tests.admin.small import served


async def test_live_is_live_whatever_else_is_wrong(house, client):
    house.server.kill()
    async with served(build_probes(house)) as server, client.get(server.make_url("/livez")) as answer:
        assert (answer.status, await answer.json()) == (200, {"status": "ok"})


async def test_ready_only_once_the_store_was_read_and_still_ready_when_it_is_gone(house, client):
    async with served(build_probes(house)) as server:
        url = server.make_url("/readyz")
        async with client.get(url) as answer:
            assert answer.status == 503
            assert (await answer.json())["status"] == "not ready"

        await house.seed()
        async with client.get(url) as answer:
            assert answer.status == 200
            assert await answer.json() == {"status": "ready", "degraded": False, "version": 1, "because": []}

        house.server.kill()
        await house.look()
        async with client.get(url) as answer:
            document = await answer.json()
            assert (answer.status, document["status"], document["degraded"]) == (200, "ready", True)


async def test_not_ready_while_draining(house, client):
    await house.seed()
    house.draining = True
    async with served(build_probes(house)) as server, client.get(server.make_url("/readyz")) as answer:
        assert answer.status == 503
        assert (await answer.json())["because"] == ["it was told to end"]


async def test_probes_answer_to_any_name_and_to_get_alone(house, client):
    async with served(build_probes(house)) as server:
        async with client.get(server.make_url("/livez"), headers={"Host": "10.1.2.3:8082"}) as answer:
            assert answer.status == 200
        async with client.post(server.make_url("/livez"), json={}) as answer:
            assert (answer.status, answer.content_type) == (405, "application/problem+json")


@pytest.mark.parametrize("path", ["/api/v1/status", "/api/v1/rules", "/"])
async def test_probes_tell_nothing_else(house, client, path):
    async with served(build_probes(house)) as server, client.get(server.make_url(path)) as answer:
        assert answer.status == 404


@pytest.mark.parametrize(
    ("accept", "kind"),
    [("", "text/plain"), ("application/openmetrics-text; version=1.0.0", "application/openmetrics-text")],
)
async def test_metrics_come_in_the_format_asked_for(house, client, accept, kind):
    await house.seed()
    async with (
        served(build_probes(house)) as server,
        client.get(server.make_url("/metrics"), headers={"Accept": accept}) as answer,
    ):
        text = await answer.text()
        assert (answer.status, answer.content_type) == (200, kind)
        assert "banyan_rule_version 1.0" in text
        assert "nosniff" in answer.headers["X-Content-Type-Options"]


async def test_readiness_is_a_short_answer_however_much_is_wrong(house, client, monkeypatch):
    monkeypatch.setattr(house, "troubles", lambda: ("x" * 50_000,) * 3_000)
    async with served(build_probes(house)) as server, client.get(server.make_url("/readyz")) as answer:
        body = await answer.read()
        assert len(body) < 60_000 and b"more" in body
