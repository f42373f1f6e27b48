"""The house as a whole: real replicas, a real store, real sockets; what an operator relies on, end to end."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, suppress
from typing import Any

import pytest
import yaml

from proxy.core.clusters import sightings
from proxy.store.link import Link
from proxy.store.mismatches import Batch, MismatchStore
from tests.core.pairs import pair
from tests.peers import Answer, Exchange, RawClient, Side, answering, asked, ok
from tests.replicas import USERS, Replica, fetch, scrape
from tests.store.servers import Server, binaries
from tests.waiting import until

GIGABYTE = 1_000_000_000


class House:
    """Two sides, a store, and whatever replicas a test starts."""

    def __init__(self, stack: AsyncExitStack, server: Server, legacy: Side, modern: Side) -> None:
        self._stack = stack
        self.server = server
        self.legacy = legacy
        self.modern = modern

    async def replica(self, *components: object, store: str | None = None, **settings: object) -> Replica:
        replica = Replica(store or self.server.url, self.legacy.port, self.modern.port, **settings)
        replica.rules(*(components or (USERS,)))  # type: ignore[arg-type]
        self._stack.push_async_callback(replica.close)
        return await replica.start()


@pytest.fixture
async def house() -> AsyncIterator[House]:
    async with AsyncExitStack() as stack:
        found = binaries()
        server = Server(found.get("redis", found["valkey"]))
        stack.push_async_callback(server.close)
        await server.start()
        legacy, modern = Side(), Side()
        for side in (legacy, modern):
            await side.start()
            stack.push_async_callback(side.stop)
        yield House(stack, server, legacy, modern)


def get(user: str, path: str = "/api/users/42") -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: a\r\nX-User-Id: {user}\r\n\r\n".encode()


def side_of(answer: Answer) -> str:
    assert answer.status == 200, answer
    return (answer.value(b"x-banyan-side") or b"").decode()


async def sides_of(port: int, users: range, connections: int = 8) -> dict[str, str]:
    """Ask once for each user; return who answered."""

    async def work(mine: list[int]) -> list[tuple[str, str]]:
        client = await RawClient.connect(port)
        found = []
        for number in mine:
            await client.send(get(f"user-{number}"))
            found.append((f"user-{number}", side_of(await client.answer())))
        client.close()
        return found

    parts = await asyncio.gather(*(work(list(users[at::connections])) for at in range(connections)))
    return dict(itertools.chain.from_iterable(parts))


async def live(replica: Replica, weight: float) -> None:
    """Wait until the replica applies a weight."""

    async def applied() -> bool:
        _, rules = await fetch(replica.admin, "/api/v1/rules")
        return (await scrape(replica.probes)).get('banyan_weight_percent{component="users"}') == weight and bool(rules)

    await until(applied, 20)


async def publish(replica: Replica, *words: str) -> None:
    """Type a verb."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c", "from proxy.cli import main; raise SystemExit(main())", *words,
        cwd=replica.folder, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await process.communicate()
    assert process.returncode == 0, (words, out, err)


async def test_two_replicas_put_the_same_quarter_of_the_users_on_modern_and_more_weight_moves_nobody_back(house):
    first, second = await house.replica(), await house.replica()
    await live(first, 25)
    await live(second, 25)
    at_25 = await sides_of(first.port, range(10_000))
    share = sum(side == "modern" for side in at_25.values()) / 10_000
    assert 0.235 <= share <= 0.265
    elsewhere = await sides_of(second.port, range(2000))
    assert elsewhere == {user: at_25[user] for user in elsewhere}

    await publish(first, "weight", "users", "40")
    await live(first, 40)
    at_40 = await sides_of(first.port, range(10_000))
    assert all(at_40[user] == "modern" for user, side in at_25.items() if side == "modern")
    assert 0.385 <= sum(side == "modern" for side in at_40.values()) / 10_000 <= 0.415


async def reading(port: int, stop: asyncio.Event, answers: list[tuple[float, Answer]], user: str) -> None:
    """Read as fast as a few hundred a second until told to stop; keep when each request was sent."""
    client = await RawClient.connect(port)
    while not stop.is_set():
        sent = time.monotonic()
        await client.send(get(user))
        answers.append((sent, await client.answer()))
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), 0.005)
    client.close()


