"""Fixtures of the store tests: every one of them runs against each server there is."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from proxy.store.link import Link
from tests.store.servers import Server, binaries

BINARIES = binaries()


@pytest.fixture(params=sorted(BINARIES))
def binary(request: pytest.FixtureRequest) -> Path:
    return BINARIES[request.param]


@pytest.fixture
async def make_server(binary: Path) -> AsyncIterator[Callable[..., Server]]:
    made: list[Server] = []

    def make(*options: str, port: int = 0) -> Server:
        made.append(Server(binary, *options, port=port))
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
