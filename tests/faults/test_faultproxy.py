"""Every toxic alone and some together: what passes, when at the earliest, and how it ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from tests.faults.faultproxy import HEALTHY, CutBy, FaultProxy, Toxics, corrupted
from tests.waiting import until

DATA = bytes(range(256)) * 40


@dataclass
class Peer:
    """A server that keeps what came and says DATA when told to, or echoes."""

    got: bytearray = field(default_factory=bytearray)
    blocks: list[bytes] = field(default_factory=list)
    ended: str = ""
    writer: asyncio.StreamWriter | None = None
    echoes: bool = False

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writer = writer
        try:
            while block := await reader.read(65_536):
                self.got += block
                self.blocks.append(block)
                if self.echoes:
                    writer.write(block)
            self.ended = "close"
        except ConnectionError:
            self.ended = "reset"


@asynccontextmanager
async def proxied(echoes: bool = False) -> AsyncIterator[tuple[FaultProxy, Peer]]:
    peer = Peer(echoes=echoes)
    server = await asyncio.start_server(peer.serve, "127.0.0.1", 0)
    proxy = FaultProxy(server.sockets[0].getsockname()[1])
    await proxy.start()
    try:
        yield proxy, peer
    finally:
        await proxy.close()
        server.close()


async def connect(proxy: FaultProxy) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", proxy.port)


async def took_s(work: Callable[[], Awaitable[object]]) -> float:
    loop = asyncio.get_running_loop()
    begun = loop.time()
    await work()
    return loop.time() - begun


async def test_without_a_toxic_everything_passes_both_ways_and_so_does_an_end():
    async with proxied(echoes=True) as (proxy, peer):
        reader, writer = await connect(proxy)
        writer.write(DATA)
        assert await reader.readexactly(len(DATA)) == DATA
        writer.write_eof()
        await until(lambda: peer.ended)
        assert (bytes(peer.got), peer.ended) == (DATA, "close")
        assert peer.writer is not None
        peer.writer.write(b"more")
        peer.writer.close()
        assert await reader.read() == b"more"


async def test_a_reset_by_either_end_is_a_reset_for_the_other():
    async with proxied() as (proxy, peer):
        reader, writer = await connect(proxy)
        writer.write(b"x")
        await until(lambda: peer.got)
        proxy.reset_all()
        with pytest.raises(ConnectionResetError):
            await reader.read()
        await until(lambda: peer.ended == "reset")


async def test_latency_is_the_least_that_a_byte_takes_and_keeps_the_order():
    async with proxied(echoes=True) as (proxy, _):
        proxy.poison(up=Toxics(latency_s=0.1, jitter_s=0.05), down=Toxics(latency_s=0.1))
        reader, writer = await connect(proxy)

        async def there_and_back() -> None:
            for at in range(0, 1000, 100):
                writer.write(DATA[at : at + 100])
                await writer.drain()
                await asyncio.sleep(0)
            assert await reader.readexactly(1000) == DATA[:1000]

        assert await took_s(there_and_back) >= 0.15


async def test_jitter_is_the_same_for_the_same_seed():
    draws = [[FaultProxy(1, seed).chance.uniform(-1, 1) for _ in range(3)] for seed in (7, 7, 8)]
    assert draws[0] == draws[1] != draws[2]


async def test_down_refuses_until_it_is_up_again_and_spares_what_stands():
    async with proxied(echoes=True) as (proxy, _):
        reader, writer = await connect(proxy)
        writer.write(b"a")
        assert await reader.readexactly(1) == b"a"
        proxy.stop_accepting()
        with pytest.raises(ConnectionRefusedError):
            await connect(proxy)
        writer.write(b"b")
        assert await reader.readexactly(1) == b"b"
        port = proxy.port
        assert await proxy.start() == port
        await connect(proxy)


async def test_a_bandwidth_is_not_exceeded():
    async with proxied() as (proxy, peer):
        proxy.poison(up=Toxics(bytes_per_s=40_000))
        _, writer = await connect(proxy)

        async def arrives() -> None:
            writer.write(DATA)
            await until(lambda: bytes(peer.got) == DATA)

        assert await took_s(arrives) >= len(DATA) / 40_000 * 0.7  # it need not wait behind the last piece


async def test_a_slow_close_keeps_the_end_and_nothing_else():
    async with proxied() as (proxy, peer):
        proxy.poison(up=Toxics(slow_close_s=0.2))
        _, writer = await connect(proxy)
        writer.write(DATA)
        await until(lambda: bytes(peer.got) == DATA)
        writer.write_eof()

        async def ends() -> None:
            await until(lambda: peer.ended == "close")

        assert await took_s(ends) >= 0.15


async def test_a_hang_accepts_and_passes_nothing_until_it_is_over():
    async with proxied() as (proxy, peer):
        proxy.poison(up=Toxics(hang=True))
        reader, writer = await connect(proxy)
        writer.write(b"hello")
        await until(lambda: peer.writer is not None)
        assert peer.writer is not None
        peer.writer.write(DATA)
        assert await reader.readexactly(len(DATA)) == DATA  # the other direction is well
        proxy.poison(up=Toxics(hang=True), down=Toxics(latency_s=0.01))
        peer.writer.write(DATA)
        assert await reader.readexactly(len(DATA)) == DATA
        assert not peer.got
        proxy.heal()
        await until(lambda: bytes(peer.got) == b"hello")


async def test_a_slicer_passes_all_in_segments_of_that_size():
    async with proxied() as (proxy, peer):
        proxy.poison(up=Toxics(slice_bytes=3, slice_pause_s=0.01))
        _, writer = await connect(proxy)
        writer.write(b"0123456789")
        await until(lambda: bytes(peer.got) == b"0123456789")
        assert len(peer.blocks) > 1 and len(peer.blocks[0]) <= 3


async def test_a_drip_takes_its_time_for_each_byte_and_can_be_ended_within():
    async with proxied() as (proxy, peer):
        proxy.poison(up=Toxics(slice_bytes=1, slice_pause_s=0.02))
        _, writer = await connect(proxy)
        writer.write(DATA)

        async def five() -> None:
            await until(lambda: len(peer.got) >= 5)

        assert await took_s(five) >= 0.06
        assert len(peer.got) < len(DATA)
        proxy.heal()
        await until(lambda: bytes(peer.got) == DATA)


@pytest.mark.parametrize("how", CutBy)
async def test_a_cut_passes_so_many_bytes_and_ends_both_directions(how):
    async with proxied() as (proxy, peer):
        proxy.poison(down=Toxics(cut_after=1000, cut_by=how))
        reader, writer = await connect(proxy)
        writer.write(b"go")
        await until(lambda: peer.got)
        assert peer.writer is not None
        peer.writer.write(DATA)
        if how is CutBy.CLOSE:
            assert await reader.read() == DATA[:1000]
        else:
            with pytest.raises(ConnectionResetError):
                while await reader.read(65_536):
                    pass
        await until(lambda: peer.ended)


async def test_a_reset_at_the_first_byte_lets_nothing_through():
    async with proxied() as (proxy, peer):
        proxy.poison(up=Toxics(cut_after=0, cut_by=CutBy.RESET))
        reader, writer = await connect(proxy)
        writer.write(b"hello")
        with pytest.raises(ConnectionResetError):
            await reader.read()
        assert not peer.got


async def test_a_half_close_ends_one_direction_and_leaves_the_other():
    async with proxied(echoes=True) as (proxy, peer):
        proxy.poison(down=Toxics(half_close_after=4))
        reader, writer = await connect(proxy)
        writer.write(b"0123456789")
        assert await reader.read() == b"0123"
        writer.write(b"more")
        await until(lambda: bytes(peer.got) == b"0123456789more")
        assert not peer.ended


async def test_corrupt_flips_what_stands_at_these_offsets_and_nothing_else():
    async with proxied() as (proxy, peer):
        proxy.poison(up=Toxics(corrupt=frozenset({0, 300}), slice_bytes=7))
        _, writer = await connect(proxy)
        writer.write(DATA)
        await until(lambda: len(peer.got) == len(DATA))
        assert [at for at, byte in enumerate(DATA) if peer.got[at] != byte] == [0, 300]
        assert peer.got[300] == DATA[300] ^ 0xFF


def test_nothing_is_copied_where_nothing_is_corrupted():
    assert corrupted(DATA, 0, frozenset()) is DATA
    assert corrupted(b"abc", 10, frozenset({11})) == b"a" + bytes((ord("b") ^ 0xFF,)) + b"c"


async def test_toxics_combine_and_each_direction_has_its_own():
    async with proxied(echoes=True) as (proxy, _):
        proxy.poison(up=Toxics(latency_s=0.05, slice_bytes=2), down=Toxics(cut_after=5, corrupt=frozenset({1})))
        reader, writer = await connect(proxy)
        writer.write(b"0123456789")
        assert await reader.read() == b"0" + bytes((ord("1") ^ 0xFF,)) + b"234"
        proxy.heal()
        assert (proxy.up, proxy.down) == (HEALTHY, HEALTHY)
        reader, writer = await connect(proxy)
        writer.write(b"0123456789")
        assert await reader.readexactly(10) == b"0123456789"


async def test_no_target_is_a_reset():
    proxy = FaultProxy(1)
    await proxy.start()
    reader, _ = await connect(proxy)
    with pytest.raises(ConnectionResetError):
        await reader.read()
    await proxy.close()


async def test_a_black_hole_takes_nothing_and_nobody_until_it_is_up_again():
    async with proxied(echoes=True) as (proxy, peer):
        reader, writer = await connect(proxy)
        writer.write(b"a")
        assert await reader.readexactly(1) == b"a"

        proxy.swallow()
        writer.write(b"b")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await reader.readexactly(1)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await connect(proxy)
        assert bytes(peer.got) == b"a"

        proxy.reset_all()
        proxy.heal()
        await proxy.start()
        reader, writer = await connect(proxy)
        writer.write(b"c")
        assert await reader.readexactly(1) == b"c"
