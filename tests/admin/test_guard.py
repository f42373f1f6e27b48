from __future__ import annotations

import asyncio
import time

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from proxy.admin.answers import said
from proxy.admin.guard import WHO, Door, add_fields, guarded, is_known_host, worded
from proxy.admin.tokens import Token

ANA = Token.of("ana", "operator", "operator-operator-operator-op")
GRAFANA = Token.of("grafana", "viewer", "viewer-viewer-viewer-viewer-v")
OPERATOR = {"Authorization": "Bearer operator-operator-operator-op"}
VIEWER = {"Authorization": "Bearer viewer-viewer-viewer-viewer-v"}


async def who(request: web.Request) -> web.Response:
    if request.method == "POST":
        await request.read()
    return said({"who": request[WHO]})


async def serve(door: Door) -> TestServer:
    app = web.Application(middlewares=[worded, guarded(door)], client_max_size=1000)
    app.on_response_prepare.append(add_fields)
    app.router.add_get("/livez", who)
    app.router.add_get("/page", who)
    app.router.add_post("/change", who)
    server = TestServer(app)
    await server.start_server()
    return server


@pytest.fixture
async def client():
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
async def unlocked():
    server = await serve(Door())
    yield server.make_url
    await server.close()


@pytest.fixture
async def locked():
    server = await serve(Door(tokens=(ANA, GRAFANA)))
    yield server.make_url
    await server.close()


@pytest.mark.parametrize(
    ("host", "known"),
    [
        ("127.0.0.1:8081", True),
        ("localhost", True),
        ("LOCALHOST:1", True),
        ("[::1]:8081", True),
        ("evil.example", False),
        ("localhost.evil.example", False),
        ("127.0.0.1.nip.io", False),
        ("10.0.0.7:8081", False),
        ("", False),
    ],
)
def test_only_the_own_names_are_answered(host, known):
    assert is_known_host(Door(), host) is known


@pytest.mark.parametrize(
    ("host", "known"),
    [
        ("10.0.0.7:8081", True),
        ("[2001:db8::1]", True),
        ("banyan.internal:443", True),
        ("Banyan.Internal.", True),
        ("evil.example", False),
        ("[evil]", False),
        ("2001:db8::1", False),
    ],
)
def test_beyond_the_loopback_addresses_and_named_hosts_are_answered(host, known):
    assert is_known_host(Door(hosts=frozenset({"banyan.internal"}), any_address=True), host) is known


async def test_a_rebound_name_is_misdirected(unlocked, client):
    async with client.get(unlocked("/page"), headers={"Host": "evil.example"}) as answer:
        assert answer.status == 421
        assert answer.content_type == "application/problem+json"


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({}, 200),
        ({"Sec-Fetch-Site": "same-origin"}, 200),
        ({"Sec-Fetch-Site": "none"}, 200),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
    ],
)
async def test_a_change_does_not_come_from_another_site(unlocked, client, fields, status):
    async with client.post(unlocked("/change"), json={}, headers=fields) as answer:
        assert answer.status == status


async def test_the_own_origin_may_change_things(unlocked, client):
    url = unlocked("/change")
    async with client.post(url, json={}, headers={"Origin": str(url.origin())}) as answer:
        assert answer.status == 200


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])
async def test_a_change_is_json_or_refused(unlocked, client, kind):
    async with client.post(unlocked("/change"), data=b"{}", headers={"Content-Type": kind}) as answer:
        assert answer.status == 415


async def test_a_change_is_no_get(unlocked, client):
    async with client.get(unlocked("/change")) as answer:
        assert answer.status == 405
        assert answer.headers["Allow"] == "POST"
        assert answer.content_type == "application/problem+json"


async def test_a_large_body_is_refused(unlocked, client):
    async with client.post(unlocked("/change"), json={"why": "x" * 2000}) as answer:
        assert answer.status == 413


async def test_what_is_not_there_is_a_problem_document(unlocked, client):
    async with client.get(unlocked("/nothing")) as answer:
        assert (answer.status, answer.content_type) == (404, "application/problem+json")


@pytest.mark.parametrize("path", ["/page", "/nothing", "/change", "/livez"])
async def test_every_answer_carries_the_security_fields_and_nobody_is_told_more(unlocked, client, path):
    async with client.get(unlocked(path), headers={"Origin": "http://evil.example"}) as answer:
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert answer.headers["Cache-Control"] == "no-store"
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
        assert "Access-Control-Allow-Origin" not in answer.headers
        assert "Server" not in answer.headers


async def test_without_tokens_everyone_on_the_own_machine_is_an_operator(unlocked, client):
    async with client.post(unlocked("/change"), json={}) as answer:
        assert await answer.json() == {"who": "admin@127.0.0.1"}


@pytest.mark.parametrize(
    ("method", "path", "fields", "status"),
    [
        ("GET", "/page", {}, 401),
        ("GET", "/page", VIEWER, 200),
        ("GET", "/page", OPERATOR, 200),
        ("POST", "/change", {}, 401),
        ("POST", "/change", VIEWER, 403),
        ("POST", "/change", OPERATOR, 200),
        ("GET", "/livez", {}, 200),
        ("GET", "/page", {"Authorization": "Bearer nope"}, 401),
        ("GET", "/page", {"Authorization": "Basic YTpi"}, 401),
        ("GET", "/page", {"X-Forwarded-User": "ana"}, 401),
    ],
)
async def test_tokens_have_roles(locked, client, method, path, fields, status):
    body = {"json": {}} if method == "POST" else {}
    async with client.request(method, locked(path), headers=fields, **body) as answer:
        assert answer.status == status
        assert ("WWW-Authenticate" in answer.headers) == (status == 401)


async def test_who_asks_is_the_name_of_the_token(locked, client):
    async with client.post(locked("/change"), json={}, headers=OPERATOR) as answer:
        assert await answer.json() == {"who": "ana"}


async def test_wrong_tokens_wait_and_then_are_refused_without_a_look(locked, client):
    async def guess(number: int) -> int:
        async with client.get(locked("/page"), headers={"Authorization": f"Bearer guess-{number}"}) as answer:
            return answer.status

    begun = time.monotonic()
    assert [await guess(number) for number in range(4)] == [401, 401, 401, 401]
    assert time.monotonic() - begun >= 0.24

    statuses = await asyncio.gather(*(guess(number) for number in range(30)))
    assert statuses.count(429) >= 20
    assert set(statuses) == {401, 429}
