"""TLS below the wire: who gets in, what an end means, which idle connections are trusted, and why a side is not."""

from __future__ import annotations

import asyncio
import hashlib
import os
import select
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from proxy.core.errors import Failure, Sent
from proxy.core.limits import PoolLimits
from proxy.wire.certificates import DialingFiles, ServingFiles
from proxy.wire.client import LAST_CALL_S
from proxy.wire.instances import Place
from proxy.wire.pool import Pool
from proxy.wire.tls import Secured, TlsFault, Trust, dialled
from tests import pki
from tests.peers import Exchange, RawClient, ok
from tests.pki import Manual, authority, key_of, server_cert, serving, trusting
from tests.waiting import until
from tests.wire.lodge import Door, Guest, door
from tests.wire.told import Bench, Told, bench

REQUEST = b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n"
VERSIONS = pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])


def at_once(guest: Guest) -> None:
    guest.answer()


def refused(opened: Door) -> list[str]:
    return opened.lodge.refusals


def reset(manual: Manual) -> None:
    sock = manual.writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    manual.close()


# Clients: the handshake


@VERSIONS
async def test_a_client_is_served_over_tls(version):
    async with door(at_once, tls=pki.own_context) as opened:
        client = await RawClient.connect(opened.port, trusting(version=version))
        for _ in range(3):
            await client.send(REQUEST)
            assert (await client.answer()).body == b"ok"
        assert opened.guests[0].client.scheme == b"https"
        assert len(opened.listener.clients) == 1 and not opened.listener.arrivals
        client.close()


async def test_a_version_before_1_2_is_refused_by_name_and_counted():
    async with door(at_once, tls=pki.own_context) as opened:
        with pytest.warns(DeprecationWarning):
            old = trusting(version=ssl.TLSVersion.TLSv1_1)
        client = await Manual.connect(opened.port, old)
        with pytest.raises(ssl.SSLError, match="PROTOCOL_VERSION"):
            await client.shake()
        await until(lambda: refused(opened))
        assert refused(opened) == ["tls_version"]
        client.close()


@pytest.mark.parametrize(
    ("offered", "chosen"), [(["h2", "http/1.1"], "http/1.1"), (["http/1.1"], "http/1.1"), (["h2"], None), ([], None)]
)
async def test_http_1_1_is_the_only_protocol(offered, chosen):
    async with door(at_once, tls=pki.own_context) as opened:
        context = trusting()
        if offered:
            context.set_alpn_protocols(offered)
        client = await Manual.connect(opened.port, context)
        await client.shake()
        assert client.tls.selected_alpn_protocol() == chosen
        client.close()


def right() -> Path:
    return authority().signed("client", "DNS:ana")


def foreign() -> Path:
    return pki.Authority.made(authority().folder / "foreign", "another root").signed("stranger", "DNS:eve")


def expired() -> Path:
    return authority().signed("expired", "DNS:ana", days=-1)


@VERSIONS
@pytest.mark.parametrize(
    ("mode", "made", "served"),
    [
        ("none", None, True),
        ("none", foreign, True),
        ("optional", None, True),
        ("optional", right, True),
        ("optional", foreign, False),
        ("required", None, False),
        ("required", right, True),
        ("required", foreign, False),
        ("required", expired, False),
    ],
)
async def test_certificates_of_clients(mode, made: Callable[[], Path] | None, served, version):
    cert = server_cert()
    files = ServingFiles(cert, key_of(cert), None if mode == "none" else authority().root, mode)
    context = files.context()
    async with door(at_once, tls=lambda: context) as opened:
        client = await Manual.connect(opened.port, trusting(cert=made() if made else None, version=version))
        if served:
            await client.shake()
            await client.send(REQUEST)
            assert b"200" in await client.read()
        else:
            with pytest.raises((ssl.SSLError, ConnectionError), match=r"ALERT|reset"):
                await client.shake()
                await client.read()
        assert refused(opened) == ([] if served else ["tls_certificate"])
        assert len(opened.guests) == served
        client.close()


