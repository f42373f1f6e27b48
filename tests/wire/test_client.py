"""Connections of clients: framing of answers, order, half-closing, lingering, deadlines, and nothing that hangs."""

from __future__ import annotations

import asyncio
import itertools
import socket
import struct
from collections.abc import Callable

import pytest

from proxy.core.limits import WireLimits
from proxy.core.messages import field
from proxy.wire.client import HALF_CLOSED_S, HEADS_A_TURN, LINGER_S, WRITE_HIGH_BYTES
from proxy.wire.paced import LINES_A_TURN
from proxy.wire.unsent import unsent_bytes
from tests.peers import open_connection
from tests.rig import running
from tests.waiting import until
from tests.wire.lodge import Door, Guest, door

GET = b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n"
OLD = b"GET /a HTTP/1.0\r\n\r\n"
PUT = b"PUT /a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n"
CHUNKED = b"PUT /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"

CHUNKS = b"HTTP/1.1 200 OK\r\nx: y\r\ntransfer-encoding: chunked\r\n\r\n"


def echo_path(guest: Guest) -> None:
    guest.answer(guest.request.target)


async def guest_of(opened: Door, number: int = 0) -> Guest:
    await until(lambda: len(opened.guests) > number)
    return opened.guests[number]


async def settled(figure: Callable[[], int]) -> int:
    """Return a figure once it stays the same over many looks."""
    looks: list[int] = []

    def stays() -> bool:
        looks.append(figure())
        return len(looks) > 50 and len(set(looks[-50:])) == 1

    await until(stays)
    return looks[-1]


# Framing


@pytest.mark.parametrize(
    ("request_head", "length", "blocks", "expected"),
    [
        (GET, 5, [b"he", b"llo"], b"HTTP/1.1 200 OK\r\nx: y\r\ncontent-length: 5\r\n\r\nhello"),
        (GET, -1, [b"he", b"llo"], CHUNKS + b"5\r\nhello\r\n0\r\n\r\n"),
        (GET, -1, [], CHUNKS + b"0\r\n\r\n"),
        (OLD, 5, [b"hello"], b"HTTP/1.1 200 OK\r\nx: y\r\ncontent-length: 5\r\nconnection: close\r\n\r\nhello"),
        (OLD, -1, [b"he", b"llo"], b"HTTP/1.1 200 OK\r\nx: y\r\nconnection: close\r\n\r\nhello"),
    ],
)  # fmt: skip
async def test_an_answer_that_comes_in_parts(request_head, length, blocks, expected):
    async with door() as opened:
        client = await opened.connect()
        await client.send(request_head)
        guest = await guest_of(opened)
        guest.begin(*blocks[:1], length=length)
        guest.client.more(blocks[1:], False)
        guest.client.more([], True)
        client.writer.write_eof()

        assert (await client.rest()).replace(b"2\r\nhe\r\n3\r\nllo\r\n", b"5\r\nhello\r\n") == expected


@pytest.mark.parametrize(
    ("status", "length", "head_only", "blocks", "expected"),
    [
        (200, 5, False, [b"hello"], b"content-length: 5\r\n\r\nhello"),
        (200, -1, False, [b"hello"], b"content-length: 5\r\n\r\nhello"),
        (200, 0, False, [], b"content-length: 0\r\n\r\n"),
        (200, 5, True, [], b"content-length: 5\r\n\r\n"),
        (200, 5, True, [b"never"], b"content-length: 5\r\n\r\n"),
        (200, -1, True, [], b"\r\n"),
        (204, 0, False, [], b"\r\n"),
        (204, 5, False, [], b"\r\n"),
        (304, 5, False, [], b"content-length: 5\r\n\r\n"),
        (304, -1, False, [], b"\r\n"),
        (205, 0, False, [], b"content-length: 0\r\n\r\n"),
    ],
)
async def test_an_answer_that_is_complete(status, length, head_only, blocks, expected):
    async with door(lambda guest: guest.client.answer(status, b"", b"", length, blocks, True, head_only)) as opened:
        client = await opened.connect()
        await client.send(GET)
        client.writer.write_eof()
        line, _, rest = (await client.rest()).partition(b"\r\n")

        assert line.startswith(b"HTTP/1.1 %d" % status)
        assert rest.replace(b"connection: close\r\n", b"") == expected


