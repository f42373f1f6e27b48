from __future__ import annotations

import asyncio

from aiohttp import web

from proxy.cli.sides import health_of
from tests.admin.small import served
from tests.store.servers import free_port


async def moved(request: web.Request) -> web.Response:
    return web.Response(status=302, headers={"Location": "/elsewhere"})


async def never(request: web.Request) -> web.Response:
    await asyncio.Event().wait()
    return web.Response()


async def test_what_answers_is_told_with_its_status_and_no_redirect_is_followed():
    app = web.Application()
    app.router.add_get("/healthz", moved)
    async with served(app) as server:
        status, says = await health_of(str(server.make_url("/healthz")), 2)

    assert status == 302
    assert says.endswith("ms")


async def test_what_does_not_answer_is_told_why():
    assert (await health_of(f"http://127.0.0.1:{free_port()}/", 2))[0] is None
    status, says = await health_of("http://no-such-host.invalid/", 5)
    assert (status, bool(says)) == (None, True)


async def test_what_hangs_is_told_after_a_while():
    app = web.Application()
    app.router.add_get("/", never)
    async with served(app) as server:
        assert await health_of(str(server.make_url("/")), 0.2) == (None, "no answer within 0.2 s")