@pytest.mark.parametrize(
    "request_", [REQUEST, b"DELETE /a HTTP/1.1\r\nHost: a\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n"]
)
async def test_plain_http_is_told_and_cut(request_):
    async with door(at_once, tls=pki.own_context) as opened:
        client = await RawClient.connect(opened.port)
        await client.send(request_)
        answer = await client.answer()
        assert (answer.status, answer.value(b"connection")) == (400, b"close")
        assert b"HTTPS" in answer.body
        assert await client.rest() == b""
        assert (refused(opened), opened.guests) == (["tls_plain_http"], [])
        await until(lambda: not opened.listener.arrivals)


async def test_what_is_neither_is_cut():
    async with door(at_once, tls=pki.own_context) as opened:
        client = await RawClient.connect(opened.port)
        await client.send(b"\x00\x01\x02\x03\x04\x05\x06\x07")
        assert len(await client.rest()) < 16  # an alert at most
        assert (refused(opened), opened.guests) == (["tls_handshake"], [])


@pytest.mark.parametrize("sent", ["nothing", "half a hello"])
async def test_a_handshake_that_takes_too_long_is_cut(sent):
    async with door(at_once, tls=pki.own_context) as opened:
        client = await Manual.connect(opened.port)
        with suppress(ssl.SSLWantReadError):
            client.tls.do_handshake()
        hello = client.outgoing.read()
        client.writer.write(b"" if sent == "nothing" else hello[: len(hello) // 2])
        await until(lambda: opened.listener.arrivals)
        (arrival,) = opened.listener.arrivals
        await until(lambda: sent == "nothing" or arrival.secured._record_left)
        opened.pass_s(9)
        assert opened.listener.arrivals
        opened.pass_s(1.3)
        assert await client.take() == b""
        assert refused(opened) == ["tls_timeout"]
        assert not opened.listener.arrivals and not opened.listener.clients


@pytest.mark.parametrize("leave", [Manual.close, reset])
async def test_who_only_looks_whether_the_port_is_open_is_not_counted(leave):
    async with door(at_once, tls=pki.own_context) as opened:
        client = await Manual.connect(opened.port)
        await until(lambda: opened.listener.arrivals)
        leave(client)
        await until(lambda: not opened.listener.arrivals)
        assert refused(opened) == []


async def test_a_request_behind_the_handshake_in_one_piece():
    async with door(at_once, tls=pki.own_context) as opened:
        client = await Manual.connect(opened.port)
        with suppress(ssl.SSLWantReadError):
            client.tls.do_handshake()
        await client.flush()
        await client.take()
        with suppress(ssl.SSLWantReadError):
            client.tls.do_handshake()
        client.tls.write(REQUEST)
        await client.flush()
        assert (await client.read()).endswith(b"ok")
        client.close()


async def test_a_request_byte_by_byte_below_tls():
    async with door(at_once, tls=pki.own_context) as opened:
        client = await (await Manual.connect(opened.port)).shake()
        for byte in client.records(REQUEST):
            client.writer.write(bytes([byte]))
            await client.writer.drain()
            await asyncio.sleep(0)
        assert (await client.read()).endswith(b"ok")
        client.close()


# Clients: ends


async def test_the_last_answer_ends_with_close_notify_and_what_still_comes_is_dropped():
    async with door(at_once, tls=pki.own_context) as opened:
        client = await (await Manual.connect(opened.port)).shake()
        await client.send(b"GET /a HTTP/1.0\r\n\r\n")
        assert (await client.read()).endswith(b"ok")
        assert await client.read() == b""
        await client.send(REQUEST)
        await client.say_end()
        await until(lambda: not opened.listener.clients)
        assert len(opened.guests) == 1


async def test_a_torn_answer_has_no_close_notify():
    """A body that ends with its connection would be whole otherwise."""
    async with door(lambda guest: guest.begin(b"part"), tls=pki.own_context) as opened:
        client = await (await Manual.connect(opened.port)).shake()
        await client.send(b"GET /a HTTP/1.0\r\n\r\n")
        assert (await client.read()).endswith(b"part")
        opened.client.abort()
        with pytest.raises((EOFError, ConnectionError)):
            await client.read()


async def test_a_client_that_closed_its_half_gets_its_answer():
    async with door(tls=pki.own_context) as opened:
        client = await (await Manual.connect(opened.port)).shake()
        await client.send(REQUEST)
        await client.say_end()
        await until(lambda: opened.guests and opened.client._eof)
        opened.guests[0].answer()
        assert (await client.read()).endswith(b"ok")
        assert await client.read() == b""
        client.close()


async def test_a_socket_that_ends_without_close_notify_is_a_client_that_left():
    async with door(tls=pki.own_context) as opened:
        client = await (await Manual.connect(opened.port)).shake()
        await client.send(REQUEST)
        await until(lambda: opened.guests)
        client.writer.write_eof()
        await until(lambda: opened.guests[0].left)
        assert not opened.listener.clients
        client.close()


async def test_a_broken_record_ends_the_connection():
    async with door(tls=pki.own_context) as opened:
        client = await (await Manual.connect(opened.port)).shake()
        record = bytearray(client.records(REQUEST))
        record[-1] ^= 1
        client.writer.write(record)
        await until(lambda: not opened.listener.clients)
        assert opened.guests == []
        client.close()


async def test_what_stands_behind_close_notify_counts_for_nothing():
    async with door(at_once, tls=pki.own_context) as opened:
        client = await (await Manual.connect(opened.port)).shake()
        late = client.records(REQUEST)
        await client.say_end()
        client.writer.write(late)
        await until(lambda: not opened.listener.clients)
        assert opened.guests == []
        client.close()


# Clients: drain


async def test_a_drain_waits_for_handshakes_and_their_first_request():
    async with door(at_once, tls=pki.own_context) as opened:
        arriving, silent = await Manual.connect(opened.port), await Manual.connect(opened.port)
        await until(lambda: len(opened.listener.arrivals) == 2)
        draining = asyncio.ensure_future(opened.listener.drain(30))
        await asyncio.sleep(0)
        await arriving.shake()
        await arriving.send(REQUEST)
        assert b"connection: close" in await arriving.read()
        assert await arriving.read() == b""
        arriving.close()
        opened.pass_s(LAST_CALL_S + 0.3)
        assert await draining == 0
        assert await silent.take() == b""


# Sides


@asynccontextmanager
async def secured(
    script: Callable[[Exchange], Awaitable[None]] | None = None,
    context: ssl.SSLContext | None = None,
    trust: Trust | None = None,
) -> AsyncIterator[Bench]:
    """A pool that speaks TLS to a side that does."""
    async with bench(script) as pool:
        await pool.side.stop()
        pool.side.tls = context or serving()
        await pool.side.start()
        (instance,) = pool.pool.instances
        instance.place = replace(instance.place, port=pool.side.port, tls=trust or pki.trust())
        yield pool


async def ask(pool: Bench, told: Told | None = None) -> Told:
    told = told or Told()
    pool.send(told)
    await until(lambda: told.over)
    return told


@VERSIONS
async def test_connections_are_used_again(version):
    async with secured(context=serving(version=version)) as pool:
        for _ in range(50):
            assert (await ask(pool)).body == b"ok"
        assert (pool.side.connections, pool.pool.connections) == (1, 1)


def trust_of(server_name: str = "127.0.0.1", **files: Path | bool | None) -> Trust:
    context = DialingFiles(**{"ca": authority().root, **files}).context()  # type: ignore[arg-type]
    return Trust(lambda: context, server_name)


def made(name: str, names: str = pki.LOOPBACK, days: int = 2) -> ssl.SSLContext:
    return serving(authority().signed(name, names, days))


def demanding(version: ssl.TLSVersion) -> ssl.SSLContext:
    context = serving(version=version)
    context.load_verify_locations(authority().root)
    context.verify_mode = ssl.CERT_REQUIRED
    return context


UNTRUSTED = {
    "unknown root": (lambda: serving(foreign()), trust_of, "tls_certificate_error", "local issuer"),
    "wrong address": (lambda: made("wrong", "DNS:localhost"), trust_of, "tls_certificate_error", "IP address mismatch"),
    "wrong name": (serving, lambda: trust_of("app.test"), "tls_certificate_error", "app.test"),
    "expired": (lambda: made("past", days=-1), trust_of, "tls_certificate_error", "expired"),
    "system trust": (serving, lambda: trust_of(ca=None), "tls_certificate_error", "issuer"),
}  # fmt: skip


@pytest.mark.parametrize("case", UNTRUSTED)
async def test_to_a_side_that_cannot_be_trusted_nothing_is_sent(case):
    context, trust, kind, says = UNTRUSTED[case]
    async with secured(context=context(), trust=trust()) as pool:
        told = await ask(pool)

        assert told.error is not None
        assert (told.error.failure, told.error.sent, told.error.kind) == (Failure.CONNECT, Sent.NONE, kind)
        assert says in told.error.detail
        assert (pool.side.seen, pool.side.raw) == ([], [])
        await until(lambda: pool.pool.connections == 0)


async def test_a_side_may_be_believed_without_verification():
    async with secured(context=serving(foreign()), trust=trust_of(ca=None, verify=False)) as pool:
        assert (await ask(pool)).body == b"ok"


@VERSIONS
async def test_a_certificate_is_shown_to_a_side_that_asks(version):
    cert = right()
    async with secured(context=demanding(version), trust=trust_of(cert=cert, key=key_of(cert))) as pool:
        assert (await ask(pool)).body == b"ok"


async def test_a_side_that_refuses_our_certificate_behind_the_handshake_is_an_alert_and_no_answer():
    """TLS 1.3 lets a client speak before it is checked: what was sent may have been read, as far as anybody knows."""
    async with played(shaking, demanding(ssl.TLSVersion.TLSv1_3)) as pool:
        told = await ask(pool)

        assert told.error is not None
        assert (told.error.failure, told.error.sent) == (Failure.RESET, Sent.COMPLETE)
        assert (told.error.kind, told.error.stale) == ("tls_alert_received", False)


async def test_a_side_that_wants_a_certificate_within_the_handshake_gets_no_request():
    async with played(shaking, demanding(ssl.TLSVersion.TLSv1_2)) as pool:
        told = await ask(pool)

        assert told.error is not None
        assert (told.error.failure, told.error.sent) == (Failure.CONNECT, Sent.NONE)
        assert told.error.kind == "tls_alert_received"


@pytest.mark.parametrize(("name", "sent"), [("localhost", "localhost"), ("127.0.0.1", None)])
async def test_the_name_is_sent_along_unless_it_is_an_address(name, sent):
    context, seen = serving(), []
    context.sni_callback = lambda _, asked, __: seen.append(asked)
    async with secured(context=context, trust=trust_of(name)) as pool:
        assert (await ask(pool)).body == b"ok"
        assert seen == [sent]


async def shaking(side: Manual) -> None:
    """Do the handshake, and tell the other end why it failed."""
    try:
        await side.shake()
    finally:
        await side.flush()
    await side.read()


@asynccontextmanager
async def playing(
    play: Callable[[Manual], Awaitable[None]], context: ssl.SSLContext | None = None
) -> AsyncIterator[int]:
    """A server whose connections are driven by `play`, from before their handshake on."""
    tasks: set[asyncio.Task[None] | None] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.current_task())
        with suppress(ConnectionError, asyncio.CancelledError, ssl.SSLError, EOFError):
            await play(Manual(reader, writer, context or serving(), server=True))
        writer.transport.abort()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tasks:
            if task is not None:
                task.cancel()


@asynccontextmanager
async def played(
    play: Callable[[Manual], Awaitable[None]], context: ssl.SSLContext | None = None
) -> AsyncIterator[Bench]:
    async with playing(play, context) as port, bench() as pool:
        place = Place("127.0.0.1", port, pki.trust())
        pool.pool = Pool("modern", [place], pool.wheel, pool.pool.limits, PoolLimits(16))
        yield pool
        await pool.pool.close()


async def hanging(side: Manual) -> None:
    await side.take()
    await asyncio.Event().wait()


async def leaving(side: Manual) -> None:
    await side.take()


async def plain(side: Manual) -> None:
    await side.take()
    side.writer.write(ok())
    await side.writer.drain()
    await asyncio.Event().wait()


@pytest.mark.parametrize(
    ("play", "says"),
    [(hanging, "deadline"), (leaving, "in the middle of the handshake"), (plain, "does not speak TLS")],
)
async def test_a_handshake_that_comes_to_nothing(play, says):
    async with played(play) as pool:
        told = Told()
        pool.send(told)
        if play is hanging:
            await until(lambda: pool.pool.connections)
            pool.pass_s(1.3)
        await until(lambda: told.over)

        assert told.error is not None
        assert (told.error.failure, told.error.sent) == (Failure.CONNECT, Sent.NONE)
        assert says in told.error.detail
        await until(lambda: pool.pool.connections == 0)


def answering_in_parts(*parts: bytes, end: bool) -> Callable[[Manual], Awaitable[None]]:
    async def play(side: Manual) -> None:
        await side.shake()
        await side.read()
        for part in parts:
            await side.send(part)
        if end:
            await side.say_end()
        side.writer.write_eof()
        await asyncio.Event().wait()

    return play


UNTIL_CLOSE = b"HTTP/1.1 200 OK\r\n\r\n"


@pytest.mark.parametrize(
    ("head", "end", "whole"),
    [
        (UNTIL_CLOSE, True, True),
        (UNTIL_CLOSE, False, False),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", False, True),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n", True, False),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n", True, False),
    ],
)
async def test_a_body_is_whole_only_by_close_notify_or_its_own_framing(head, end, whole):
    """Whoever cuts the connection on the way must not be able to make a short answer of a long one."""
    async with played(answering_in_parts(head, b"hello", end=end)) as pool:
        told = await ask(pool)

        assert told.body == b"hello"
        assert told.complete is whole
        if not whole:
            assert told.error is not None and told.error.failure is Failure.RESET


