from __future__ import annotations

import asyncio

from aiohttp import web

from proxy.cli.sides import health_of
from proxy.wire.certificates import DialingFiles
from tests import pki
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


async def test_over_tls_the_certificate_counts_as_it_does_for_the_gateway():
    app = web.Application()
    app.router.add_get("/healthz", moved)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=pki.serving(pki.authority().signed("app", "DNS:app.test")))
    await site.start()
    port = runner.addresses[0][1]
    url, tls = f"https://127.0.0.1:{port}/healthz", DialingFiles(ca=pki.authority().root).context()
    try:
        assert (await health_of(url, 2, tls, "app.test"))[0] == 302
        status, says = await health_of(url, 2, tls, "127.0.0.1")
        assert status is None and "IP address mismatch" in says
        status, says = await health_of(url, 2, DialingFiles().context(), "app.test")
        assert status is None and "certificate verify failed" in says
        assert (await health_of(url, 2, DialingFiles(verify=False).context(), "127.0.0.1"))[0] == 302
    finally:
        await runner.cleanup()
