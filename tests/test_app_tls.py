"""The house as a whole with TLS on both of its faces: real replicas, certificates that change, clients that stay."""

from __future__ import annotations

import asyncio
import hashlib
import shutil
import signal
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from tests import pki
from tests.peers import Answer, Exchange, RawClient, Side, ok
from tests.pki import authority, key_of, server_cert, serving, trusting
from tests.replicas import USERS, Replica, fetch, scrape
from tests.store.servers import Server, binaries
from tests.waiting import until

ALL_MODERN = {**USERS, "weight": 100}
GET = b"GET /api/users/42 HTTP/1.1\r\nHost: shop.test\r\nX-User-Id: ana\r\n\r\n"
MIB = 1 << 20
GROWTH_BYTES = 30_000_000


class House:
    """Two sides that speak TLS, a store, and whatever replicas a test starts; their certificates are in `folder`."""

    def __init__(self, stack: AsyncExitStack, server: Server, folder: Path) -> None:
        self._stack = stack
        self.server = server
        self.folder = folder
        self.legacy = Side(tls=serving())
        self.modern = Side(tls=serving())
        self.put(server_cert())

    def put(self, cert: Path) -> None:
        """Let the files that replicas serve hold this certificate."""
        shutil.copy(key_of(cert), self.folder / "tls.key")
        shutil.copy(cert, self.folder / "tls.pem")

    def settings(self, **sides: dict[str, Any]) -> dict[str, Any]:
        tls = {"ca": str(authority().root)}
        ports = {"legacy": self.legacy.port, "modern": self.modern.port}
        return {
            "tls": {"cert": str(self.folder / "tls.pem"), "key": str(self.folder / "tls.key")},
            "sides": {
                name: {"url": f"https://127.0.0.1:{port}", "tls": {**tls, **sides.get(name, {})}}
                for name, port in ports.items()
            },
        }

    async def replica(self, **settings: Any) -> Replica:
        replica = Replica(self.server.url, 0, 0, **{**self.settings(), **settings})
        replica.rules(ALL_MODERN)
        self._stack.push_async_callback(replica.close)
        await replica.start()

        async def applied() -> bool:
            return (await scrape(replica.probes)).get('banyan_weight_percent{component="users"}') == 100

        await until(applied, 20)
        return replica


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with AsyncExitStack() as stack:
        found = binaries()
        server = Server(found.get("redis", found["valkey"]))
        stack.push_async_callback(server.close)
        await server.start()
        house = House(stack, server, tmp_path)
        for side in (house.legacy, house.modern):
            await side.start()
            stack.push_async_callback(side.stop)
        yield house


async def connect(replica: Replica) -> RawClient:
    return await RawClient.connect(replica.port, trusting())


async def ask(replica: Replica, request: bytes = GET) -> Answer:
    client = await connect(replica)
    await client.send(request)
    answer = await client.answer()
    client.close()
    return answer


def shown_to(client: RawClient) -> bytes:
    """Return the certificate that a client was shown."""
    tls: ssl.SSLObject = client.writer.get_extra_info("ssl_object")
    return tls.getpeercert(binary_form=True) or b""


def der(cert: Path) -> bytes:
    return ssl.PEM_cert_to_DER_cert(cert.read_text())


async def test_sides_hear_that_the_client_came_by_https_and_clients_never_of_the_sides(house):
    async def moved(exchange: Exchange) -> None:
        place = b"Location: https://127.0.0.1:%d/api/users/43\r\n" % house.modern.port
        await exchange.send(ok(b"", place))

    house.modern.script = moved
    replica = await house.replica()
    claimed = b"X-Forwarded-Client-Cert: By=me\r\nClient-Cert: :YQ==:\r\nX-Forwarded-Proto: http\r\n"
    answer = await ask(replica, GET.replace(b"\r\n\r\n", b"\r\n" + claimed + b"\r\n"))
    absolute = await ask(replica, GET.replace(b"/api", b"https://shop.test/api"))

    assert answer.value(b"location") == absolute.value(b"location") == b"https://shop.test/api/users/43"
    seen = house.modern.seen[0]
    assert seen.value(b"x-forwarded-proto") == b"https"
    assert seen.value(b"host") == b"shop.test"
    assert seen.value(b"x-forwarded-client-cert") is seen.value(b"client-cert") is None
    assert house.modern.lines[1] == b"GET /api/users/42 HTTP/1.1"