async def test_a_slow_reader_gets_all_of_what_a_side_sent_before_it_closed():
    body = os.urandom(200_000)
    async with played(answering_in_parts(UNTIL_CLOSE, body, end=True)) as pool:
        told = Told()
        line = pool.send(told)
        await until(lambda: told.head)
        line.pause()
        held = len(told.body)
        for _ in range(50):
            await asyncio.sleep(0)
        assert len(told.body) == held
        line.resume()
        await until(lambda: told.over)

        assert told.error is None
        assert hashlib.sha256(told.body).digest() == hashlib.sha256(body).digest()


# Idle connections: what may be trusted with a message


class Quiet(asyncio.Protocol):
    """Sits on an idle connection, and remembers what should not have come."""

    def __init__(self) -> None:
        self.received = b""
        self.ends = 0
        self.stays = False  # open, when the other end has closed its half
        self.lost: list[Exception | None] = []

    def data_received(self, data: bytes) -> None:
        self.received += data

    def eof_received(self) -> bool:
        self.ends += 1
        return self.stays

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.append(exc)


class Idle:
    """An idle connection of ours, and the other end of it, which has not yet said anything behind the handshake."""

    def __init__(self, line: Secured, above: Quiet, side: Manual, tickets: bytes) -> None:
        self.line = line
        self.above = above
        self.side = side
        self.tickets = tickets

    def put(self, data: bytes) -> None:
        """Put bytes into our socket at once, before the event loop can read them."""
        os.write(self.side.writer.get_extra_info("socket").fileno(), data)
        self.arrived()

    def arrived(self) -> None:
        watch = select.poll()
        watch.register(self.line.get_extra_info("socket").fileno(), select.POLLIN)
        assert watch.poll(5000)


