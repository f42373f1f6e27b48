"""Fixtures of the store tests: every one of them runs against each server there is."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from proxy.store.link import Link
from tests.store.replicas import Replica
from tests.store.servers import Server, binaries, free_port
from tests.waiting import until

BINARIES = binaries()


@pytest.fixture(params=sorted(BINARIES))
def binary(request: pytest.FixtureRequest) -> Path:
    return BINARIES[request.param]


@pytest.fixture
async def make_server(binary: Path) -> AsyncIterator[Callable[..., Server]]:
    made: list[Server] = []

    def make(*options: str, port: int = 0, sentinel: str = "") -> Server:
        made.append(Server(binary, *options, port=port, sentinel=sentinel))
        return made[-1]

    yield make
    for each in made:
        await each.close()


@pytest.fixture
async def server(make_server: Callable[..., Server]) -> Server:
    made = make_server()
    await made.start()
    return made


@pytest.fixture
async def make_link() -> AsyncIterator[Callable[..., Link]]:
    made: list[Link] = []

    def make(url: str, **options: object) -> Link:
        made.append(Link(url, **options))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for each in made:
        await each.close()


@pytest.fixture
async def link(server: Server, make_link: Callable[..., Link]) -> Link:
    return make_link(server.url)


@pytest.fixture
async def make_replica() -> AsyncIterator[Callable[..., Replica]]:
    made: list[Replica] = []

    def make(*args: object, **options: object) -> Replica:
        made.append(Replica(*args, **options))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for each in made:
        await each.close()


@pytest.fixture
async def sentinel(make_server: Callable[..., Server]) -> Callable[..., Awaitable[Server]]:
    async def watch(master: Server, standby: Server) -> Server:
        """Start a master with a standby and one sentinel that watches them as `rules`."""
        master.port, standby.port = free_port(), free_port()
        await master.start()
        await standby.start()
        await standby.redis.replicaof("127.0.0.1", master.port)  # type: ignore[no-untyped-call]

        async def copies() -> bool:
            return (await standby.redis.info("replication"))["master_link_status"] == "up"

        await until(copies, 20)
        watcher = make_server(port=free_port(), sentinel=f"127.0.0.1 {master.port}")
        await watcher.start()

        async def ready() -> bool:
            (seen,) = await watcher.redis.execute_command("SENTINEL", "MASTERS")
            facts = dict(zip(seen[::2], seen[1::2], strict=True)) if isinstance(seen, list) else seen
            return int(facts.get("num-slaves", facts.get("num_slaves", 0))) == 1

        await until(ready, 20)
        return watcher

    return watch
