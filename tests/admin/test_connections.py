"""Callers of the admin and probe listeners: what they may take their time for, and what is never repeated of them."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

import pytest
import structlog
from aiohttp import web

from proxy.admin.answers import said
from proxy.admin.bodies import Reason, body_of
from proxy.admin.connections import CROWDED, MALFORMED, Site, Terms, listening
from proxy.admin.guard import add_fields, worded
from proxy.core.limits import ClientDeadlines
from tests.waiting import until

PATIENT = ClientDeadlines(600, 600, 600)
GET = b"GET /page HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST /change HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
SECRETS = [
    b"GET /page HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer TOPSECRET\x01\r\n\r\n",
    b"GET /page HTTP/1.1\r\nHost: a\r\nAuthorization : Bearer TOPSECRET\r\n\r\n",
    b"GET /page?token=TOPSECRET HTTP/9.9\r\n\r\n",
    b"TOPSECRET\x1b[31m\xff bad\r\n\r\n",
    b"GET /page HTTP/1.1\r\nHost: a\r\nX: TOPSECRET\nY: y\r\n\r\n",
    GET + b"\x16\x03\x01TOPSECRET\r\n\r\n",
]


@dataclass
class Place:
    """A listener on a port of its own, and what was counted there."""

    port: int
    counted: Counter[str] = field(default_factory=Counter)
    site: Site | None = None

    @property
    def callers(self) -> list[web.RequestHandler]:
        assert self.site is not None and self.site._runner.server is not None
        return self.site._runner.server.connections

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port)

    async def ask(self, data: bytes) -> bytes:
        """Send, and return all that comes until the listener closes."""
        reader, writer = await self.connect()
        writer.write(data)
        try:
            return await rest(reader)
        finally:
            writer.close()


async def rest(reader: asyncio.StreamReader) -> bytes:
    """Read until the end, however it comes; fail when none comes."""
    found = b""
    async with asyncio.timeout(30):
        try:
            while part := await reader.read(65536):
                found += part
        except ConnectionError:
            pass
        return found


async def page(request: web.Request) -> web.Response:
    return said({"ok": True})


async def large(request: web.Request) -> web.Response:
    return web.Response(body=b"x" * 30_000_000)


async def broken(request: web.Request) -> web.Response:
    raise RuntimeError(request.query["what"])


async def change(request: web.Request) -> web.Response:
    return said({"why": (await body_of(request, Reason, within_s=0.2)).why})


@asynccontextmanager
async def place(deadlines: ClientDeadlines, **more: int) -> AsyncIterator[Place]:
    app = web.Application(middlewares=[worded])
    app.on_response_prepare.append(add_fields)
    app.router.add_get("/page", page)
    app.router.add_get("/large", large)
    app.router.add_get("/broken", broken)
    app.router.add_post("/change", change)
    sock = socket.create_server(("127.0.0.1", 0))
    made = Place(sock.getsockname()[1])
    async with listening(app, sock, Terms(deadlines, lambda what: made.counted.update([what]), **more), 0.1) as site:
        made.site = site
        yield made


@pytest.fixture
async def make_place() -> AsyncIterator[Callable[..., object]]:
    async with AsyncExitStack() as stack:

        async def make(deadlines: ClientDeadlines = PATIENT, **more: int) -> Place:
            return await stack.enter_async_context(place(deadlines, **more))

        yield make


@pytest.mark.parametrize("request_", SECRETS)
async def test_nothing_of_a_malformed_request_is_logged_or_sent_back(make_place, caplog, capsys, request_):
    caplog.set_level(logging.DEBUG)
    where = await make_place()
    with structlog.testing.capture_logs() as lines:
        answer = await where.ask(request_)

    told = caplog.text + capsys.readouterr().err + str(lines)
    assert "TOPSECRET" not in told and "Traceback" not in told
    assert where.counted == {MALFORMED: 1}
    head, _, body = answer[answer.rindex(b"HTTP/1.") :].partition(b"\r\n\r\n")
    assert head[9:12] == b"400"
    assert b"application/problem+json" in head and b"nosniff" in head and b"aiohttp" not in head
    assert json.loads(body)["status"] == 400
    assert b"TOPSECRET" not in answer


async def test_an_error_of_ours_is_logged_by_kind_and_place_alone(make_place, caplog):
    where = await make_place()
    with structlog.testing.capture_logs() as lines:
        answer = await where.ask(b"GET /broken?what=TOPSECRET HTTP/1.1\r\nHost: a\r\n\r\n")

    assert answer[9:12] == b"500" and b"problem+json" in answer
    (line,) = lines
    assert (line["event"], line["error"]) == ("admin_request_failed", "RuntimeError")
    assert line["at"][-1].startswith("test_connections.py:") and line["at"][-1].endswith(" broken")
    assert "TOPSECRET" not in str(lines) + caplog.text
    assert not where.counted


async def test_a_caller_that_leaves_within_a_body_is_no_error(make_place, caplog):
    where = await make_place()
    with structlog.testing.capture_logs() as lines:
        _, writer = await where.connect()
        writer.write(POST + b"Content-Length: 10\r\n\r\n{")
        await writer.drain()
        writer.transport.abort()
        assert b"200" in await where.ask(GET.replace(b"Host: a", b"Host: a\r\nConnection: close"))

    assert not lines and not caplog.records


@pytest.mark.parametrize("data", [b"", b"GET /pa", b"GET /page HTTP/1.1\r\nHost: a\r\n", b"\r\n"])
async def test_a_head_has_its_deadline_also_before_its_first_byte(make_place, data):
    where = await make_place(ClientDeadlines(0.2, 600, 600))

    assert await where.ask(data) == b""


async def test_a_dribble_does_not_renew_the_deadline_of_a_head(make_place):
    where = await make_place(ClientDeadlines(0.3, 600, 600))
    reader, writer = await where.connect()

    writer.write(b"GET /")

    def is_cut_while_it_goes_on() -> bool:
        writer.write(b"x")
        return reader.at_eof() or reader.exception() is not None

    await until(is_cut_while_it_goes_on, 30, every_s=0.02)


async def test_between_two_requests_a_caller_may_rest_and_then_the_head_has_its_deadline(make_place):
    where = await make_place(ClientDeadlines(0.3, 600, 600))
    reader, writer = await where.connect()
    writer.write(GET)
    assert await reader.readuntil(b"}\n")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.9):
            await reader.read(1)
    writer.write(GET)
    assert await reader.readuntil(b"}\n")
    writer.write(b"GET /pa")

    assert await rest(reader) == b""


async def test_a_caller_that_rests_too_long_is_closed(make_place):
    where = await make_place(ClientDeadlines(600, 600, 0.2))

    assert (await where.ask(GET)).endswith(b"}\n")


@pytest.mark.parametrize("framing", [b"Content-Length: 10\r\n\r\n{", b"Transfer-Encoding: chunked\r\n\r\n4\r\n{"])
async def test_half_a_body_is_answered_408(make_place, framing):
    where = await make_place()
    answer = await where.ask(POST + framing)

    assert answer[9:12] == b"408" and b"problem+json" in answer


async def test_a_body_that_is_badly_framed_is_answered_400(make_place, caplog):
    where = await make_place()
    answer = await where.ask(POST + b"Transfer-Encoding: chunked\r\n\r\nTOPSECRET\r\n")

    assert answer[9:12] == b"400" and b"problem+json" in answer
    assert "TOPSECRET" not in caplog.text + answer.decode()


@pytest.mark.parametrize("version", [b"HTTP/1.1", b"HTTP/1.0"])
async def test_a_reader_that_takes_nothing_is_cut(make_place, version):
    where = await make_place(ClientDeadlines(600, 600, 0.3))
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", where.port))
        sock.send(b"GET /large %b\r\nHost: a\r\n\r\n" % version)
        await until(lambda: len(where.callers) == 1, 30)
        await until(lambda: not where.callers, 30)


async def test_one_caller_too_many_takes_the_place_of_the_one_that_waits_longest(make_place):
    where = await make_place(most=3)
    callers = []
    for _ in range(3):
        reader, writer = await where.connect()
        writer.write(GET)
        await reader.readuntil(b"}\n")
        callers.append((reader, writer))

    fourth, writer = await where.connect()
    writer.write(GET)

    assert await fourth.readuntil(b"}\n")
    assert await rest(callers[0][0]) == b""
    for reader, writer in callers[1:]:
        writer.write(GET)
        assert await reader.readuntil(b"}\n")
    assert where.counted == {CROWDED: 1}


async def test_who_is_served_is_not_cut_for_one_too_many(make_place):
    where = await make_place(most=2)
    busy = []
    for _ in range(2):
        reader, writer = await where.connect()
        writer.write(GET)
        await reader.readuntil(b"}\n")
        writer.write(b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n")
        await reader.readexactly(1)
        busy.append((reader, writer))

    assert await where.ask(b"") == b""
    for reader, _ in busy:
        async with asyncio.timeout(30):
            await reader.readuntil(b"\r\n\r\n")
            assert len(await reader.readexactly(30_000_000)) == 30_000_000
