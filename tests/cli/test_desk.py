from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from proxy.cli.desk import at_desk, store_of
from proxy.core.errors import StoreError
from proxy.core.rules import Side
from proxy.settings import Settings
from proxy.store.embedded import EmbeddedServer
from proxy.workers.changes import By
from tests.store.servers import fill_disk


def test_an_embedded_store_that_never_ran_is_said(tmp_path):
    with pytest.raises(StoreError, match="start the gateway with `banyan run`"):
        store_of(Settings(data_dir=tmp_path))


async def test_verbs_reach_the_embedded_store_of_a_running_gateway(tmp_path):
    server = EmbeddedServer(tmp_path)
    await server.start()
    try:
        async with at_desk(Settings(data_dir=tmp_path)) as desk:
            assert (await desk.reader.facts()).rules is None
    finally:
        await server.stop()

    with pytest.raises(StoreError, match="does not run: start the gateway"):
        async with at_desk(Settings(data_dir=tmp_path)):
            pass


async def test_a_store_that_cannot_save_is_read_and_a_write_says_why(tmp_path):
    server = EmbeddedServer(tmp_path)
    await server.start()
    try:
        assert server._process is not None
        await fill_disk(server.url, server._process.pid)

        async with at_desk(Settings(data_dir=tmp_path)) as desk:
            assert (await desk.reader.facts()).rules is None
        with pytest.raises(StoreError) as refused:
            async with at_desk(Settings(data_dir=tmp_path)) as desk:
                await desk.changes.emergency("all", Side.LEGACY, By("ana", "x"))
    finally:
        await server.stop()

    assert str(refused.value) == "the store cannot save: File too large; nothing was changed"


async def test_an_embedded_store_that_hangs_is_not_said_to_be_gone(tmp_path):
    server = EmbeddedServer(tmp_path)
    await server.start()
    assert server._process is not None
    os.kill(server._process.pid, signal.SIGSTOP)
    try:
        with pytest.raises(StoreError, match="runs, but is out of reach: Timeout"):
            async with at_desk(Settings(data_dir=tmp_path)):
                pass
    finally:
        os.kill(server._process.pid, signal.SIGCONT)
        await server.stop()


async def test_a_store_elsewhere_is_named_without_its_password():
    with pytest.raises(StoreError) as refused:
        async with at_desk(Settings(store="redis://ana:s3cret@127.0.0.1:1/0")):
            pass

    assert "redis://ana:***@127.0.0.1:1/0 is out of reach: Error 111 connecting" in str(refused.value)
    assert "s3cret" not in str(refused.value)


async def test_a_folder_that_a_server_used_and_left_is_not_taken_for_a_running_one(tmp_path: Path):
    (tmp_path / "store").mkdir()
    (tmp_path / "store/address").write_text("unix:///tmp/there-is-no-store-here\n")

    with pytest.raises(StoreError, match="does not run"):
        async with at_desk(Settings(data_dir=tmp_path)):
            pass