async def test_connections_to_a_side_are_used_again(house):
    replica = await house.replica()
    client = await connect(replica)
    for _ in range(200):
        await client.send(GET)
        assert (await client.answer()).body == b"ok"
    client.close()
    assert house.modern.connections == 1


@pytest.mark.parametrize("size", [MIB, 64 * MIB], ids=["1 MiB", "64 MiB"])
async def test_large_bodies_pass_whole_in_both_directions_in_constant_memory(house, size):
    pattern = bytes(range(256)) * 256
    digest = hashlib.sha256(pattern * (size // len(pattern))).hexdigest().encode()

    async def digesting(exchange: Exchange) -> None:
        received, left = hashlib.sha256(), size
        while left:
            data = await exchange.reader.read(min(left, 1 << 18))
            if not data:
                return
            received.update(data)
            left -= len(data)
        await exchange.send(ok(received.hexdigest().encode()))

    async def sending(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        for _ in range(size // len(pattern)):
            await exchange.send(pattern)

    house.legacy.script = digesting
    house.modern.script = sending
    replica = await house.replica()
    client = await connect(replica)
    before, most = replica.rss_bytes, 0
    client.writer.write(b"PUT /api/users/42 HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % size)
    for _ in range(size // len(pattern)):
        client.writer.write(pattern)
        await client.writer.drain()
        most = max(most, replica.rss_bytes)
    assert (await client.answer(within_s=60)).body == digest
    client.writer.write(GET)
    answer = await client.answer(within_s=60)
    assert hashlib.sha256(answer.body).hexdigest().encode() == digest
    client.close()
    assert max(most, replica.rss_bytes) - before < GROWTH_BYTES


async def test_a_side_that_cannot_be_trusted_costs_a_reader_nothing_and_gets_no_write(house):
    foreign = pki.Authority.made(house.folder / "foreign", "another root").signed("stranger")
    for side in (house.legacy, house.modern):
        port = side.port
        await side.stop()
        side.tls = serving(foreign if side is house.modern else server_cert())
        await side.start(port)
    replica = await house.replica()
    read = await ask(replica)
    assert (read.status, read.value(b"x-banyan-side")) == (200, b"legacy")
    assert read.value(b"x-banyan-fallback") == b"modern;connect"

    port = house.legacy.port
    await house.legacy.stop()
    house.legacy.tls = serving(foreign)
    await house.legacy.start(port)
    seen = len(house.legacy.seen)
    write = await ask(replica, b"PUT /api/users/42 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello")
    assert write.status == 502
    assert b"error=tls_certificate_error" in (write.value(b"proxy-status") or b"")
    assert len(house.legacy.seen) == seen and house.modern.seen == []


async def under_load(replica: Replica, work: Callable[[], Awaitable[None]]) -> int:
    """Do `work` while clients ask, some on one connection, some on a new one each time; return the answers."""
    stop, answers = asyncio.Event(), 0

    async def asking(keeps: bool) -> None:
        nonlocal answers
        client: RawClient | None = None
        while not stop.is_set():
            client = client or await connect(replica)
            await client.send(GET)
            assert (await client.answer()).status == 200
            answers += 1
            if not keeps:
                client.close()
                client = None

    askers = [asyncio.ensure_future(asking(keeps)) for keeps in (True, True, False, False)]
    try:
        await until(lambda: answers > 20, 30)
        await work()
        after = answers
        await until(lambda: answers > after + 20 or any(each.done() for each in askers), 30)
    finally:
        stop.set()
        await asyncio.gather(*askers)
    return answers


@pytest.mark.parametrize("how", ["by itself", "SIGHUP"])
async def test_a_renewed_certificate_is_shown_to_new_connections_and_no_request_is_lost(house, how):
    replica = await house.replica()
    renewed = authority().signed("renewed")
    old = await connect(replica)

    async def shown() -> bool:
        client = await connect(replica)
        client.close()
        return shown_to(client) == der(renewed)

    async def renew() -> None:
        house.put(renewed)
        if how == "SIGHUP":
            assert replica.process is not None
            replica.process.send_signal(signal.SIGHUP)
        await until(shown, 20)

    assert await under_load(replica, renew) > 40
    await old.send(GET)
    assert (await old.answer()).status == 200
    assert shown_to(old) == der(server_cert())
    old.close()
    taken = [line for line in replica.log if line["event"] == "certificate_taken"]
    assert [line["level"] for line in taken] == ["info"]


async def test_a_broken_certificate_keeps_the_old_one_and_is_told_and_shown(house):
    replica = await house.replica()
    (house.folder / "tls.key").write_text("half of it")

    async def because() -> list[str]:
        _, status = await fetch(replica.admin, "/api/v1/status")
        return [each for each in status["because"] if "tls.key" in each]

    async def told() -> bool:
        return bool(await because())

    await until(told, 20)
    assert shown_to(await connect(replica)) == der(server_cert())
    (refused,) = [line for line in replica.log if line["event"] == "certificate_refused"]
    assert refused["level"] == "warning" and "tls.key" in refused["why"]

    house.put(authority().signed("mended"))

    async def mended() -> bool:
        return not await because()

    await until(mended, 20)


async def test_what_a_side_is_shown_changes_with_its_files_too(house):
    demanding = serving()
    demanding.load_verify_locations(authority().root)
    demanding.verify_mode = ssl.CERT_REQUIRED
    port = house.modern.port
    await house.modern.stop()
    house.modern.tls = demanding
    await house.modern.start(port)
    stranger = pki.Authority.made(house.folder / "other", "another root").signed("gateway", "DNS:gateway")
    cert = house.folder / "gateway.pem"
    shutil.copy(stranger, cert)
    shutil.copy(key_of(stranger), key_of(cert))
    replica = await house.replica(**house.settings(modern={"cert": str(cert), "key": str(key_of(cert))}))
    assert (await ask(replica)).value(b"x-banyan-side") == b"legacy"
    assert house.modern.seen == []

    known = authority().signed("gateway", "DNS:gateway")
    shutil.copy(known, cert)
    shutil.copy(key_of(known), key_of(cert))
    assert replica.process is not None
    replica.process.send_signal(signal.SIGHUP)

    async def modern() -> bool:
        return (await ask(replica)).value(b"x-banyan-side") == b"modern"

    await until(modern, 30)


async def test_a_side_that_is_not_verified_is_told_of_at_the_start(house):
    foreign = pki.Authority.made(house.folder / "foreign", "another root").signed("stranger")
    port = house.modern.port
    await house.modern.stop()
    house.modern.tls = serving(foreign)
    await house.modern.start(port)
    replica = await house.replica(**house.settings(modern={"ca": None, "verify": False}))
    assert (await ask(replica)).value(b"x-banyan-side") == b"modern"
    (told,) = [line for line in replica.log if line["event"] == "side_not_verified"]
    assert (told["level"], told["side"]) == ("warning", "modern")


async def test_who_cannot_be_served_is_counted(house):
    replica = await house.replica()
    plain = await RawClient.connect(replica.port)
    await plain.send(GET)
    assert (await plain.answer()).status == 400
    assert await plain.rest() == b""
    assert (await scrape(replica.probes))['banyan_refused_total{reason="tls_plain_http"}'] == 1


async def test_sigterm_under_load_loses_no_request_that_was_accepted(house):
    replica = await house.replica()
    failures: list[str] = []
    answered = 0

    async def work() -> None:
        nonlocal answered
        client: RawClient | None = None
        while True:
            try:
                client = client or await connect(replica)
            except OSError:
                return  # not accepted any more: nothing was promised
            try:
                await client.send(GET)
                answer = await client.answer()
            except (OSError, asyncio.IncompleteReadError) as exc:
                failures.append(repr(exc))
                return
            answered += 1
            if answer.value(b"connection") == b"close":
                client.close()
                client = None

    workers = [asyncio.ensure_future(work()) for _ in range(8)]
    await until(lambda: answered > 100, 30)
    replica.terminate()
    assert await replica.wait() == 0
    await asyncio.gather(*workers)
    assert failures == []


async def test_without_its_certificate_a_replica_does_not_start_and_says_where_it_is_named(house):
    settings = house.settings()
    settings["tls"]["cert"] = "missing.pem"
    replica = Replica(house.server.url, 0, 0, **settings)
    try:
        await replica.start(ready=False)
        assert await replica.wait() == 4
        assert f"tls.cert: {replica.folder / 'missing.pem'} cannot be read: No such file or directory" in replica.stderr
        assert "config.yaml:" in replica.stderr
    finally:
        await replica.close()