@asynccontextmanager
async def idle(version: ssl.TLSVersion | None = None) -> AsyncIterator[Idle]:
    ready: asyncio.Future[tuple[Manual, bytes]] = asyncio.get_running_loop().create_future()

    async def play(side: Manual) -> None:
        with suppress(ssl.SSLWantReadError):
            await side.take()
            side.tls.do_handshake()
        await side.flush()
        await side.take()
        side.tls.do_handshake()
        ready.set_result((side, side.outgoing.read()))
        await asyncio.Event().wait()

    async with playing(play) as port:
        above = Quiet()
        line = await dialled(above, trust_of(), "127.0.0.1", port)
        side, tickets = await ready
        yield Idle(line, above, side, tickets)
        line.abort()


async def test_tickets_are_no_reason_to_give_a_connection_up():
    """Ablation: a look at the socket alone says that it stirs, and no connection of TLS 1.3 would be trusted again."""
    async with idle() as pair:
        assert pair.tickets and not pair.line.stirs(0)
        pair.put(pair.tickets)
        assert not pair.line.stirs(0)
        assert not pair.line.is_closing() and pair.above.received == b""
        pair.line.write(b"hello")
        assert await pair.side.read() == b"hello"


async def test_bytes_that_nobody_asked_for_are():
    async with idle() as pair:
        pair.put(pair.tickets + pair.side.records(b"HTTP/1.1 408 Request Timeout\r\n\r\n"))
        assert pair.above.received == b""
        pair.line.stirs(0)
        assert pair.above.received.startswith(b"HTTP/1.1 408")  # an `Upstream` without a receiver drops itself


