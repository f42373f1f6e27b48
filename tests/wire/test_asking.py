"""The head of an answer, awaited."""

from __future__ import annotations

import asyncio

import pytest

from proxy.core.errors import Failure, UpstreamError
from proxy.wire.asking import head_of_answer
from tests.peers import Exchange, ok
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
