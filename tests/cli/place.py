"""A place to type commands in: a folder with settings and rule files, a store of its own, no gateway."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from proxy.cli import main
from proxy.store.fleet import Fleet, Heartbeat
from proxy.store.link import Link
from tests.store.servers import Server, binaries

USERS = """\
component: users
weight: 5   # a comment
routes:
  GET /api/users: {}
  GET /api/users/{id}: {entity: "{id}"}
"""
CONFIGURATION = """\
component: configuration
after: [users]
routes:
  GET /api/configuration/{key}: {}
"""


@dataclass(frozen=True)
class Said:
    """How a command ended and what it printed."""

    code: int
    out: str
    err: str

    @property
    def data(self) -> Any:
        return json.loads(self.out)


@dataclass
class Place:
    """One folder; `say` types a command into it."""

    folder: Path
    store: str
    capsys: pytest.CaptureFixture[str]
    redis: Redis = field(repr=False, default=None)  # type: ignore[assignment]

    def say(self, *words: str) -> Said:
        code = main(words)
        out, err = self.capsys.readouterr()
        assert "Traceback" not in err
        return Said(code, out, err)

    def write(self, name: str, text: str) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def configure(self, **more: Any) -> None:
        settings = {
            "listen": "127.0.0.1:0",
            "admin": {"listen": "127.0.0.1:0"},
            "probes": {"listen": "127.0.0.1:0"},
            "store": self.store,
        }
        self.write("config.yaml", json.dumps(settings | more))

    def beat(self, replica: str, **more: Any) -> None:
        """Have a replica say that it lives."""

        async def beat() -> None:
            link = Link(self.store)
            await Fleet(link).beat(Heartbeat(replica, **more))
            await link.close()

        asyncio.run(beat())


@contextmanager
def store() -> Iterator[Server]:
    """Run a store of its own, from outside of any event loop."""
    server = Server(binaries()["valkey"])

    async def start() -> None:
        await server.start()
        await server.redis.aclose()

    asyncio.run(start())
    try:
        yield server
    finally:
        asyncio.run(server.close())
