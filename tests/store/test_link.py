"""The link against real servers: deadlines, errors of one kind, pushes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from proxy.core.errors import ConfigError, StoreError
from proxy.store.link import CANNOT_SAVE, Link, Refused, any_after
from proxy.store.scripts import Script
from tests.store.servers import Server, free_port
from tests.store.tls import certificate, fronted
from tests.waiting import until

ECHO = Script("echo", b"return {KEYS[1], ARGV[1]}", "7bb4bd58ae6ac1cd6a0e5aa1b9f4bd4c0a19cc4d")


async def test_commands_answer_in_bytes(link: Link):
    assert await link.call("SET", link.key("x"), b"\xff") == b"OK"
    assert await link.call("GET", "banyan:x") == b"\xff"
    assert await link.call("GET", "banyan:y") is None


async def test_a_script_runs_also_after_the_server_forgot_it(link: Link):
    assert await link.run(ECHO, ["k"], ["a"]) == [b"k", b"a"]
    await link.call("SCRIPT", "FLUSH")
    assert await link.run(ECHO, ["k"], [b"\x00"]) == [b"k", b"\x00"]


async def test_all_names_with_a_beginning_are_found_even_where_it_looks_like_a_glob(server: Server, make_link):
    link = make_link(server.url, namespace="{b*[a]}")
    await server.redis.mset({f"{{b*[a]}}:replica:{n}": "1" for n in range(20_000)} | {"{bx[a]}:replica:1": "1"})

    assert len(await link.names(link.key("replica:"))) == 20_000
    assert any_after("a*b") == "a\\*b*"


async def test_a_stream_keeps_its_end(link: Link):
    for n in range(300):
        await link.append("events", {"n": str(n)}, keep=100)

    entries = await link.last("events", 2)
    assert [entry["n"] for entry in entries] == ["299", "298"]
    assert await link.call("XLEN", "banyan:events") <= 200


async def test_facts_about_the_server(link: Link, server: Server):
    assert await link.run_id() == (await server.redis.info("server"))["run_id"]
    assert abs(await link.clock_skew_s()) < 5


async def test_a_store_whose_snapshots_fail_says_so_to_each_write(link: Link, server: Server):
    (server.folder / "dump.rdb").mkdir()
    await server.redis.config_set("save", "900 1")  # type: ignore[no-untyped-call]
    await server.redis.bgsave()  # type: ignore[no-untyped-call]

    async def failed() -> bool:
        return (await link.info("persistence"))["rdb_last_bgsave_status"] == "err"

    await until(failed, 20)
    with pytest.raises(Refused) as refused:
        await link.call("SET", "a", "1")
    assert str(refused.value) == "the store cannot save: its last snapshot failed, its log says why"
    assert refused.value.code == CANNOT_SAVE
    assert await link.call("GET", "a") is None


@pytest.mark.parametrize("url", ["redis://127.0.0.1:{}", "rediss://127.0.0.1:{}", "unix:///tmp/bn-nothing-{}"])
async def test_a_store_that_is_not_there_is_a_store_error(url, make_link):
    with pytest.raises(StoreError, match="the store is away"):
        await make_link(url.format(free_port())).call("PING")


async def test_a_store_that_hangs_is_a_store_error_within_our_own_deadline(server: Server, link: Link):
    await link.call("PING")
    server.hang()

    began = time.monotonic()
    with pytest.raises(StoreError):
        await link.call("PING")
    with pytest.raises(StoreError):
        async with link.pushes("banyan:rules"):
            pass
    assert time.monotonic() - began < 10

    server.go_on()
    assert await link.call("PING") == b"PONG"


async def test_the_link_needs_no_restart_when_the_server_is_killed_and_comes_back(server: Server, link: Link):
    await link.call("PING")
    server.kill()
    with pytest.raises(StoreError):
        await link.call("PING")
    await server.start()

    assert await link.call("PING") == b"PONG"


async def test_what_the_store_refuses_has_the_code_of_its_answer(server: Server, link: Link):
    await server.redis.lpush("banyan:rules", "x")
    with pytest.raises(Refused) as refused:
        await link.call("GET", "banyan:rules")
    assert refused.value.code == "WRONGTYPE"

    await server.redis.config_set("maxmemory", "1")
    with pytest.raises(Refused) as refused:
        await link.call("SET", "a", "b")
    assert refused.value.code == "OOM"


async def test_a_user_who_may_not_track_is_refused_a_push_but_can_read(server: Server, make_link):
    await server.redis.acl_setuser("ana", enabled=True, passwords=["+pw"], categories=["+@all"], keys=["*"])
    await server.redis.execute_command("ACL", "SETUSER", "ana", "-client|tracking")
    link = make_link(server.url.replace("unix://", "unix://ana:pw@"))

    assert await link.call("GET", "a") is None
    with pytest.raises(Refused) as refused:
        async with link.pushes("banyan:rules"):
            pass
    assert refused.value.code == "NOPERM"


async def test_raw_changes_under_the_prefixes_are_pushed_and_others_are_not(server: Server, link: Link):
    async with link.pushes("banyan:emergency:", "banyan:rules") as pushes:
        await server.redis.set("banyan:replica:x", "1")
        await server.redis.set("banyan:emergency:users", "legacy")
        assert await pushes.next(10) == ("banyan:emergency:users",)
        await server.redis.delete("banyan:emergency:users")
        assert await pushes.next(10) == ("banyan:emergency:users",)
        await server.redis.set("banyan:emergency:all", "legacy", px=30)
        assert await pushes.next(10) == ("banyan:emergency:all",)
        assert await pushes.next(10) == ("banyan:emergency:all",)  # expired
        await server.redis.flushall()
        assert await pushes.next(10) == ()


async def test_a_silent_push_connection_is_asked_whether_it_lives(server: Server, link: Link):
    async with link.pushes("banyan:rules") as pushes:
        assert [await pushes.next(0.01) for _ in range(6)] == [None] * 6
        await server.redis.set("banyan:rules", "1")
        assert await until(lambda: pushes.next(0.01)) == ("banyan:rules",)

        server.hang()
        with pytest.raises(StoreError):
            for _ in range(4):
                await pushes.next(0.01)


async def test_a_push_connection_that_is_killed_is_a_store_error(server: Server, link: Link):
    async with link.pushes("banyan:rules") as pushes:
        waiting = asyncio.create_task(pushes.next(30))
        tracking = [each for each in await server.redis.client_list() if "t" in each["flags"]]
        await server.redis.client_kill_filter(_id=tracking[0]["id"])
        with pytest.raises(StoreError):
            await waiting


async def test_many_calls_at_once_share_few_connections(server: Server, link: Link):
    before = len(await server.redis.client_list())
    await asyncio.gather(*(link.call("GET", "a") for _ in range(10)))
    assert len(await server.redis.client_list()) <= before + 10


async def test_a_cancelled_call_ends_whenever_the_cancellation_comes(link: Link):
    """A loop that only ends when it is cancelled: one swallowed cancellation, and it would run for ever."""

    async def loop() -> None:
        while True:
            await link.call("PING")

    for turns in range(300):
        task = asyncio.create_task(loop())
        for _ in range(turns % 40):
            await asyncio.sleep(0)
        task.cancel()
        done, _ = await asyncio.wait([task], timeout=20)
        assert done, turns
        assert task.cancelled()


async def test_over_tls_everything_works_and_a_stranger_is_refused(server: Server, make_link, tmp_path: Path):
    async with fronted(server, certificate(tmp_path)) as port:
        link = make_link(f"rediss://127.0.0.1:{port}/0?ssl_ca_certs={tmp_path}/cert.pem")
        assert await link.call("PING") == b"PONG"
        async with link.pushes("banyan:rules") as pushes:
            await server.redis.set("banyan:rules", "1")
            assert await pushes.next(10) == ("banyan:rules",)

        with pytest.raises(StoreError, match="CERTIFICATE_VERIFY_FAILED"):
            await make_link(f"rediss://127.0.0.1:{port}").call("PING")


async def test_a_bad_address_is_refused_before_anything_is_opened(make_link: Callable[..., Link]):
    with pytest.raises(ConfigError):
        make_link("http://127.0.0.1")
