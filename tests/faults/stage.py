"""
What a fault is played on: a real `banyan run` between two sides that are processes of their own, and a real store.

Opens and closes things; knows no faults and judges nothing.
"""

from __future__ import annotations

import asyncio
import shutil
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.faults.faultproxy import FaultProxy
from tests.faults.side import Deed, deeds
from tests.replicas import Replica, scrape
from tests.store.servers import Server, binaries, free_port
from tests.waiting import until

WEIGHT = 50
USERS: Mapping[str, Any] = {
    "component": "users",
    "weight": WEIGHT,
    "shadow": 0,  # what is counted at a side is what the load sent
    "sticky": ["header:x-user-id"],
    "routes": {"/api/users": {}, "/api/users/{id}": {}},
}


class SideProcess:
    """One side; `kill`, `hang` and `start` are what happens to it in production."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.port = free_port()
        self.log = folder / f"{name}.log"
        self._errors = folder / f"{name}.err"
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start it on its port, and wait until it listens."""
        with self._errors.open("ab") as errors:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "tests.faults.side", self.name, str(self.port), str(self.log),
                stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=errors,
                cwd=Path(__file__).parents[2],
            )  # fmt: skip
        assert self._process.stdout is not None
        said = await self._process.stdout.readline()
        assert said == b"ready\n", self.complaints

    async def obey(self, order: str) -> None:
        """Change its manner, and wait until it has."""
        process = self._process
        assert process is not None and process.stdin is not None and process.stdout is not None
        process.stdin.write(order.encode() + b"\n")
        assert await process.stdout.readline() == order.encode() + b"\n"

    async def kill(self) -> None:
        """End it at once (SIGKILL)."""
        if self._process is not None and self._process.returncode is None:
            with suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGCONT)
                self._process.kill()
            await self._process.wait()

    def hang(self) -> None:
        """Stop it in its tracks (SIGSTOP): the kernel goes on accepting connections for it."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    @property
    def deeds(self) -> list[Deed]:
        return list(deeds(self.log))

    @property
    def complaints(self) -> str:
        """What it wrote to stderr; a side that was never sent anything malformed has nothing to say."""
        return self._errors.read_text() if self._errors.exists() else ""


@dataclass
class Stage:
    """Everything that a fault may be done to."""

    folder: Path
    store: Server
    legacy: SideProcess
    modern: SideProcess
    replica: Replica
    proxies: dict[str, FaultProxy] = field(default_factory=dict)
    users: Mapping[str, Any] = field(default_factory=lambda: USERS)  # the rules in force
    said: list[str] = field(default_factory=list)  # what gateways of before wrote to stderr

    @property
    def alive(self) -> bool:
        return self.replica.process is not None and self.replica.process.returncode is None

    async def restart(self) -> int:
        """Let the gateway end in order and start it again, on the same port; return its exit code."""
        self.replica.terminate()
        code = await self.replica.wait(60)
        self.said.append(self.replica.stderr)
        await self.replica.start()
        return code

    async def rule(self, **changes: Any) -> None:
        """Edit the rule file, and wait until the gateway goes by it; at once if nothing changes."""
        users = {**self.users, **changes}
        if users == self.users:
            return
        before = await self.metric("banyan_rule_version")
        self.users = users
        self.replica.rules(users)

        async def follows() -> bool:
            return await self.metric("banyan_rule_version") > before

        await until(follows, 20)

    async def metric(self, begins: str) -> float:
        """Return the sum of the samples whose name (and labels) begin like this."""
        samples = await scrape(self.replica.probes)
        return sum(value for name, value in samples.items() if name.startswith(begins))

    async def ready(self) -> None:
        """Wait until the rules are in force."""

        async def weighted() -> bool:
            return await self.metric("banyan_weight_percent") == WEIGHT

        await until(weighted, 20)


@asynccontextmanager
async def set_up(
    proxied: bool, instances: int, rules: Mapping[str, Any], settings: Mapping[str, Any]
) -> AsyncIterator[Stage]:
    """
    Open a stage; `settings` differ from the gateway's defaults, `rules` from those of USERS.

    `proxied` puts a fault proxy before each side. Of several `instances` of modern the first one is `Stage.modern`, and
    the one behind the proxy; all of them write into the same log.
    """
    async with AsyncExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="bnf", dir="/tmp"))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        found = binaries()
        store = Server(found.get("redis", found["valkey"]))
        stack.push_async_callback(store.close)
        await store.start()
        sides = {name: SideProcess(name, folder) for name in ("legacy", "modern")}
        proxies: dict[str, FaultProxy] = {}
        for name, side in sides.items():
            stack.push_async_callback(side.kill)
            await side.start()
            if proxied:
                proxies[name] = FaultProxy(side.port, seed=1)
                await proxies[name].start()
                stack.push_async_callback(proxies[name].close)
        others = [SideProcess("modern", folder) for _ in range(1, instances)]
        for side in others:
            stack.push_async_callback(side.kill)
            await side.start()
        ports = {name: (proxies or sides)[name].port for name in sides}
        listen = {"listen": f"127.0.0.1:{free_port()}"}
        of_sides = settings.get("sides", {})
        general = {name: value for name, value in settings.items() if name != "sides"}
        replica = Replica(store.url, ports["legacy"], ports["modern"], **listen, **general)
        for name, more in of_sides.items():
            replica.settings["sides"][name].update(more)
        if others:
            first = replica.settings["sides"]["modern"].pop("url")
            urls = [first, *(f"http://127.0.0.1:{side.port}" for side in others)]
            replica.settings["sides"]["modern"]["urls"] = urls
        users = {**USERS, **rules}
        replica.rules(users)
        stack.push_async_callback(replica.close)
        await replica.start()
        stage = Stage(folder, store, sides["legacy"], sides["modern"], replica, proxies, users)
        await stage.ready()
        yield stage
