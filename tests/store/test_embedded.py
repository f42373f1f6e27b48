"""The embedded server: adopted or owned, never two on one folder, never a broken one left behind."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from proxy.core.errors import StoreError
from proxy.core.rules import Side
from proxy.store.embedded import EmbeddedServer, address_of, find_server, packaged_server
from proxy.store.emergencies import Emergencies
from proxy.store.link import Link, Refused
from tests.store.servers import fill_disk
from tests.waiting import until

PARENT = """
import asyncio, sys, time
from pathlib import Path
from proxy.store.embedded import EmbeddedServer
server = EmbeddedServer(Path(sys.argv[1]), Path(sys.argv[2]))
asyncio.run(server.start())
print(server.owned, flush=True)
time.sleep(600)
"""


@pytest.fixture
def data_dir() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="bn", dir="/tmp") as folder:
        yield Path(folder)


@pytest.fixture
async def embed(binary: Path, data_dir: Path) -> AsyncIterator[Callable[..., EmbeddedServer]]:
    made: list[EmbeddedServer] = []

    def make(folder: Path = data_dir, **options: float) -> EmbeddedServer:
        made.append(EmbeddedServer(folder, binary, **options))
        return made[-1]

    yield make
    for each in made:
        if each.owned:
            os.kill(pid_of(each), signal.SIGCONT)
        await each.stop()


def start_parent(data_dir: Path, binary: Path) -> subprocess.Popen[bytes]:
    words = [sys.executable, "-c", PARENT, str(data_dir), str(binary)]
    return subprocess.Popen(words, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2])


def pid_of(server: EmbeddedServer) -> int:
    """The process that was started here, without asking the server, which may hang."""
    assert server._process is not None
    return server._process.pid


async def test_it_answers_keeps_its_data_and_is_stopped_by_its_owner(embed, data_dir: Path):
    server = embed()
    await server.start()
    assert server.owned
    assert address_of(data_dir) == server.url == f"unix://{data_dir}/store/store.sock"
    link = Link(server.url)
    await link.call("SET", "a", "1")
    await link.close()
    await server.stop()
    assert not await server.alive()

    again = embed()
    await again.start()
    link = Link(again.url)
    assert await link.call("GET", "a") == b"1"
    await link.close()


async def test_a_live_one_is_adopted_and_never_stopped(embed):
    owner, guest = embed(), embed()
    await owner.start()
    await guest.start()

    assert owner.owned
    assert not guest.owned
    await guest.stop()
    assert await owner.alive()


async def test_of_two_that_start_at_once_one_owns_the_only_server(embed):
    first, second = embed(), embed()
    await asyncio.gather(first.start(), second.start())

    assert [first.owned, second.owned].count(True) == 1
    assert await first.alive()
    assert await second.alive()


async def test_it_ends_with_a_killed_parent_and_the_next_start_is_clean(embed, binary: Path, data_dir: Path):
    parent = subprocess.Popen(  # noqa: ASYNC220
        [sys.executable, "-c", PARENT, str(data_dir), str(binary)],
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    )
    assert parent.stdout is not None
    assert parent.stdout.readline() == b"True\n"
    guest = embed()
    await guest.start()
    assert not guest.owned
    link = Link(guest.url)
    await link.call("SET", "a", "1")
    await link.close()
    parent.kill()
    parent.wait()
    parent.stdout.close()

    async def gone() -> bool:
        return not await guest.alive()

    await until(gone, 20)
    await guest.start()
    assert guest.owned
    link = Link(guest.url)
    assert await link.call("GET", "a") == b"1"
    await link.close()


async def test_a_killed_server_is_started_again_with_its_data(embed):
    server = embed()
    await server.start()
    link = Link(server.url)
    await link.call("CONFIG", "SET", "appendfsync", "always")
    await link.call("SET", "a", "1")
    said: list[str] = []
    keeping = asyncio.create_task(server.keep(said.append, 0.05))
    os.kill(pid_of(server), signal.SIGKILL)

    await until(lambda: said, 20)
    assert said == ["the embedded store had gone and was started again"]
    assert await link.call("GET", "a") == b"1"
    keeping.cancel()
    await link.close()


async def test_a_guest_takes_over_when_the_owner_stops(embed):
    owner, guest = embed(), embed()
    await owner.start()
    await guest.start()
    keeping = asyncio.create_task(guest.keep(lambda text: None, 0.05))
    await owner.stop()

    await until(lambda: guest.owned, 20)
    await until(guest.alive, 20)
    keeping.cancel()


async def test_a_long_folder_gets_a_short_socket_that_others_find(embed, data_dir: Path):
    long = data_dir / ("a folder with a very long name " * 4) / "data"
    server = embed(long)
    await server.start()

    assert len(os.fsencode(server.socket_path)) <= 100
    assert Path(server.socket_path).parent.stat().st_mode & 0o077 == 0
    link = Link(address_of(long) or "")
    assert await link.call("PING") == b"PONG"
    await link.close()


async def test_a_guest_with_another_temporary_folder_finds_the_socket(embed, data_dir: Path):
    long = data_dir / ("x" * 100)
    owner, guest = embed(long), embed(long)
    guest.socket_path = "/tmp/bn-elsewhere/store.sock"
    await owner.start()
    await guest.start()

    assert (guest.owned, guest.url) == (False, owner.url)


async def test_a_socket_folder_that_is_not_ours_is_not_used(embed, data_dir: Path):
    long = data_dir / ("y" * 100)
    server = embed(long)
    trap = Path(server.socket_path).parent
    trap.symlink_to(data_dir)
    try:
        with pytest.raises(StoreError, match="belongs to somebody else"):
            await server.start()
        with pytest.raises(StoreError, match="belongs to somebody else"):
            server.check_folder()
    finally:
        trap.unlink()


async def test_a_server_that_cannot_save_lives_and_is_adopted(embed):
    owner, guest = embed(), embed(start_s=2.0)
    await owner.start()
    await fill_disk(owner.url, pid_of(owner))

    assert await owner.alive()
    await guest.start()
    assert not guest.owned


async def test_what_a_server_that_cannot_save_says_is_its_reason(embed):
    server = embed()
    await server.start()
    await fill_disk(server.url, pid_of(server))
    link = Link(server.url)

    with pytest.raises(Refused) as refused:
        await Emergencies(link).set("all", Side.LEGACY, who="ana", why="x")
    assert str(refused.value) == "the store cannot save: File too large"
    assert await Emergencies(link).read() == {}
    await link.close()


async def test_a_server_that_cannot_save_still_tells_of_changes(embed):
    server = embed()
    await server.start()
    link = Link(server.url)
    async with link.pushes("a") as pushes:
        await fill_disk(server.url, pid_of(server))

        for _ in range(4):  # silent, so it is asked with a PING, which is refused: two times
            assert await pushes.next(0.1) is None
    await link.close()


async def test_a_server_that_hangs_is_neither_adopted_nor_doubled(embed):
    owner = embed()
    await owner.start()
    os.kill(pid_of(owner), signal.SIGSTOP)

    with pytest.raises(StoreError, match="runs but does not answer"):
        await embed(start_s=0.1).start()


async def test_a_folder_that_cannot_be_used_is_a_store_error(embed, data_dir: Path):
    (data_dir / "file").write_text("")
    with pytest.raises(StoreError, match="cannot use"):
        await embed(data_dir / "file").start()
    assert address_of(data_dir / "file") is None


UNUSABLE = {
    "/proc/banyan/d": "No such file or directory",
    "file": "Not a directory",
    "a/file/below": "Not a directory",
    "taken": "File exists",
    "lock": "Is a directory",
}


def below(folder: Path) -> list[Path]:
    """Return all that is in a folder."""
    return sorted(folder.rglob("*"))


@pytest.mark.parametrize(("where", "why"), UNUSABLE.items())
async def test_what_a_look_finds_is_what_a_start_would_say(embed, data_dir: Path, where: str, why: str):
    (data_dir / "a").mkdir()
    (data_dir / "file").write_text("")
    (data_dir / "a/file").write_text("")
    (data_dir / "taken").mkdir()
    (data_dir / "taken/store").write_text("a file where a folder should be")
    (data_dir / "lock/store/lock").mkdir(parents=True)
    before = below(data_dir)
    server = embed(data_dir / where)

    with pytest.raises(StoreError) as looked:
        server.check_folder()
    assert below(data_dir) == before
    assert str(looked.value) == f"the embedded store cannot use {server.folder}: {why}"
    with pytest.raises(StoreError) as started:
        await server.start()
    assert str(started.value) == str(looked.value)


@pytest.mark.parametrize("where", ["", "new", "new/and/deep"])
def test_a_look_at_a_good_folder_leaves_nothing_behind(binary: Path, data_dir: Path, where: str):
    EmbeddedServer(data_dir / where, binary).check_folder()

    assert below(data_dir) == []


@pytest.mark.parametrize("there", [True, False])
def test_a_full_disk_is_found_by_a_look(binary: Path, data_dir: Path, there: bool):
    server = EmbeddedServer(data_dir / "d", binary)
    if there:
        server.folder.mkdir(parents=True)
    before = below(data_dir)
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, limit[1]))
    try:
        with pytest.raises(StoreError, match=r"cannot use .*/d/store: File too large$"):
            server.check_folder()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert below(data_dir) == before


async def test_damaged_files_end_the_start_with_the_last_words_of_the_server(embed):
    server = embed()
    (server.folder / "appendonlydir").mkdir(parents=True)
    (server.folder / "appendonlydir" / "appendonly.aof.manifest").write_text("file what is this\n")

    with pytest.raises(StoreError, match=r"(?s)ended at once:.*AOF"):
        await server.start()
    assert not server.owned


async def test_a_binary_that_is_none_is_a_store_error(data_dir: Path):
    with pytest.raises(StoreError, match="/nowhere/valkey-server cannot be run"):
        await EmbeddedServer(data_dir, Path("/nowhere/valkey-server")).start()


def test_the_packaged_server_is_there_and_one_on_path_is_preferred(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    packaged = packaged_server()
    assert packaged is not None
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_server() == packaged

    own = tmp_path / "redis-server"
    own.symlink_to(packaged)
    assert find_server() == own