@pytest.mark.parametrize("at", [1, 4, 5, 6, -1])
@pytest.mark.parametrize("read_by", ["the look", "the loop"])
async def test_half_a_record_is_a_doubt_until_the_other_half_has_come(at, read_by):
    """Else the second half, a ticket or an answer, would come behind the next request."""
    async with idle() as pair:
        pair.put(pair.tickets[:at])
        if read_by == "the loop":
            await until(lambda: pair.line._header or pair.line._record_left)
        assert pair.line.stirs(0)
        pair.put(pair.tickets[at:])
        assert not pair.line.stirs(0)


async def test_an_end_is():
    async with idle() as pair:
        with suppress(ssl.SSLError):
            pair.side.tls.unwrap()
        pair.put(pair.tickets + pair.side.outgoing.read())
        assert pair.line.stirs(0)
        assert pair.above.ends and pair.line.is_closing()
    async with idle() as pair:
        with socket.socket(fileno=os.dup(pair.side.writer.get_extra_info("socket").fileno())) as sock:
            sock.shutdown(socket.SHUT_WR)
        pair.arrived()
        assert pair.line.stirs(0)


async def test_a_connection_that_is_lost_is():
    async with idle() as pair:
        pair.side.close()
        await until(pair.line.is_closing)
        assert pair.line.stirs(0)
        await until(lambda: pair.above.lost)
        assert isinstance(pair.above.lost[0], TlsFault)