async def test_an_emergency_by_a_plain_redis_command_stops_modern_within_milliseconds_and_del_gives_it_back(house):
    replica = await house.replica({**USERS, "weight": 100})
    await live(replica, 100)
    answers: list[tuple[float, Answer]] = []
    stop = asyncio.Event()
    readers = [asyncio.ensure_future(reading(replica.port, stop, answers, f"u{n}")) for n in range(3)]
    late: list[float] = []

    async def settled(side: str) -> list[tuple[float, Answer]]:
        begun = len(answers)
        await until(lambda: len(answers) > begun + 20 and side_of(answers[-1][1]) == side, 20)
        return answers[begun:]

    for key in ["emergency:users"] * 9 + ["emergency:all"]:
        await house.server.redis.set(f"banyan:{key}", " LEGACY\n")
        flipped = time.monotonic()
        after = [(sent, answer) for sent, answer in await settled("legacy") if sent > flipped]
        late.append(max((sent - flipped for sent, answer in after if side_of(answer) == "modern"), default=0.0))
        await house.server.redis.delete(f"banyan:{key}")
        await settled("modern")
    await house.server.redis.set("banyan:emergency:users", "legacy", px=400)
    await until(lambda: side_of(answers[-1][1]) == "legacy", 20)
    await until(lambda: side_of(answers[-1][1]) == "modern", 20)
    stop.set()
    await asyncio.gather(*readers)
    assert sorted(late)[len(late) // 2] < 0.2  # pushed, it takes milliseconds; found by the poll, half a second


async def test_whatever_happens_to_the_store_no_request_fails_and_rules_and_emergencies_stay(house):
    replica = await house.replica({**USERS, "weight": 100}, drain_s=1)
    await live(replica, 100)
    answers: list[tuple[float, Answer]] = []
    stop = asyncio.Event()
    reader = asyncio.ensure_future(reading(replica.port, stop, answers, "ana"))
    key, redis = "banyan:emergency:users", house.server.redis

    async def settled(side: str) -> None:
        begun = len(answers)
        await until(lambda: len(answers) > begun + 3 and side_of(answers[-1][1]) == side, 20)

    async def whole() -> bool:
        rules = await redis.get("banyan:rules") if await redis.type("banyan:rules") == "string" else None
        return bool(rules) and rules.startswith("{") and await redis.get(key) == "legacy"

    await redis.set(key, "legacy")
    await settled("legacy")
    for break_it in ("flushall", "garbage", "wrong type", "restart empty"):
        if break_it == "flushall":
            await redis.flushall()
        elif break_it == "garbage":
            await redis.set("banyan:rules", "no json at all")
        elif break_it == "wrong type":
            await redis.delete("banyan:rules")
            await redis.lpush("banyan:rules", "x")
        else:
            house.server.kill()
            house.server.forget()
            await settled("legacy")
            await house.server.start()
        await until(whole, 20)
        await settled("legacy")
    await redis.delete(key)
    await settled("modern")
    stop.set()
    await reader
    assert {answer.status for _, answer in answers} == {200}


async def test_a_cold_start_without_the_store_serves_from_the_snapshot(house):
    first = await house.replica({**USERS, "weight": 100})
    await live(first, 100)
    await house.server.redis.set("banyan:emergency:users", "legacy")
    await until(lambda: _is(first.port, "legacy"), 20)
    await until(lambda: b"legacy" in snapshots(first), 20)
    first.terminate()
    assert await first.wait() == 0
    house.server.kill()

    second = Replica(house.server.url, house.legacy.port, house.modern.port, data_dir=str(first.folder / ".banyan"))
    try:
        await second.start()
        assert side_of(await asked(second.port, get("ana"))) == "legacy"
        status, ready = await fetch(second.probes, "/readyz")
        assert (status, ready["degraded"]) == (200, True)
    finally:
        await second.close()


def snapshots(replica: Replica) -> bytes:
    return b"".join(path.read_bytes() for path in (replica.folder / ".banyan").glob("snapshot*"))


async def _is(port: int, side: str) -> bool:
    return side_of(await asked(port, get("ana"))) == side


async def test_files_alone_are_not_ready_and_refuse_writes_of_entities_until_the_store_was_read(house):
    house.server.kill()
    replica = await house.replica({**USERS, "weight": 100})
    assert (await fetch(replica.probes, "/readyz"))[0] == 503
    assert side_of(await asked(replica.port, get("ana"))) == "legacy"
    refused = await asked(replica.port, b"POST /api/users HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx")
    assert (refused.status, refused.value(b"retry-after")) == (503, b"5")
    users = (await fetch(replica.admin, "/api/v1/status"))[1]["components"]["users"]
    assert (users["reads"]["side"], users["reads"]["reason"], users["writes"]) == ("legacy", "store_lost", "refused")

    await house.server.start()

    async def ready() -> bool:
        return (await fetch(replica.probes, "/readyz"))[0] == 200

    await until(ready, 20)
    await live(replica, 100)
    assert side_of(await asked(replica.port, get("ana"))) == "modern"


async def test_modern_dead_or_failing_costs_no_reader_anything_and_shows_in_the_metrics(house):
    replica = await house.replica({**USERS, "weight": 100})
    await live(replica, 100)

    async def torn(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
        exchange.cut()

    for script in (answering(b"HTTP/1.1 500 X\r\nContent-Length: 0\r\n\r\n"), torn):
        house.modern.script = script
        assert {side_of(await asked(replica.port, get(f"u{n}"))) for n in range(30)} == {"legacy"}
    port = house.modern.port
    await house.modern.stop()
    assert {side_of(await asked(replica.port, get(f"u{n}"))) for n in range(30)} == {"legacy"}
    samples = await scrape(replica.probes)
    assert samples['banyan_fallbacks_total{component="users",reason="status"}'] >= 1
    assert samples['banyan_breaker_open{component="users",side="modern"}'] == 1
    assert samples['banyan_budget_spent_total{component="users"}'] >= 1

    house.modern.script = answering(ok())
    await house.modern.start(port)
    await until(lambda: _is(replica.port, "modern"), 30)


async def test_an_edited_file_shifts_within_a_second_and_a_broken_one_freezes_only_its_component(house):
    shop = {"component": "shop", "weight": 10, "shadow": 0, "routes": {"/api/shop": {}}}
    replica = await house.replica(USERS, shop)
    await live(replica, 25)
    replica.rules({**USERS, "weight": 60})
    await live(replica, 60)

    (replica.folder / "rules" / "users.yaml").write_text(yaml.safe_dump({**USERS, "weight": 140}, sort_keys=False))
    replica.rules({**shop, "weight": 20})

    async def frozen() -> bool:
        _, status = await fetch(replica.admin, "/api/v1/status")
        refused = [each["problem"] for each in status["components"]["users"]["refused"]]
        shifted = status["components"]["shop"]["weight"] == 20
        return shifted and any("users.yaml:3:9: weight: should be 0 to 100, is 140" in problem for problem in refused)

    await until(frozen, 20)
    assert (await scrape(replica.probes))['banyan_weight_percent{component="users"}'] == 60


async def test_a_live_weight_survives_another_field_s_edit_and_a_late_pod_takes_nothing_back(house):
    replica = await house.replica()
    await live(replica, 25)
    await publish(replica, "weight", "users", "70")
    await live(replica, 70)
    replica.rules({**USERS, "owner": "team-a"})

    async def owned() -> bool:
        _, rules = await fetch(replica.admin, "/api/v1/rules")
        return rules["components"]["users"]["owner"] == "team-a"

    await until(owned, 20)
    assert (await scrape(replica.probes))['banyan_weight_percent{component="users"}'] == 70

    late = await house.replica()
    await live(late, 70)
    _, rules = await fetch(late.admin, "/api/v1/rules")
    assert (rules["components"]["users"]["weight"], rules["components"]["users"]["owner"]) == (70, "team-a")


async def test_a_second_sigterm_cuts_what_is_under_way_and_blames_no_side(house):
    replica = await house.replica({**USERS, "weight": 0}, access_log=True)
    await live(replica, 0)
    asked_for = asyncio.Event()

    async def hang(exchange: Exchange) -> None:
        asked_for.set()
        await exchange.reader.read()

    house.legacy.script = hang
    client = await RawClient.connect(replica.port)
    await client.send(get("ana"))
    await asked_for.wait()
    replica.terminate()
    await until(lambda: any(line["event"] == "draining" for line in replica.log))
    replica.terminate()

    with suppress(ConnectionResetError):
        assert await client.reader.read() == b""  # cut, and no answer that Banyan would have made up
    assert await replica.wait() == 0
    assert [line["cut"] for line in replica.log if line["event"] == "drained"] == [1]
    (line,) = [line for line in replica.log if line.get("path") == "/api/users/42"]
    assert "closed the connection" not in str(line), line
    client.close()


async def test_sigterm_under_load_loses_no_request_that_was_accepted(house):
    replica = await house.replica({**USERS, "weight": 50})
    await live(replica, 50)
    failures: list[str] = []
    answered = 0

    async def work(number: int) -> None:
        nonlocal answered
        client: RawClient | None = None
        while True:
            try:
                client = client or await RawClient.connect(replica.port)
            except OSError:
                return  # not accepted any more: nothing was promised
            try:
                await client.send(get(f"u{number}"))
                answer = await client.answer()
            except (OSError, asyncio.IncompleteReadError) as exc:
                failures.append(repr(exc))
                return
            answered += 1
            if answer.value(b"connection") == b"close":
                client.close()
                client = None

    workers = [asyncio.ensure_future(work(number)) for number in range(16)]
    await until(lambda: answered > 300, 20)
    replica.terminate()
    await asyncio.gather(*workers)
    assert await replica.wait() == 0
    assert failures == []


BLOCK = bytes(range(256)) * 4096  # 1 MiB
GROWTH_BYTES = 30_000_000


def blocks() -> Iterator[bytes]:
    """Yield a gigabyte."""
    for at in range(0, GIGABYTE, len(BLOCK)):
        yield BLOCK[: min(len(BLOCK), GIGABYTE - at)]


def digest_of_all() -> str:
    digest = hashlib.blake2b()
    for block in blocks():
        digest.update(block)
    return digest.hexdigest()


async def digest_of(reader: asyncio.StreamReader, length: int, watch: Callable[[], None] = lambda: None) -> str:
    """Read `length` bytes and return their digest; `watch` is called now and then."""
    digest = hashlib.blake2b()
    while length:
        data = await reader.read(min(length, 1 << 20))
        if not data:
            raise asyncio.IncompleteReadError(b"", length)
        digest.update(data)
        length -= len(data)
        watch()
    return digest.hexdigest()


class Memory:
    """The most that a replica's memory grew by."""

    def __init__(self, replica: Replica) -> None:
        self._replica = replica
        self._before = replica.rss_bytes
        self.growth_bytes = 0

    def watch(self) -> None:
        self.growth_bytes = max(self.growth_bytes, self._replica.rss_bytes - self._before)


async def test_a_gigabyte_up_passes_byte_for_byte_in_constant_memory(house):
    replica = await house.replica({**USERS, "weight": 0})
    await live(replica, 0)
    digests: list[str] = []

    async def swallow(exchange: Exchange) -> None:
        digests.append(await digest_of(exchange.reader, int(exchange.value(b"content-length") or b"0")))
        await exchange.send(ok())

    house.legacy.script = swallow
    memory, client = Memory(replica), await RawClient.connect(replica.port)
    await client.send(b"PUT /api/users/1 HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % GIGABYTE)
    for block in blocks():
        await client.send(block)
        memory.watch()
    assert (await client.answer(within_s=60)).status == 200
    client.close()
    assert digests == [digest_of_all()]
    assert memory.growth_bytes < GROWTH_BYTES


async def test_a_gigabyte_down_passes_byte_for_byte_in_constant_memory(house):
    replica = await house.replica({**USERS, "weight": 0})
    await live(replica, 0)

    async def pour(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % GIGABYTE)
        for block in blocks():
            await exchange.send(block)

    house.legacy.script = pour
    memory, client = Memory(replica), await RawClient.connect(replica.port)
    await client.send(get("ana"))
    await client.reader.readuntil(b"\r\n\r\n")
    assert await digest_of(client.reader, GIGABYTE, memory.watch) == digest_of_all()
    client.close()
    assert memory.growth_bytes < GROWTH_BYTES


async def test_a_gigabyte_in_chunks_that_is_refused_early_gets_its_413_in_constant_memory(house):
    replica = await house.replica({**USERS, "weight": 0})
    await live(replica, 0)

    async def refuse(exchange: Exchange) -> None:
        await exchange.reader.read(1 << 16)
        await exchange.send(b"HTTP/1.1 413 X\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno")
        exchange.writer.write_eof()
        while await exchange.reader.read(1 << 16):
            pass

    house.legacy.script = refuse
    memory, client = Memory(replica), await RawClient.connect(replica.port)
    await client.send(b"PUT /api/users/1 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
    answering_early = asyncio.ensure_future(client.answer(within_s=60))
    for block in blocks():
        client.writer.write(b"%x\r\n%b\r\n" % (len(block), block))
        with suppress(ConnectionError):
            await client.writer.drain()
        memory.watch()
        if answering_early.done():
            break
    assert (await answering_early).status == 413
    client.close()
    assert memory.growth_bytes < GROWTH_BYTES


async def test_a_folder_of_rules_that_is_missing_is_told_and_traffic_goes_on(house):
    replica = await house.replica({**USERS, "weight": 100}, rules="ruels")

    assert side_of(await asked(replica.port, get("ana"))) == "legacy"
    told = await until(lambda: [each for each in replica.log if each["event"] == "rules_folder_unreadable"])
    assert (told[0]["level"], "ruels" in told[0]["why"]) == ("warning", True)
    status = await until(lambda: _because(replica, "ruels"))
    assert status["degraded"]


async def _because(replica: Replica, word: str) -> dict[str, Any] | None:
    document = (await fetch(replica.admin, "/api/v1/status"))[1]
    return document if any(word in sentence for sentence in document["because"]) else None


async def test_every_replica_tells_the_mismatches_of_all(house):
    one, other = [await house.replica() for _ in range(2)]
    link = Link(house.server.url)
    await MismatchStore(link).record(Batch("users", "one", 1, sightings(pair({"a": 1}, {"a": 2}))))
    await link.close()

    for replica in (one, other):
        status, (found,) = await fetch(replica.admin, "/api/v1/mismatches")
        assert (status, found["path"], found["status"]) == (200, "$.a", "open")
    await publish(other, "mismatches", "close", found["id"], "--why", "fixed")
    assert (await fetch(one.admin, f"/api/v1/mismatches/{found['id']}"))[1]["closed_why"] == "fixed"


async def test_run_says_what_is_wrong_in_one_line_and_its_exit_code(house):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        replica = Replica(house.server.url, 1, 2, listen=f"127.0.0.1:{taken.getsockname()[1]}")
        await replica.start(ready=False)
        assert await replica.wait() == 1
        *_, said = replica.stderr.splitlines()
        assert said.startswith("banyan: listen: cannot listen on 127.0.0.1:") and said.endswith("in use")
        assert replica.stderr.count("cannot listen") == 1 and "Traceback" not in replica.stderr
        await replica.close()

    nowhere = Replica(house.server.url, 1, 2, listen="no-such-host.invalid:8080")
    await nowhere.start(ready=False)
    assert await nowhere.wait() == 1
    assert "listen: cannot listen on no-such-host.invalid:8080: " in nowhere.stderr
    await nowhere.close()

    broken = Replica(house.server.url, 1, 2, lissten="x")
    await broken.start(ready=False)
    assert await broken.wait() == 4
    assert "did you mean `listen`" in broken.stderr and "Traceback" not in broken.stderr
    await broken.close()

    away = Replica("redis://127.0.0.1:1/0", 1, 2)
    await away.start()
    away.terminate()
    assert await away.wait() == 0
    await away.close()


async def test_callers_of_probes_and_admin_have_deadlines_and_are_never_quoted_in_the_log(house: House):
    replica = await house.replica(timeouts={"client_head_s": 0.3, "client_body_idle_s": 0.3})
    secret = b"GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer TOPSECRET\x01\r\n\r\n"
    half = (
        b"POST /api/v1/components/users/weight HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        b"Content-Type: application/json\r\nContent-Length: 10\r\n\r\n{"
    )

    async def answer_of(port: int, data: bytes) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(data)
        async with asyncio.timeout(30):
            found = await reader.read()
        writer.close()
        return found

    for port in (replica.probes, replica.admin):
        assert (await answer_of(port, secret))[9:12] == b"400"
        assert [await answer_of(port, data) for data in (b"", b"GET /livez HTT")] == [b"", b""]
    assert (await answer_of(replica.admin, half))[9:12] == b"408"

    await until(lambda: any(line["event"] == "malformed_request" for line in replica.log), 20)
    assert "TOPSECRET" not in replica.stderr and "Traceback" not in replica.stderr
    assert (await scrape(replica.probes))['banyan_alarms_total{component="",what="malformed_request"}'] == 2
