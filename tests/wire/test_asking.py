"""The head of an answer, awaited."""

from __future__ import annotations

import asyncio

import pytest

from proxy.core.errors import Failure, UpstreamError
from proxy.wire.asking import TooLong, head_of_answer, whole_answer
from tests.peers import Exchange, answering, ok
from tests.waiting import until
from tests.wire.told import GET, WAITS, bench


async def test_a_short_answer_keeps_its_connection_and_a_long_one_does_not():
    async with bench() as pool:
        assert (await head_of_answer(pool.pool, GET, WAITS)).status == 200
        assert (await head_of_answer(pool.pool, GET, WAITS)).status == 200
        assert (pool.side.connections, pool.pool.connections) == (1, 1)

        async def endless(exchange: Exchange) -> None:
            await exchange.send(b"HTTP/1.1 200 X\r\nContent-Length: 9\r\n\r\nx")
            await asyncio.Event().wait()

        pool.side.script = endless
        assert (await head_of_answer(pool.pool, GET, WAITS)).status == 200
        await until(lambda: pool.pool.connections == 0)


async def test_interim_answers_are_nobody_s():
    async with bench() as pool:

        async def hints(exchange: Exchange) -> None:
            await exchange.send(b"HTTP/1.1 103 Early\r\n\r\n" + ok())

        pool.side.script = hints
        assert (await head_of_answer(pool.pool, GET, WAITS)).status == 200


async def test_what_fails_is_raised():
    async with bench() as pool:
        await pool.side.stop()
        with pytest.raises(UpstreamError) as raised:
            await head_of_answer(pool.pool, GET, WAITS)
        assert raised.value.failure is Failure.CONNECT


async def test_who_is_cancelled_leaves_no_connection():
    async with bench() as pool:

        async def hanging(exchange: Exchange) -> None:
            await asyncio.Event().wait()

        pool.side.script = hanging
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await head_of_answer(pool.pool, GET, WAITS)
        await until(lambda: pool.pool.connections == 0)


async def test_a_whole_answer_comes_with_its_body_however_it_is_framed():
    async with bench() as pool:
        head, body = await whole_answer(pool.pool, GET, WAITS, 100)
        assert (head.status, body) == (200, b"ok")

        pool.side.script = answering(
            b"HTTP/1.1 201 X\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
        )
        head, body = await whole_answer(pool.pool, GET, WAITS, 5)
        assert (head.status, body) == (201, b"abcde")


async def test_an_answer_to_head_has_no_body_whatever_it_declares():
    async with bench() as pool:
        pool.side.script = answering(b"HTTP/1.1 200 X\r\nContent-Length: 900\r\n\r\n")

        assert (await whole_answer(pool.pool, b"HEAD / HTTP/1.1\r\nhost: x\r\n\r\n", WAITS, 5, head_only=True))[
            1
        ] == b""


async def test_a_body_that_is_too_long_is_let_go_with_its_connection():
    async with bench() as pool:

        async def long(exchange: Exchange) -> None:
            await exchange.send(b"HTTP/1.1 200 X\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 1_000)
            await asyncio.Event().wait()

        pool.side.script = long
        with pytest.raises(TooLong):
            await whole_answer(pool.pool, GET, WAITS, 999)
        await until(lambda: pool.pool.connections == 0)


async def test_an_answer_that_is_torn_is_a_failure():
    async with bench() as pool:

        async def torn(exchange: Exchange) -> None:
            await exchange.send(b"HTTP/1.1 200 X\r\nContent-Length: 10\r\n\r\nabc")
            exchange.cut()

        pool.side.script = torn
        with pytest.raises(UpstreamError) as raised:
            await whole_answer(pool.pool, GET, WAITS, 100)
        assert raised.value.failure is Failure.RESET