async def test_the_end_is_told_once_and_only_to_who_reads():
    async with idle() as pair:
        pair.above.stays = True
        pair.line.pause_reading()
        with suppress(ssl.SSLError):
            pair.side.tls.unwrap()
        pair.line.data_received(pair.tickets + pair.side.outgoing.read())
        assert pair.above.ends == 0
        for _ in range(3):
            pair.line.resume_reading()
            await asyncio.sleep(0)
            pair.line.pause_reading()
        pair.line.data_received(b"anything")
        assert (pair.above.ends, pair.above.received) == (1, b"")
        pair.line.write(b"still here")
        assert await pair.side.read() == b"still here"


async def test_what_was_whole_stays_whole_when_the_socket_breaks_behind_it():
    async with idle() as pair:
        pair.above.stays = True
        with suppress(ssl.SSLError):
            pair.side.tls.unwrap()
        pair.line.data_received(pair.tickets + pair.side.outgoing.read())
        pair.line.connection_lost(ConnectionResetError())
        assert pair.above.lost == [None]
    async with idle() as pair:
        broken = ConnectionResetError()
        pair.line.connection_lost(broken)
        assert pair.above.lost == [broken]


async def test_a_pool_gives_a_talking_connection_up_before_it_is_used():
    async with secured() as pool:
        await ask(pool)
        (line,) = pool.idle
        pool.side.seen[0].writer.write(ok(b"for nobody"))
        watch = select.poll()
        watch.register(line.transport.get_extra_info("socket").fileno(), select.POLLIN)
        await pool.side.seen[0].writer.drain()
        told = Told()
        pool.send(told)
        await until(lambda: told.over)
        assert told.body == b"ok"
        assert pool.side.connections == 2


# Bytes


@pytest.mark.parametrize("size", [0, 1, 16_383, 16_384, 16_385, 1 << 20])
async def test_what_goes_in_comes_out(size):
    body = os.urandom(size)

    async def echo(exchange: Exchange) -> None:
        await exchange.send(ok(await exchange.read_body()))

    async with secured(echo) as pool:
        told = Told()
        pool.send(told, b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%b" % (size, body))
        await until(lambda: told.over, 20)
        assert told.error is None
        assert told.body == body


async def test_a_name_that_cannot_be_one_is_a_fault():
    async with playing(hanging) as port:
        with pytest.raises(TlsFault):
            await dialled(Quiet(), trust_of("." * 3), "127.0.0.1", port)
