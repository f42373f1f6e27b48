from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis

from tests.cli.place import CONFIGURATION, USERS, Place, store
from tests.store.servers import Server


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Place:
    """A folder with rule files, and settings whose store does not answer."""
    monkeypatch.chdir(tmp_path)
    for name in ("BANYAN_CONFIG", "BANYAN_DEBUG", "BANYAN_STORE", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    place = Place(tmp_path, "unix:///tmp/there-is-no-store-here", capsys)
    place.configure()
    place.write("rules/users.yaml", USERS)
    place.write("rules/configuration.yaml", CONFIGURATION)
    return place


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """One store for all tests that do not end it; each begins with an empty one."""
    with store() as server:
        yield server


@pytest.fixture
def empty(bare: Place, server: Server) -> Iterator[Place]:
    """The same with a store that holds nothing."""
    bare.store = server.url
    bare.redis = Redis(unix_socket_path=f"{server.folder}/s", decode_responses=True)
    bare.redis.flushall()
    bare.configure()
    yield bare
    bare.redis.close()


@pytest.fixture
def place(empty: Place) -> Place:
    """The same with the rule files published as version 1."""
    assert empty.say("rules", "push").code == 0
    return empty
