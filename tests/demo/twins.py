"""Both applications of the demo side by side on loopback, over small data and one clock that a test moves."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import orjson
from aiohttp import ClientResponse
from aiohttp.test_utils import TestClient, TestServer

from proxy.demo import legacy, modern
from proxy.demo.manner import NOISE, Manner
from proxy.demo.seed import Seed, everything

SIDES = {"legacy": legacy.build, "modern": modern.build}


@dataclass(frozen=True)
class Answer:
    """What must be equal: everything a client can tell two applications by, but for the values of noise."""

    status: int
    body: bytes  # without noise; as it came where there is none
    location: str | None
    content_type: str | None
    noise: tuple[str, ...] = ()  # the names of what was left out


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
    body, noise = without_noise(await response.read())
    fields = response.headers
    return Answer(response.status, body, fields.get("Location"), fields.get("Content-Type"), noise)


def without_noise(body: bytes) -> tuple[bytes, tuple[str, ...]]:
    """Return a body without the two fields of noise at its top, and which of them it had."""
    document = orjson.loads(body) if body else None
    noise = tuple(name for name in NOISE if isinstance(document, dict) and name in document)
    if not noise:
        return body, ()
    return orjson.dumps({name: value for name, value in document.items() if name not in noise}), noise


@cache
def few(count: int = 3) -> Seed:
    """Return the first entities of each component of the seed."""
    return {name: documents[:count] for name, documents in everything().items()}


@asynccontextmanager
async def twins(folder: Path, seed: Seed | None = None, manner: Manner | None = None) -> AsyncIterator[Twins]:
    clock = Clock()
    apps = {name: await build(folder / name, clock, seed, manner) for name, build in SIDES.items()}
    clients = {name: TestClient(TestServer(app)) for name, app in apps.items()}
    try:
        for client in clients.values():
            await client.start_server()
        yield Twins(clients, clock)
    finally:
        for client in clients.values():
            await client.close()
