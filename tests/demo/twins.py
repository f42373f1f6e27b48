"""Both applications of the demo side by side on loopback, over small data and one clock that a test moves."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

from aiohttp import ClientResponse
from aiohttp.test_utils import TestClient, TestServer

from proxy.demo import legacy, modern
from proxy.demo.seed import Seed, everything

SIDES = {"legacy": legacy.build, "modern": modern.build}


@dataclass(frozen=True)
class Answer:
    """What must be equal: everything a client can tell two applications by."""

    status: int
    body: bytes
    location: str | None
    content_type: str | None


class Clock:
    def __init__(self) -> None:
        self._now = datetime(2025, 1, 1, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self._now

    def advance(self) -> None:
        self._now += timedelta(milliseconds=1_234)


class Twins:
    def __init__(self, clients: dict[str, TestClient], clock: Clock) -> None:
        self.clients = clients
        self.clock = clock

    async def ask(self, method: str, path: str, **options: Any) -> Answer:
        """Ask both; AssertionError when they can be told apart."""
        self.clock.advance()
        said = {
            name: await answer_of(await client.request(method, path, **options))
            for name, client in self.clients.items()
        }
        assert said["legacy"] == said["modern"], f"{method} {path} {options}"
        return said["legacy"]


async def answer_of(response: ClientResponse) -> Answer:
    body = await response.read()
    return Answer(response.status, body, response.headers.get("Location"), response.headers.get("Content-Type"))


@cache
def few(count: int = 3) -> Seed:
    """Return the first entities of each component of the seed."""
    return {name: documents[:count] for name, documents in everything().items()}


@asynccontextmanager
async def twins(folder: Path, seed: Seed | None = None) -> AsyncIterator[Twins]:
    clock = Clock()
    clients = {name: TestClient(TestServer(await build(folder / name, clock, seed))) for name, build in SIDES.items()}
    try:
        for client in clients.values():
            await client.start_server()
        yield Twins(clients, clock)
    finally:
        for client in clients.values():
            await client.close()