async def test_interim_answers_are_not_for_1_0_clients():
    for head, seen in ((GET, True), (OLD, False)):
        async with door() as opened:
            client = await opened.connect()
            await client.send(head)
            guest = await guest_of(opened)
            guest.client.interim(103, field(b"link", b"</a>"))
            guest.answer()

            first = await client.answer()
            assert (first.raw == b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n") is seen


# Order


@pytest.mark.parametrize("at_once", [True, False])
async def test_pipelined_requests_are_answered_in_order_and_one_at_a_time(at_once):
    async with door(echo_path if at_once else None) as opened:
        client = await opened.connect()
        await client.send(b"".join(GET.replace(b"/a", b"/%d" % n) for n in range(50)))
        for n in range(50):
            if not at_once:
                guest = await guest_of(opened, n)
                assert len(opened.guests) == n + 1
                echo_path(guest)
            assert (await client.answer()).body == b"/%d" % n


async def test_a_thousand_requests_answered_from_within_need_no_stack():
    async with door(echo_path) as opened:
        client = await opened.connect()
        await client.send(GET * 2000)
        for _ in range(2000):
            assert (await client.answer()).status == 200
        assert opened.faults == []


async def test_what_waits_behind_a_request_is_bounded_and_goes_on_later():
    async with door(limits=WireLimits(body_buffer_bytes=1000)) as opened:
        client = await opened.connect()
        sending = asyncio.ensure_future(client.send(GET * 200_000))
        guest = await guest_of(opened)
        await until(lambda: opened.client.paused)
        assert len(opened.client._pending) < 1_000_000
        opened.lodge.on_open = echo_path
        guest.answer()
        for _ in range(300):
            assert (await client.answer()).status == 200
        sending.cancel()
        client.close()


async def test_a_body_in_pieces_is_exactly_the_body_and_what_follows_is_the_next_request():
    for head, body in ((PUT, b"hello"), (CHUNKED, b"2\r\nhe\r\n3;x\r\nllo\r\n0\r\nX: y\r\n\r\n")):
        for size in (1, 4, 1000):
            data = head + body + GET + head + body
            async with door() as opened:
                client = await opened.connect()
                await client.send(*(data[at : at + size] for at in range(0, len(data), size)))
                for n in range(3):
                    guest = await guest_of(opened, n)
                    await until(lambda guest=guest: guest.ended or not guest.request.length)
                    guest.answer(b"%d" % n)
                    assert (await client.answer()).body == b"%d" % n
                assert [guest.received for guest in opened.guests] == [b"hello", b"", b"hello"]


async def test_tiny_chunks_are_handed_on_as_one_block():
    blocks = 0

    class Counting(Guest):
        def body(self, data: bytes) -> None:
            nonlocal blocks
            blocks += 1
            super().body(data)

    async with door() as opened:
        opened.lodge.open = lambda request, client: opened.guests.append(Counting(request, client)) or opened.guests[-1]
        opened.listener.open = opened.lodge.open
        client = await opened.connect()
        await client.send(CHUNKED + b"1\r\nx\r\n" * 5000)
        guest = await guest_of(opened)
        await until(lambda: len(guest.received) == 5000)

        assert blocks < 100


async def test_empty_lines_before_a_request_are_ignored():
    for before in (b"\r\n", b"\r\n\r\n\r\n"):
        for size in (1, 1000):
            data = before + GET + before + GET
            async with door(echo_path) as opened:
                client = await opened.connect()
                await client.send(*(data[at : at + size] for at in range(0, len(data), size)))
                assert [(await client.answer()).status for _ in range(2)] == [200, 200]


@pytest.mark.parametrize("before", [b"\n", b"\r", b"\r\r\n", b"\r\n\n", b" \r\n"])
async def test_half_of_an_empty_line_is_no_empty_line(before):
    for size in (1, 1000):
        data = before + GET
        async with door(echo_path) as opened:
            client = await opened.connect()
            await client.send(*(data[at : at + size] for at in range(0, len(data), size)))
            assert (await client.answer()).status == 400
            assert opened.guests == []


# Refusals


async def test_a_refused_request_ends_its_connection_and_nothing_behind_it_is_served():
    async with door(echo_path) as opened:
        client = await opened.connect()
        await client.send(GET + b"GET / HTTP/1.1\r\n\r\n" + GET)
        assert (await client.answer()).status == 200
        refused = await client.answer()
        assert (refused.status, refused.value(b"connection")) == (400, b"close")
        await client.send(GET)
        assert await client.rest() == b""
        assert len(opened.guests) == 1 and opened.lodge.refusals == ["host"]


@pytest.mark.parametrize("pieces", [1, 7, 1000])
async def test_a_refused_head_request_is_answered_without_a_body(pieces):
    data = b"HEAD / HTTP/1.1\r\nHost: a\r\nX: \x00\r\n\r\n"
    async with door() as opened:
        client = await opened.connect()
        await client.send(*(data[at : at + pieces] for at in range(0, len(data), pieces)))
        answer = await client.answer(head_only=True)

        assert (answer.status, int(answer.value(b"content-length") or 0) > 0) == (400, True)
        assert await client.rest() == b""


# Ends of clients


async def test_requests_sent_before_the_client_closed_its_half_are_all_served():
    async with door() as opened:
        client = await opened.connect()
        await client.send(GET + PUT + b"hello" + GET)
        client.writer.write_eof()
        await until(lambda: opened.guests and opened.client._eof)
        for n in range(3):
            (await guest_of(opened, n)).answer(b"%d" % n)
            answer = await client.answer()
            assert (answer.body, answer.value(b"connection")) == (b"%d" % n, b"close" if n == 2 else None)
        assert await client.rest() == b""
        await until(lambda: not opened.listener.clients)


async def test_requests_sent_before_the_client_closed_its_half_and_answered_from_within():
    async with door() as opened:
        client = await opened.connect()
        await client.send(GET * 5)
        client.writer.write_eof()
        guest = await guest_of(opened)
        await until(lambda: opened.client._eof)
        opened.lodge.on_open = echo_path
        guest.answer()

        assert (await client.rest()).count(b"HTTP/1.1 200") == 5


async def test_a_half_closed_client_is_cut_only_when_nothing_comes_for_it():
    async with door() as opened:
        client = await opened.connect()
        await client.send(GET)
        client.writer.write_eof()
        guest = await guest_of(opened)
        await until(lambda: opened.client.due)
        guest.begin(length=40)
        for _ in range(20):
            opened.pass_s(HALF_CLOSED_S * 0.8)
            guest.client.more([b"xx"], False)
        guest.client.more([], True)
        assert (await client.answer()).body == b"xx" * 20
        assert not guest.left

        late = await opened.connect()
        await late.send(GET)
        late.writer.write_eof()
        guest = await guest_of(opened, 1)
        await until(lambda: guest.client.due)
        guest.begin(b"x", length=10)
        opened.pass_s(HALF_CLOSED_S + 0.3)
        await until(lambda: guest.left)


@pytest.mark.parametrize("data", [PUT + b"hel", CHUNKED, CHUNKED + b"5\r\nhel", CHUNKED + b"5\r\nhello\r\n0\r\n"])
async def test_a_client_that_closes_its_half_within_a_body_sent_a_torn_request(data):
    async with door() as opened:
        client = await opened.connect()
        await client.send(data)
        client.writer.write_eof()
        guest = await guest_of(opened)
        await until(lambda: guest.tears)

        assert guest.tears is not None and guest.tears[0] == 400 and not guest.ended
        assert (await client.answer()).status == 400
        assert await client.rest() == b""


async def test_a_torn_request_behind_an_unanswered_one_is_torn_too():
    async with door() as opened:
        client = await opened.connect()
        await client.send(GET + PUT + b"hel")
        client.writer.write_eof()
        guest = await guest_of(opened)
        await until(lambda: opened.client._eof)
        guest.answer()
        assert (await guest_of(opened, 1)).tears
        assert [(await client.answer()).status for _ in range(2)] == [200, 400]


@pytest.mark.parametrize("data", [b"", b"GET /", GET[:-2]])
async def test_a_client_that_ends_between_requests_or_within_a_head_is_let_go(data):
    async with door() as opened:
        client = await opened.connect()
        await until(lambda: opened.listener.clients)
        await client.send(data)
        client.writer.write_eof()
        assert await client.rest() == b""
        await until(lambda: not opened.listener.clients)
        assert opened.guests == []


async def test_a_reset_is_told_at_once_at_every_stage():
    for data in (GET, PUT + b"he", CHUNKED + b"5\r\nhe", GET + GET):
        async with door() as opened:
            client = await opened.connect()
            await client.send(data)
            guest = await guest_of(opened)
            client.reset()
            await until(lambda guest=guest: guest.left)
            assert len(opened.guests) == 1


async def test_what_is_pipelined_is_not_served_to_a_client_that_is_being_cut():
    async with door() as opened:
        client = await opened.connect()
        await client.send(GET + GET)
        guest = await guest_of(opened)
        await until(lambda: opened.client._pending)
        guest.client.transport.abort()
        guest.answer()
        await until(lambda: not opened.listener.clients)
        assert len(opened.guests) == 1


# Lingering


@pytest.mark.parametrize("data", [PUT + b"he", CHUNKED + b"5\r\nhe"])
async def test_after_an_early_answer_the_rest_of_the_request_is_dropped_and_never_a_request(data):
    async with door() as opened:
        client = await opened.connect()
        await client.send(data)
        guest = await guest_of(opened)
        await until(lambda: guest.received)
        guest.answer(b"enough", 413)
        answer = await client.answer()
        assert (answer.status, answer.body, answer.value(b"connection")) == (413, b"enough", b"close")
        await client.send(b"llo" + b"\r\n0\r\n\r\n" + GET * 1000)
        assert await client.rest() == b""
        assert len(opened.guests) == 1 and guest.received == b"he"
        opened.pass_s(LINGER_S + 0.3)
        await until(lambda: not opened.listener.clients)


async def test_the_last_answer_of_a_connection_reaches_a_slow_reader_whole():
    """The time to linger is for what the client still sends, not for what it still has to read."""
    body = b"x" * (24 << 20)
    async with door(lambda guest: guest.answer(body)) as opened:
        reader, writer = await open_connection(opened.port, limit=1024)
        writer.write(GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        head = await reader.readuntil(b"\r\n\r\n")
        assert b"connection: close" in head
        received = 0
        for _ in range(6):
            opened.pass_s(LINGER_S * 2)
            received += len(await reader.readexactly(2 << 20))
        opened.pass_s(50)
        received += len(await reader.read(1 << 20))
        opened.pass_s(11)
        while data := await reader.read(1 << 20):
            received += len(data)

        assert received == len(body)
        writer.close()


@pytest.mark.parametrize("close", [b"close", b"keep-alive"])
async def test_a_client_that_takes_nothing_is_cut_in_the_end(close):
    async with door(lambda guest: guest.answer(b"x" * (24 << 20))) as opened:
        _, writer = await open_connection(opened.port, limit=1024)
        writer.write(GET.replace(b"\r\n\r\n", b"\r\nConnection: %b\r\n\r\n" % close))
        await until(lambda: opened.guests and opened.client.blocked)
        await until(lambda: opened.client.transport.get_write_buffer_size() > WRITE_HIGH_BYTES)
        opened.pass_s(59)
        assert opened.listener.clients
        for _ in range(3):  # the kernel may have taken a little more since
            opened.pass_s(61)
        await until(lambda: not opened.listener.clients)
        writer.close()


@pytest.mark.parametrize("ends", [False, True])
async def test_a_reader_that_empties_only_the_queue_of_the_kernel_is_not_cut(ends):
    """The kernel takes the next bytes from us only when much of what it holds is out: a slow reader is long in that."""
    async with door() as opened:
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
        sock.connect(("127.0.0.1", opened.port))
        reader, writer = await asyncio.open_connection(sock=sock, limit=1024)
        writer.write(GET)
        guest = await guest_of(opened)
        connection = guest.client
        connection.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        guest.begin(length=-1)
        while not guest.blocked:
            connection.more([b"x" * (1 << 20)], False)
        if ends:
            connection.keep_alive = False
            connection.more([], True)
        held = await settled(connection.transport.get_write_buffer_size)
        for _ in range(3):
            before = unsent_bytes(connection.transport)
            while unsent_bytes(connection.transport) >= before:
                await reader.read(1 << 14)
            assert connection.transport.get_write_buffer_size() == held
            opened.pass_s(61)
            assert not connection.transport.is_closing()
        for _ in range(3):  # and one that has stopped
            opened.pass_s(61)
        assert connection.transport.is_closing()
        writer.close()


async def test_what_is_written_to_a_blocked_reader_does_not_hide_what_it_takes():
    async with door() as opened:
        reader, writer = await open_connection(opened.port, limit=1024)
        writer.write(GET)
        guest = await guest_of(opened)
        guest.begin(length=-1)
        while not guest.blocked:
            guest.client.more([b"x" * (1 << 20)], False)
        before = unsent_bytes(guest.client.transport)
        guest.client.more([b"y" * (1 << 20)], False)
        while unsent_bytes(guest.client.transport) >= before + (1 << 20):
            await reader.read(1 << 14)
        assert guest.blocked
        opened.pass_s(61)
        assert not guest.client.transport.is_closing()
        writer.close()


async def test_a_half_closed_client_that_reads_slowly_gets_all_of_it():
    body = b"x" * (24 << 20)
    async with door(lambda guest: guest.answer(body)) as opened:
        reader, writer = await open_connection(opened.port, limit=1024)
        writer.write(GET)
        writer.write_eof()
        await reader.readuntil(b"\r\n\r\n")
        await until(lambda: opened.client.transport.is_closing())
        opened.pass_s(HALF_CLOSED_S + LINGER_S + 1)
        received = 0
        while data := await reader.read(1 << 20):
            received += len(data)
        assert received == len(body)
        writer.close()


async def test_a_torn_answer_without_a_length_is_a_reset_not_an_end():
    """To an HTTP/1.0 client an orderly end would be the end of the body."""
    async with door() as opened:
        client = await opened.connect()
        await client.send(OLD)
        guest = await guest_of(opened)
        guest.begin(b"half")
        await client.reader.readuntil(b"half")
        guest.client.abort()
        with pytest.raises(ConnectionResetError):
            await client.reader.read()


async def test_a_torn_answer_with_a_frame_is_cut_within_it():
    for length in (10, -1):
        async with door() as opened:
            client = await opened.connect()
            await client.send(GET)
            guest = await guest_of(opened)
            guest.begin(b"half", length=length)
            guest.client.abort()
            received = await client.rest()
            assert received.endswith((b"half", b"4\r\nhalf\r\n"))
            assert not guest.left


async def test_whoever_serves_may_end_what_it_does_for_a_client_that_is_gone():
    async with door() as opened:
        client = await opened.connect()
        await client.send(GET)
        guest = await guest_of(opened)
        client.reset()
        await until(lambda: guest.left)
        connection = guest.client
        connection.pause()
        connection.resume()
        connection.abort()
        connection.tunnel_end()
        connection.tunnel_close()
        assert opened.faults == []


# Deadlines


async def test_a_head_has_one_deadline_from_its_first_byte_on():
    async with door() as opened:
        client = await opened.connect()
        await client.send(b"GET / HTTP/1.1\r\n")
        await until(lambda: opened.listener.clients and opened.client._partial)
        for n in range(9):
            await client.send(b"X-%d: y\r\n" % n)
            await until(lambda n=n: b"X-%d" % n in opened.client._partial.held)
            opened.pass_s(1)
        opened.pass_s(1.3)
        assert (await client.answer()).status == 408
        assert opened.lodge.refusals == ["head_timeout"]


async def test_a_client_that_sends_nothing_or_only_empty_lines_is_let_go():
    async with door() as opened:
        silent, blank = await opened.connect(), await opened.connect()
        await until(lambda: len(opened.listener.clients) == 2)
        for _ in range(5):
            await blank.send(b"\r\n", b"\r", b"\n")
            opened.pass_s(2)
        opened.pass_s(1)
        assert await silent.rest() == b""
        assert (await blank.rest())[:12] in (b"", b"HTTP/1.1 408")


async def test_an_idle_connection_is_closed_after_its_time():
    async with door(echo_path) as opened:
        client = await opened.connect()
        await client.send(GET)
        await client.answer()
        opened.pass_s(59)
        await client.send(GET)
        assert (await client.answer()).status == 200
        opened.pass_s(61)
        assert await client.rest() == b""


async def test_a_body_has_a_deadline_between_its_blocks_unless_the_side_is_slow():
    async with door() as opened:
        client = await opened.connect()
        await client.send(CHUNKED)
        guest = await guest_of(opened)
        for n in range(4):
            await client.send(b"1\r\nx\r\n")
            await until(lambda n=n: len(guest.received) == n + 1)
            opened.pass_s(25)
        guest.client.pause()
        opened.pass_s(100)
        assert guest.tears is None
        guest.client.resume()
        opened.pass_s(31)
        assert guest.tears is not None and guest.tears[0] == 408
        assert (await client.answer()).status == 408


async def test_whoever_waits_for_an_answer_has_no_deadline():
    async with door() as opened:
        client = await opened.connect()
        await client.send(PUT + b"hello")
        guest = await guest_of(opened)
        await until(lambda: guest.ended)
        opened.pass_s(10_000)
        guest.answer()
        assert (await client.answer()).status == 200


async def test_a_slow_reader_blocks_whoever_serves_and_is_waited_for_as_long_as_it_takes_something():
    async with door() as opened:
        reader, writer = await open_connection(opened.port, limit=1024)
        writer.write(GET)
        guest = await guest_of(opened)
        guest.begin(length=48 << 20)
        while not guest.blocked:
            guest.client.more([b"x" * (1 << 20)], False)
        await reader.readuntil(b"\r\n\r\n")
        for _ in range(3):
            before = opened.client.transport.get_write_buffer_size()
            while opened.client.transport.get_write_buffer_size() >= before and guest.blocked:
                await reader.read(1 << 16)
            opened.pass_s(61)
            assert not opened.client.transport.is_closing()
        while guest.blocked:
            await reader.read(1 << 20)
        opened.pass_s(100)
        assert not opened.client.transport.is_closing()
        writer.close()


# Tunnels


async def test_a_tunnel_hands_on_every_byte_from_the_switch_on():
    async with door() as opened:
        client = await opened.connect()
        await client.send(GET + b"early")
        guest = await guest_of(opened)
        guest.client.switch(field(b"x", b"y"), b"upgrade: t\r\n", b"first")
        answer = await client.answer()
        assert (answer.status, answer.value(b"upgrade")) == (101, b"t")
        assert await client.reader.readexactly(5) == b"first"
        await client.send(GET)
        await until(lambda: guest.received == b"early" + GET)
        opened.pass_s(10_000)
        guest.client.tunnel(b"late")
        assert await client.reader.readexactly(4) == b"late"
        guest.client.tunnel_end()
        assert await client.rest() == b""
        await client.send(b"!")
        await until(lambda: guest.received.endswith(b"!"))
        client.writer.write_eof()
        await until(lambda: guest.ended)
        guest.client.tunnel_close()
        await until(lambda: not opened.listener.clients)
        assert len(opened.guests) == 1


async def test_the_end_of_a_client_before_the_switch_is_handed_on_behind_it():
    async with door() as opened:
        client = await opened.connect()
        await client.send(GET + b"early")
        client.writer.write_eof()
        guest = await guest_of(opened)
        await until(lambda: opened.client._eof)
        guest.client.switch(b"", b"", b"")
        assert (guest.received, guest.ended) == (b"early", True)


async def test_a_half_closed_tunnel_that_was_blocked_once_has_no_deadline():
    async with door() as opened:
        reader, writer = await open_connection(opened.port, limit=1024)
        writer.write(GET)
        guest = await guest_of(opened)
        guest.client.switch(b"", b"", b"")
        writer.write_eof()
        await until(lambda: guest.ended)
        guest.client.tunnel(b"x" * (16 << 20))
        assert guest.blocked
        received = 0
        while guest.blocked:
            received += len(await reader.read(1 << 20))
        opened.pass_s(1000)
        assert not opened.client.transport.is_closing()
        guest.client.tunnel_close()
        while data := await reader.read(1 << 20):
            received += len(data)
        assert received > 16 << 20
        writer.close()


async def test_a_closed_tunnel_that_is_not_read_is_cut_in_the_end():
    async with door() as opened:
        _, writer = await open_connection(opened.port, limit=1024)
        writer.write(GET)
        guest = await guest_of(opened)
        guest.client.switch(b"", b"", b"")
        guest.client.tunnel(b"x" * (16 << 20))
        guest.client.tunnel_close()
        opened.pass_s(59)
        assert opened.listener.clients
        opened.pass_s(2)
        await until(lambda: not opened.listener.clients)
        writer.close()


# Faults of whoever serves


@pytest.mark.parametrize("where", ["open", "body", "body_end", "torn"])
async def test_a_fault_in_whoever_serves_ends_the_connection_instead_of_hanging_it(where):
    class Faulty(Guest):
        def __getattribute__(self, name: str) -> object:
            if name == where:
                raise RuntimeError("a fault")
            return super().__getattribute__(name)

    def opening(request: object, client: object) -> Guest:
        if where == "open":
            raise RuntimeError("a fault")
        return Faulty(request, client)  # type: ignore[arg-type]

    async with door() as opened:
        opened.listener.open = opening  # type: ignore[assignment,method-assign]
        client = await opened.connect()
        await client.send(PUT + b"hel" + b"lo" * (where != "torn"))
        if where == "torn":
            client.writer.write_eof()
        assert await client.rest() == b""
        await until(lambda: not opened.listener.clients)
        assert opened.faults


async def test_a_reset_while_the_answer_is_written_is_no_fault():
    async with door() as opened:
        client = await opened.connect()
        await client.send(GET)
        guest = await guest_of(opened)
        sock = client.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.writer.transport.abort()
        guest.begin(b"x" * 1000)
        for _ in range(5):
            guest.client.more([b"y" * 100_000], False)
        await until(lambda: guest.left)
        assert opened.faults == []


async def test_clients_are_kept_apart():
    async with door(echo_path) as opened:
        clients = [await opened.connect() for _ in range(20)]
        for n, client in enumerate(clients):
            await client.send(GET.replace(b"/a", b"/%d" % n))
        assert [(await client.answer()).body for client in clients] == [b"/%d" % n for n in range(20)]


async def test_a_flood_that_is_answered_from_within_lets_others_have_their_turn():
    """A client that pipelines what we answer ourselves gives way every few requests, and loses none of them."""
    count = 5 * HEADS_A_TURN
    async with running() as rig:
        client = await rig.connect()
        answered: list[int] = [0]  # at each turn of the loop

        def turn() -> None:
            answered.append(rig.gateway._count)
            if answered[-1] < count:
                asyncio.get_running_loop().call_soon(turn)

        turn()
        await client.send(b"OPTIONS /api/users/1 HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\n\r\n" * count)
        for _ in range(count):
            assert (await client.answer()).status == 204
        await until(lambda: answered[-1] == count)
        assert max(after - before for before, after in itertools.pairwise(answered)) <= HEADS_A_TURN


async def test_a_body_of_tiny_chunks_gives_way_and_arrives_whole():
    size = 40 * LINES_A_TURN
    async with door() as opened:
        client = await opened.connect()
        seen = [0]  # of the body, at each turn of the loop

        def turn() -> None:
            seen.append(len(opened.guests[0].received) if opened.guests else 0)
            if seen[-1] < size:
                asyncio.get_running_loop().call_soon(turn)

        turn()
        await client.send(CHUNKED, b"1\r\nx\r\n" * size + b"0\r\n\r\n" + GET)
        guest = await guest_of(opened)
        await until(lambda: guest.ended)
        assert guest.received == b"x" * size
        assert max(after - before for before, after in itertools.pairwise(seen)) <= LINES_A_TURN
        guest.answer()
        (await guest_of(opened, 1)).answer()
        assert [(await client.answer()).status for _ in range(2)] == [200, 200]
        assert opened.faults == []


async def test_others_are_served_between_two_parts_of_a_body_of_tiny_chunks():
    async with door() as opened:
        greedy, other = await opened.connect(), await opened.connect()
        await greedy.send(CHUNKED)
        upload = await guest_of(opened)
        opened.lodge.on_open = echo_path
        greedy.writer.write(b"1\r\nx\r\n" * 200_000)
        await until(lambda: upload.received, every_s=0)
        for _ in range(20):
            before = len(upload.received)
            await other.send(GET)
            assert (await other.answer()).status == 200
            assert len(upload.received) - before < 20 * LINES_A_TURN
        assert len(upload.received) < 200_000
        greedy.close()


async def test_a_body_that_was_read_but_not_decoded_waits_for_the_side():
    """Whoever serves says stop in the middle of it, and later go on: nothing is decoded meanwhile, nothing is lost."""
    size = 20 * LINES_A_TURN
    async with door() as opened:
        client = await opened.connect()
        await client.send(CHUNKED)
        guest = await guest_of(opened)
        client.writer.write(b"1\r\nx\r\n" * size + b"0\r\n\r\n")
        await until(lambda: opened.client.is_behind(), every_s=0)
        guest.client.pause()
        received = len(guest.received)
        for _ in range(5):
            opened.pass_s(25)
            await asyncio.sleep(0)
        assert received == len(guest.received) < size
        guest.client.resume()
        await until(lambda: guest.ended)
        assert (guest.received, guest.tears) == (b"x" * size, None)


async def test_an_answer_before_all_of_a_body_was_decoded_ends_the_connection_in_order():
    async with door() as opened:
        client = await opened.connect()
        await client.send(CHUNKED)
        guest = await guest_of(opened)
        client.writer.write(b"1\r\nx\r\n" * 20 * LINES_A_TURN)
        await until(lambda: opened.client.is_behind(), every_s=0)
        guest.answer(b"enough", 413)
        assert (await client.answer()).status == 413
        assert await client.rest() == b""
        await until(lambda: unsent_bytes(opened.client.transport) == 0)  # our end has come to the client's kernel
        opened.pass_s(LINGER_S + 0.3)
        await until(lambda: not opened.listener.clients)
        assert opened.faults == []
