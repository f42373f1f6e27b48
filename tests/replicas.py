"""Real replicas for the tests: `banyan run` as child processes, with their own configuration, rules and ports."""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from tests.waiting import until

USERS = {
    "component": "users",
    "kind": "entity",
    "weight": 25,
    "shadow": 0,  # what a test counts at a side is what it sent
    "routes": {"/api/users": {}, "/api/users/{id}": {"entity": "{id}"}},
}


class Replica:
    """One gateway process; its folder has config.yaml and rules/, and is removed by `close`."""

    def __init__(self, store: str, legacy: int, modern: int, **settings: Any) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="bnr", dir="/tmp"))
        self.settings: dict[str, Any] = {
            "listen": "127.0.0.1:0",
            "probes": {"listen": "127.0.0.1:0"},
            "admin": {"listen": "127.0.0.1:0"},
            "sides": {
                "legacy": {"url": f"http://127.0.0.1:{legacy}"},
                "modern": {"url": f"http://127.0.0.1:{modern}"},
            },
            "store": store,
            "access_log": False,
            **settings,
        }
        (self.folder / "rules").mkdir()
        self.process: asyncio.subprocess.Process | None = None
        self.port = self.probes = self.admin = 0
        self.prefix: tuple[str, ...] = ()  # of the command: `prlimit …`

    def rules(self, *components: Mapping[str, Any]) -> None:
        """Write rule files."""
        for component in components:
            text = yaml.safe_dump(dict(component), sort_keys=False)
            (self.folder / "rules" / f"{component['component']}.yaml").write_text(text)

    @property
    def log(self) -> list[dict[str, Any]]:
        """What the process wrote to stderr, parsed; lines that are no JSON are failures of ours."""
        path = self.folder / "log"
        return [json.loads(line) for line in path.read_text().splitlines() if line.startswith("{")]

    @property
    def stderr(self) -> str:
        return (self.folder / "log").read_text()

    async def start(self, ready: bool = True) -> Replica:
        """Start it, and wait until it listens."""
        (self.folder / "config.yaml").write_text(yaml.safe_dump(self.settings))
        with (self.folder / "log").open("wb") as log:
            self.process = await asyncio.create_subprocess_exec(
                *self.prefix, sys.executable, "-c", "from proxy.cli import main; raise SystemExit(main())", "run",
                cwd=self.folder, stdout=log, stderr=log, stdin=asyncio.subprocess.DEVNULL,
            )  # fmt: skip
        if ready:
            said = await until(self._ready, 30)
            self.port, self.probes, self.admin = (
                int(said[name].rpartition(":")[2]) for name in ("data", "probes", "admin")
            )
        return self

    def _ready(self) -> dict[str, Any] | None:
        assert self.process is not None
        if self.process.returncode is not None:
            raise AssertionError(f"banyan run ended with {self.process.returncode}:\n{self.stderr}")
        return next((line for line in self.log if line.get("event") == "ready"), None)

    @property
    def rss_bytes(self) -> int:
        """Resident memory now."""
        assert self.process is not None
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1]) * 1024

    def terminate(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)

    async def wait(self, within_s: float = 30) -> int:
        """Wait for its end and return the exit code."""
        assert self.process is not None
        async with asyncio.timeout(within_s):
            return await self.process.wait()

    async def close(self) -> None:
        """Kill it if it still runs, and remove its folder."""
        if self.process is not None and self.process.returncode is None:
            self.process.kill()
            await self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


async def scrape(port: int) -> dict[str, float]:
    """Return the samples of /metrics by name and labels as they stand there."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
    text = (await reader.read()).decode()
    writer.close()
    samples = {}
    for line in text.splitlines():
        if line.startswith("banyan_"):
            name, _, value = line.rpartition(" ")
            samples[name] = float(value)
    return samples


async def fetch(port: int, path: str) -> tuple[int, Any]:
    """GET a JSON document of a listener."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode())
    head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    return int(head[9:12]), json.loads(body)
