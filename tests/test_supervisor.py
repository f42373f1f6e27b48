"""Several processes under one parent: real ones, under load, killed, restarted and drained."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import statistics
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.activation import activated
from tests.parents import Load, Parent, get, is_alive, total
from tests.peers import Exchange, RawClient, Side, asked, ok
from tests.pki import key_of, server_cert, trusting
from tests.replicas import USERS, fetch, scrape
from tests.store.servers import Server, binaries
from tests.waiting import until


class House:
    """Two sides, a store, and the parents that a test starts."""

    def __init__(self, stack: AsyncExitStack, server: Server, legacy: Side, modern: Side) -> None:
        self._stack = stack
        self.server = server
        self.legacy = legacy
        self.modern = modern

    def parent(self, processes: int = 2, store: str | None = None, **settings: Any) -> Parent:
        """Write the configuration of a parent that does not run yet."""
        parent = Parent(store or self.server.url, self.legacy.port, self.modern.port, processes=processes, **settings)
        parent.rules({**USERS, "weight": 50})
        self._stack.push_async_callback(parent.close)
        return parent

    async def started(self, processes: int = 2, **settings: Any) -> Parent:
        parent = self.parent(processes, **settings)
        await parent.start()
        await parent.full(processes)
        return parent


@pytest.fixture
async def house() -> AsyncIterator[House]:
    async with AsyncExitStack() as stack:
        server = Server(binaries()["valkey"])
        stack.push_async_callback(server.close)
        await server.start()
        legacy, modern = Side(), Side()
        for side in (legacy, modern):
            await side.start()
            stack.push_async_callback(side.stop)
        yield House(stack, server, legacy, modern)


async def test_all_processes_count_as_one_and_status_names_them_with_their_parent(house):
    parent = await house.started(3)
    clients = [await RawClient.connect(parent.port) for _ in range(24)]
    for number, client in enumerate(clients):
        await client.send(get(f"u{number}"))
        assert (await client.answer()).status == 200

    for _ in range(6):  # whichever of them answers
        samples = await scrape(parent.probes)
        assert total(samples) == 24
        assert samples["banyan_connections"] == 24
        assert samples["banyan_ready"] == 1
        assert samples['banyan_processes{state="ready"}'] == 3
        latencies = [v for k, v in samples.items() if k.startswith("banyan_request_duration_seconds_count")]
        assert sum(latencies) == 24

    async def known() -> list[dict[str, Any]]:
        _, status = await fetch(parent.admin, "/api/v1/status")
        return status["replicas"] if len(status["replicas"]) == 3 else []

    replicas = await until(known, 20)
    assert {each["pid"] for each in replicas} == set(parent.children)
    (name,) = {each["parent"] for each in replicas}
    assert name.split("-")[-2] == str(parent.process.pid)
    for client in clients:
        client.close()


async def test_connections_are_spread_over_the_processes(house):
    """In most bursts; a process that the machine does not let run leaves its part to the other."""
    parent = await house.started(2)
    shares = []
    while len(shares) < 5 or (statistics.median(shares) > 0.6 and len(shares) < 25):
        clients = await asyncio.gather(*(RawClient.connect(parent.port) for _ in range(128)))
        await until(lambda: _held_by_all(parent) == 128, 20)
        shares.append(max(connections(pid, parent.port) for pid in parent.children) / 128)
        for client in clients:
            client.close()
        await until(lambda: _held_by_all(parent) == 0, 20)
    assert statistics.median(shares) <= 0.6, shares


def _held_by_all(parent: Parent) -> int:
    return sum(connections(pid, parent.port) for pid in parent.children)


def connections(pid: int, port: int) -> int:
    """Return how many connections of clients a process holds."""
    fields = (line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:])
    inodes = {f"socket:[{each[9]}]" for each in fields if each[1].endswith(f":{port:04X}") and each[3] == "01"}
    folder = Path(f"/proc/{pid}/fd")
    return sum(os.readlink(fd) in inodes for fd in folder.iterdir() if fd.exists() or fd.is_symlink())


async def test_unclaimed_paths_are_told_of_all_processes(house):
    parent = await house.started()
    for number in range(12):
        assert (await asked(parent.port, f"GET /other/{number} HTTP/1.1\r\nHost: a\r\n\r\n".encode())).status == 200
    for _ in range(4):
        _, routes = await fetch(parent.admin, "/api/v1/routes")
        assert sum(each["requests"] for each in routes["unclaimed"]) == 12


async def test_a_killed_process_loses_only_its_own_connections_and_is_back(house):
    parent = await house.started()
    idle = await asyncio.gather(*(RawClient.connect(parent.port) for _ in range(16)))
    for number, client in enumerate(idle):
        await client.send(get(f"u{number}"))
        assert (await client.answer()).status == 200
    victim, other = parent.children
    mine = connections(victim, parent.port)
    load = Load(parent.port)
    await load.more(200)
    before = await parent.total()
    under_load = connections(victim, parent.port) - mine

    os.kill(victim, signal.SIGKILL)
    await until(lambda: len(parent.said("process_ready")) == 3, 40)
    assert await parent.total() >= before  # what was counted once is not forgotten
    await load.more(200)
    await parent.full()
    await load.stop()

    assert is_alive(other)
    assert len(load.faults) <= under_load  # of the load's connections those in flight there, and no others
    alive = 0
    for client in idle:
        try:
            await client.send(get("ana"))
            alive += (await client.answer()).status == 200
        except (OSError, asyncio.IncompleteReadError):
            pass
        client.close()
    assert alive == 16 - mine
    (ended,) = [line for line in parent.said("process_ended") if line["status"] == -signal.SIGKILL]
    assert 0 <= ended["again_in_s"] <= 0.2


async def test_sigterm_under_load_loses_no_request_that_was_accepted(house):
    parent = await house.started()
    children = parent.children
    assert [os.getpgid(child) for child in children] == children  # Ctrl-C is for the parent alone
    load = Load(parent.port, may_refuse=True)
    await load.more(300)
    parent.terminate()
    await load.over()

    assert await parent.wait() == 0
    assert load.faults == []
    assert not any(map(is_alive, children))
    assert [line["cut"] for line in parent.said("drained")] == [0, 0]


async def test_five_hot_restarts_under_load_fail_no_request_and_forget_no_count(house):
    parent = await house.started()
    load = Load(parent.port)
    generations = [parent.children]
    for _ in range(5):
        await load.more(100)
        await parent.restart()
        generations.append(parent.children[-2:])
    await load.more(100)
    await load.stop()

    assert load.faults == []
    assert len(set(map(tuple, generations))) == 6
    await parent.full()
    assert await parent.total() == load.answered
    parent.terminate()
    assert await parent.wait() == 0
    assert parent.ledger is not None and not parent.ledger.exists()


async def test_clients_that_speak_tls_are_shared_and_restarted_like_others(house):
    cert = server_cert()
    parent = await house.started(tls={"cert": str(cert), "key": str(key_of(cert))})
    clients = await asyncio.gather(*(RawClient.connect(parent.port, trusting()) for _ in range(64)))
    held = [connections(pid, parent.port) for pid in parent.children]
    assert sum(held) == 64 and max(held) <= 64 / 2 * 1.5
    for client in clients:
        client.close()

    load = Load(parent.port, tls=trusting())
    for _ in range(2):
        await load.more(50)
        await parent.restart()
    await load.more(50)
    await load.stop()
    assert load.faults == []
    await parent.full()
    assert await parent.total() == load.answered


async def test_what_is_under_way_in_old_processes_ends_in_peace_while_new_ones_answer(house):
    release = asyncio.Event()

    async def late(exchange: Exchange) -> None:
        await release.wait()
        await exchange.send(ok(b"late"))

    parent = await house.started()
    house.legacy.script = house.modern.script = late
    client = await RawClient.connect(parent.port)
    await client.send(get("ana"))
    await until(lambda: house.legacy.seen or house.modern.seen)
    old = parent.children

    await parent.restart()
    answers = [await fetch(parent.probes, "/readyz") for _ in range(6)]
    assert {status for status, _ in answers} == {200}  # those that leave do not answer for the others any more
    assert sum(map(is_alive, old)) >= 1
    release.set()
    answer = await client.answer()
    assert (answer.body, answer.value(b"connection")) == (b"late", b"close")
    client.close()
    await until(lambda: not any(map(is_alive, old)), 20)


async def test_a_hot_restart_reads_the_configuration_again_and_a_crash_does_not(house):
    parent = await house.started(drain_s=1)
    parent.settings |= {"expose": False, "processes": 3, "listen": "127.0.0.1:1"}
    (parent.folder / "config.yaml").write_text(yaml.safe_dump(parent.settings))
    for child in parent.children:
        os.kill(child, signal.SIGKILL)
    await until(lambda: len(parent.said("process_ready")) == 4, 40)
    await parent.full(2)
    assert (await asked(parent.port, get("ana"))).value(b"x-banyan-side")

    await parent.restart()
    await parent.full(3)
    answer = await asked(parent.port, get("ana"))
    assert (answer.status, answer.value(b"x-banyan-side")) == (200, None)
    assert [line["settings"] for line in parent.said("needs_a_restart")] == [["listen"]]


def forget(parent: Parent) -> None:
    """Take its snapshots away, and see to it that there will be none."""
    shutil.rmtree(parent.folder / ".banyan", ignore_errors=True)
    (parent.folder / ".banyan").write_text("a file where a folder is needed")


async def test_new_processes_that_cannot_serve_change_nothing(house):
    parent = await house.started()
    load = Load(parent.port, clients=4)
    old = parent.children
    good = (parent.folder / "config.yaml").read_text()

    (parent.folder / "config.yaml").write_text(good + "lissten: x\n")
    parent.send(signal.SIGUSR2)
    await until(lambda: len(parent.said("restart_failed")) == 1, 40)
    (parent.folder / "config.yaml").write_text(good)
    house.server.kill()
    forget(parent)
    parent.send(signal.SIGUSR2)  # they would know no rules, and the old ones do
    await until(lambda: len(parent.said("restart_failed")) == 2, 60)

    assert [line["why"] for line in parent.said("restart_failed")] == [
        "a process ended with 4; the old ones go on",
        "a process ended with 5; the old ones go on",
    ]
    assert "did you mean `listen`" in parent.stderr
    await until(lambda: parent.children == old, 20)
    await load.more(50)
    await house.server.start()
    await parent.restart()
    await load.more(50)
    await load.stop()
    assert load.faults == []
    assert not set(old) & set(parent.children[-2:])


async def test_a_process_that_cannot_come_back_is_tried_more_and_more_slowly(house):
    parent = await house.started()
    house.server.kill()
    forget(parent)
    victim, other = parent.children
    os.kill(victim, signal.SIGKILL)
    load = Load(parent.port, clients=2)
    await until(lambda: len(parent.said("process_ended")) == 4, 60)

    ended = parent.said("process_ended")
    assert [line["failures"] for line in ended] == [1, 2, 3, 4]
    assert [line["status"] for line in ended] == [-signal.SIGKILL, 5, 5, 5]
    assert all(line["again_in_s"] <= 0.2 * 2**at for at, line in enumerate(ended))
    status, ready = await fetch(parent.probes, "/readyz")
    assert status == 200 and "1 of 2 processes ended and will be back" in ready["because"]
    await house.server.start()
    await parent.full()
    await load.more(20)
    await load.stop()
    assert load.faults == [] and is_alive(other)


async def test_a_process_that_hangs_is_left_out_and_what_it_counted_is_not(house):
    parent = await house.started()
    clients = [await RawClient.connect(parent.port) for _ in range(16)]
    for client in clients:
        await client.send(get("ana"))
        assert (await client.answer()).status == 200
    assert await parent.total() == 16
    victim, _ = parent.children
    os.kill(victim, signal.SIGSTOP)

    samples = await scrape(parent.probes)
    assert samples['banyan_processes{state="silent"}'] == samples['banyan_processes{state="ready"}'] == 1
    assert total(samples) == 16
    status, ready = await fetch(parent.probes, "/readyz")
    assert status == 200 and "1 of 2 processes did not answer within 0.5 s" in ready["because"]
    for _ in range(20):
        assert (await asked(parent.port, get("ana"))).status == 200  # what connects now is not for it
    os.kill(victim, signal.SIGCONT)
    await parent.full()
    assert await parent.total() == 36
    for client in clients:
        client.close()


async def test_processes_whose_parent_was_killed_finish_what_they_have(house):
    release = asyncio.Event()

    async def late(exchange: Exchange) -> None:
        await release.wait()
        await exchange.send(ok(b"late"))

    parent = await house.started(drain_s=20, pre_drain_s=20)
    house.legacy.script = house.modern.script = late
    client = await RawClient.connect(parent.port)
    await client.send(get("ana"))
    await until(lambda: house.legacy.seen or house.modern.seen)
    children = parent.children
    parent.send(signal.SIGKILL)
    await parent.wait()

    await until(lambda: len(parent.said("parent_gone")) == 2, 20)
    await until(lambda: _is_free(parent.port), 20)  # at once: whoever comes next needs the port
    release.set()
    assert (await client.answer()).body == b"late"
    client.close()
    await until(lambda: not any(map(is_alive, children)), 20)
    assert parent.ledger is not None and not parent.ledger.exists()


def _is_free(port: int) -> bool:
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind(("127.0.0.1", port))
            sock.listen()
        except OSError:
            return False
        return True


async def test_a_second_signal_means_now(house):
    async def never(exchange: Exchange) -> None:
        await asyncio.Event().wait()

    parent = await house.started(drain_s=600)
    house.legacy.script = house.modern.script = never
    client = await RawClient.connect(parent.port)
    await client.send(get("ana"))
    await until(lambda: house.legacy.seen or house.modern.seen)
    children = parent.children
    parent.terminate()
    await until(lambda: len(parent.said("draining")) == 3, 20)
    assert any(map(is_alive, children))
    parent.terminate()
    assert await parent.wait(20) == 0
    assert not any(map(is_alive, children))
    assert b" 200 " not in await client.rest()


async def test_sighup_is_passed_on_and_kills_nobody_that_does_not_know_it_yet(house):
    parent = house.parent()
    await parent.start(ready=False)
    await until(lambda: len(parent.said("process_started")) == 2, 20)
    parent.send(signal.SIGHUP)
    await until(lambda: parent.said("ready"), 40)
    children = parent.children
    parent.send(signal.SIGHUP)
    parent.port = int(parent.said("ready")[0]["data"].rpartition(":")[2])
    assert (await asked(parent.port, get("ana"))).status == 200
    assert parent.children == children and not parent.said("process_ended")


async def test_the_parent_owns_the_embedded_store(house):
    parent = await house.started(store="embedded")
    address = (parent.folder / ".banyan" / "store" / "address").read_text().strip().removeprefix("unix://")
    server, owner = server_at(address)
    assert owner == parent.process.pid
    await parent.restart()
    assert is_alive(server)
    for _ in range(3):
        assert (await fetch(parent.probes, "/readyz"))[0] == 200
    parent.terminate()
    assert await parent.wait() == 0
    assert not is_alive(server)


def server_at(address: str) -> tuple[int, int]:
    """Return the pid of the server with this socket, and of its parent."""
    (found,) = [int(path.parent.name) for path in Path("/proc").glob("[0-9]*/cmdline") if address in _line(path)]
    return found, int(Path(f"/proc/{found}/stat").read_text().rpartition(")")[2].split()[1])


def _line(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


async def test_a_start_that_cannot_work_ends_with_its_exit_code(house):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        parent = house.parent(listen=f"127.0.0.1:{taken.getsockname()[1]}")
        await parent.start(ready=False)
        assert await parent.wait() == 1
        (said,) = parent.stderr.splitlines()
        assert said.startswith("banyan: listen: cannot listen on 127.0.0.1:") and said.endswith("in use")

    parent = house.parent(lissten="x")
    await parent.start(ready=False)
    assert await parent.wait() == 4
    assert parent.stderr.count("did you mean `listen`") == 1

    parent = house.parent(store="embedded")
    (parent.folder / ".banyan").write_text("a file where a folder is needed")
    await parent.start(ready=False)
    assert await parent.wait() == 5
    assert "the embedded store cannot use" in parent.stderr and "Traceback" not in parent.stderr


class Ear:
    """What systemd would hear."""

    def __init__(self, folder: Path) -> None:
        self.address = str(folder / "notify")
        self.heard: list[bytes] = []
        self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._sock.setblocking(False)
        self._sock.bind(self.address)

    def listen(self) -> list[bytes]:
        try:
            while True:
                self.heard.append(self._sock.recv(1000))
        except BlockingIOError:
            return self.heard

    def close(self) -> None:
        self._sock.close()


async def activate(parent: Parent, names: str, *sockets: socket.socket, **env: str) -> None:
    """Start it with sockets that are open already."""
    (parent.folder / "config.yaml").write_text(yaml.safe_dump(parent.settings))
    words = ["-c", "from proxy.cli import main; raise SystemExit(main())", "run"]
    variables = {**os.environ, "LISTEN_FDS": str(len(sockets)), "LISTEN_FDNAMES": names, **env}
    with activated(sockets, words) as (command, fds), (parent.folder / "log").open("wb") as log:
        parent.process = await asyncio.create_subprocess_exec(
            *command, cwd=parent.folder, env=variables, stdout=log, stderr=log, pass_fds=fds
        )


async def test_sockets_that_systemd_opened_are_used_and_it_hears_of_readiness(house):
    parent = house.parent(processes=1, listen="127.0.0.1:1")
    ear = Ear(parent.folder)
    with socket.create_server(("127.0.0.1", 0)) as data, socket.create_server(("127.0.0.1", 0)) as probes:
        parent.port, parent.probes = (sock.getsockname()[1] for sock in (data, probes))
        early = await RawClient.connect(parent.port)  # waits in the socket until there is somebody
        await early.send(get("ana"))
        await activate(parent, "data:probes", data, probes, NOTIFY_SOCKET=ear.address)
        assert (await early.answer()).status == 200
        early.close()
        await until(lambda: ear.listen() == [b"READY=1"], 20)
        (ready,) = parent.said("ready")
        assert ready["data"] == f"127.0.0.1:{parent.port}" and ready["admin"] != "127.0.0.1:0"

        load = Load(parent.port, clients=4)
        await load.more(20)
        await parent.restart()  # one process has a parent, too, when it was started like this
        await load.more(20)
        await load.stop()
        assert load.faults == []
        await parent.full(1)
        parent.terminate()
        assert await parent.wait() == 0
        assert ear.listen() == [b"READY=1", b"STOPPING=1"]
    ear.close()


async def test_an_admin_socket_that_others_reach_needs_tokens_whatever_the_settings_say(house):
    parent = house.parent(processes=1)
    with socket.create_server(("0.0.0.0", 0)) as admin:
        await activate(parent, "admin", admin)
        assert await parent.wait() == 4
    assert "LISTEN_FDS" in parent.stderr and "add `admin.tokens`" in parent.stderr


async def test_a_single_process_without_a_parent_tells_systemd_and_survives_sigusr2(house):
    parent = house.parent(processes=1)
    ear = Ear(parent.folder)
    os.environ["NOTIFY_SOCKET"] = ear.address
    try:
        await parent.start()
    finally:
        del os.environ["NOTIFY_SOCKET"]
    assert await until(ear.listen, 20) == [b"READY=1"]
    parent.send(signal.SIGUSR2)
    await until(lambda: parent.said("no_hot_restart"), 20)
    assert (await asked(parent.port, get("ana"))).status == 200
    assert parent.said("process_started") == []
    ear.close()


async def test_a_process_told_to_end_by_hand_is_replaced(house):
    parent = await house.started()
    victim, other = parent.children
    os.kill(victim, signal.SIGTERM)
    await until(lambda: len(parent.said("process_ready")) == 3, 40)
    await parent.full()
    assert victim not in parent.children and other in parent.children
