"""
Where the story of the demo happens: a temporary folder, both applications, and a real gateway with its store.

Starts all of it, waits until it is ready, gives the story the handles that an operator has (verbs, rule files,
plain Redis commands, metrics), and clears everything away again.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self
from urllib.parse import unquote

import orjson
from prometheus_client.parser import text_string_to_metric_families

from proxy.demo.children import Child, clean_environment
from proxy.demo.web import NoAnswer, Web
from proxy.store.embedded import address_of

START_S = 30.0
VERB_S = 30.0
RULES = Path(__file__).parent / "rules"
BANYAN = ("-c", "import sys; from proxy.cli import main; sys.exit(main())")
_CONFIG = """\
# Written by `banyan demo`; `banyan -c {folder}/config.yaml status` works while it runs.
listen: 127.0.0.1:{ports.data}
admin: {{listen: 127.0.0.1:{ports.admin}}}
probes: {{listen: 127.0.0.1:{ports.probes}}}
sides:
  legacy: {{url: http://127.0.0.1:{ports.legacy}}}
  modern: {{url: http://127.0.0.1:{ports.modern}}}
store: embedded
data_dir: data
rules: rules
access_log: false              # the demo may run for days
drain_s: 2
# Both sides are next door: what was written settles at once, and reading again costs little.
shadow: {{settle_s: 0.2, rereads_per_s: 200}}
"""


class StageError(Exception):
    """Something that the story needs did not come to be."""


@dataclass(frozen=True, slots=True)
class Ports:
    """Where everything listens on 127.0.0.1; the defaults, or others where they are taken."""

    data: int = 8080
    admin: int = 8081
    probes: int = 8082
    legacy: int = 9001
    modern: int = 9002


class Stage:
    """Everything that runs; `async with` starts it and leaves nothing behind."""

    def __init__(self, ports: Ports | None = None) -> None:
        self.ports = ports or free_ports()

    async def __aenter__(self) -> Self:
        self.folder = Path(tempfile.mkdtemp(prefix="banyan-demo-"))
        self._children: list[Child] = []
        self._web = Web()
        try:
            self.web = await self._web.__aenter__()
            self._lay_out()
            await self._start()
        except BaseException:
            await self._clear()
            raise
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._clear()

    @property
    def origin(self) -> str:
        """Where the readers go."""
        return f"http://127.0.0.1:{self.ports.data}"

    @property
    def config(self) -> Path:
        return self.folder / "config.yaml"

    def rule_file(self, component: str) -> Path:
        return self.folder / "rules" / f"{component}.yaml"

    def pid_of(self, name: str) -> int:
        """Return the process id of `legacy`, `modern` or the `gateway`."""
        return next(child.pid for child in self._children if child.name == name)

    def raise_if_ended(self, *names: str) -> None:
        """Raise StageError when one of the processes named, or any without names, has ended that should not have."""
        for child in self._children:
            if child.ended and (not names or child.name in names):
                raise StageError(f"{child.name} has ended:\n{child.last_words()}")

    async def banyan(self, *words: str) -> str:
        """Run a verb as an operator would and return what it printed; StageError when it fails."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *BANYAN,
            "-c",
            str(self.config),
            *words,
            env=clean_environment(os.environ),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        try:
            printed, _ = await asyncio.wait_for(process.communicate(), VERB_S)
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        if process.returncode:
            raise StageError(f"`banyan {' '.join(words)}` ended with {process.returncode}: {printed.decode().strip()}")
        return printed.decode()

    @property
    def store_socket(self) -> str:
        """The unix socket of the embedded store, for redis-cli -s."""
        return unquote((address_of(self.folder / "data") or "").removeprefix("unix://"))

    async def redis(self, *words: str) -> str:
        """Send one plain command to the store and return the first line of its reply, without a Redis library."""
        reader, writer = await asyncio.open_unix_connection(self.store_socket)
        try:
            writer.write(" ".join(words).encode() + b"\r\n")
            reply = (await asyncio.wait_for(reader.readline(), VERB_S)).decode().strip()
        finally:
            writer.close()
        if not reply or reply.startswith("-"):
            raise StageError(f"the store answers {' '.join(words)} with {reply!r}")
        return reply

    async def fault(self, kind: str, for_s: float) -> None:
        """Let modern fail for a while."""
        await self._tell_modern("POST", "/_demo/fault", {"kind": kind, "for_s": for_s})

    async def plant(self, defect: str) -> None:
        """Give modern a defect, one of `defects.Defect`; it shows in the next read."""
        await self._tell_modern("PUT", f"/_demo/defects/{defect}")

    async def heal(self, defect: str) -> None:
        """Take a defect from modern; nothing of it stays."""
        await self._tell_modern("DELETE", f"/_demo/defects/{defect}")

    async def _tell_modern(self, method: str, path: str, body: object = None) -> None:
        reply = await self.web.ask(method, f"http://127.0.0.1:{self.ports.modern}{path}", body)
        if reply.status != 204:
            raise StageError(f"modern does not do as told: {reply.body.decode()}")

    async def admin(self, path: str, body: object = None) -> Any:
        """Return what the operator's API says; with a body it is a POST."""
        method = "GET" if body is None else "POST"
        reply = await self.web.ask(method, f"http://127.0.0.1:{self.ports.admin}{path}", body)
        if reply.status != 200:
            raise StageError(f"the operator's API answers {path} with {reply.status}: {reply.body.decode()}")
        return orjson.loads(reply.body)

    async def metric(self, name: str, **labels: str) -> float:
        """Return the sum of a metric's samples that have these labels; 0 without any."""
        reply = await self.web.ask("GET", f"http://127.0.0.1:{self.ports.probes}/metrics", accept="text/plain")
        families = text_string_to_metric_families(reply.body.decode())
        samples = (sample for family in families for sample in family.samples if sample.name == name)
        return sum(sample.value for sample in samples if labels.items() <= sample.labels.items())

    def _lay_out(self) -> None:
        shutil.copytree(RULES, self.folder / "rules")
        self.config.write_text(_CONFIG.format(folder=self.folder, ports=self.ports))

    async def _start(self) -> None:
        ports, data = self.ports, self.folder / "applications"
        commands: dict[str, Sequence[str]] = {
            "legacy": _application("legacy", ports.legacy, data),
            "modern": _application("modern", ports.modern, data),
            "gateway": (*BANYAN, "run", "-c", str(self.config)),
        }
        for name, command in commands.items():
            self._children.append(await Child.start(name, command, self.folder))
        for port, path in ((ports.legacy, "/healthz"), (ports.modern, "/healthz"), (ports.probes, "/readyz")):
            await self._ready(f"http://127.0.0.1:{port}{path}")

    async def _ready(self, url: str) -> None:
        clock = asyncio.get_running_loop().time
        deadline = clock() + START_S
        reply = "nothing"
        while clock() < deadline:
            self.raise_if_ended()
            try:
                answer = await self.web.ask("GET", url)
            except NoAnswer as exc:
                reply = str(exc)
            else:
                if answer.status == 200:
                    return
                reply = f"{answer.status} {answer.body.decode(errors='replace')}"
            await asyncio.sleep(0.05)
        raise StageError(f"{url} is not ready after {START_S:g} s: {reply}")

    async def _clear(self) -> None:
        """Stop the gateway first, so that it drains into applications that still answer."""
        await self._web.__aexit__()
        for child in reversed(self._children):
            await child.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


def _application(name: str, port: int, data: Path) -> tuple[str, ...]:
    """Return what starts an application: noisy, as most are, so that whoever compares the two has to see through it."""
    return ("-m", f"proxy.demo.{name}", "--port", str(port), "--data", str(data / name), "--noise")


def free_ports(wanted: Ports | None = None) -> Ports:
    """Return the wanted ports, or a free one for each that is taken."""
    wanted = wanted or Ports()
    held: list[socket.socket] = []
    try:
        chosen = [_hold(getattr(wanted, name), held.append) for name in Ports.__dataclass_fields__]
    finally:
        for sock in held:
            sock.close()
    return Ports(*chosen)


def _hold(port: int, keep: Callable[[socket.socket], None]) -> int:
    """Bind `port`, or any if it is taken, and keep it so that no later one gets it too; return which it was."""
    sock = socket.socket()
    keep(sock)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind(("127.0.0.1", port))
    except OSError:
        sock.bind(("127.0.0.1", 0))
    return int(sock.getsockname()[1])
