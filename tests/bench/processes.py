"""
Processes under measurement: started on one CPU, known to be ready, their cost read from /proc, stopped for certain.

Knows neither proxies nor load.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType

READY_WITHIN_S = 15.0
STOP_WITHIN_S = 8.0
POLL_S = 0.005
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class NotReady(Exception):
    """A process ended, or did not answer in time; the text has the last lines it wrote."""


class Running:
    """
    One server and its children, alone on `cpu`; its output goes to `<folder>/<name>.log`.

    A context manager: on leaving, the whole process group is gone.
    """

    def __init__(
        self, name: str, command: Sequence[str], cpu: int, folder: Path, env: Mapping[str, str] | None = None
    ) -> None:
        self.name = name
        self._log = folder / f"{name.replace(' ', '-')}.log"
        self.started = time.monotonic()
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                ["taskset", "-c", str(cpu), *command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=folder,
                env=dict(env) if env is not None else None,
                start_new_session=True,
            )

    def __enter__(self) -> Running:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._signal(signal.SIGTERM)
        try:
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(STOP_WITHIN_S)
        finally:
            self._signal(signal.SIGKILL)
            self._process.wait()

    def _signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)

    def idle(self, seconds: float) -> None:
        """Let `seconds` pass; NotReady when the process ends meanwhile."""
        try:
            code = self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return
        tail = "\n".join(self._log.read_text(errors="replace").splitlines()[-8:])
        raise NotReady(f"{self.name} ended with exit code {code}:\n{tail}")

    def ready(self, port: int, path: str) -> float:
        """Return the seconds from the start of the process until `path` is answered with a 200."""
        while not answers(port, path):
            if time.monotonic() - self.started > READY_WITHIN_S:
                raise NotReady(f"{self.name} does not answer {path} within {READY_WITHIN_S:g} s")
            self.idle(POLL_S)
        return time.monotonic() - self.started

    def cpu_s(self) -> float:
        """Return the CPU time of the process tree so far, user and system; the kernel counts in ticks of 10 ms."""
        return sum(cpu_ticks(pid) for pid in tree(self._process.pid)) / TICKS_PER_S

    def rss_kb(self) -> int:
        """Return the resident memory of the process tree in KB; pages that its processes share count for each."""
        return sum(resident_kb(pid) for pid in tree(self._process.pid))


def tree(pid: int) -> list[int]:
    """Return `pid` and all its descendants that live now."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        fields = stat_fields(int(entry.name)) if entry.name.isdigit() else []
        if fields:
            children.setdefault(int(fields[1]), []).append(int(entry.name))
    found = [pid]
    for parent in found:
        found += children.get(parent, ())
    return found


def stat_fields(pid: int) -> list[str]:
    """Return the fields of /proc/PID/stat from the third on (the state); empty when the process is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def cpu_ticks(pid: int) -> int:
    fields = stat_fields(pid)
    return int(fields[11]) + int(fields[12]) if fields else 0


def resident_kb(pid: int) -> int:
    try:
        found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    except OSError:
        return 0
    return int(found[1]) if found else 0


def busy_s(cpu: int) -> float:
    """Return how long `cpu` has worked for anyone since the machine started, time stolen by its host included."""
    for line in Path("/proc/stat").read_text().splitlines():
        name, *ticks = line.split()
        if name == f"cpu{cpu}":
            user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, ticks[:8])
            return (user + nice + system + irq + softirq + steal) / TICKS_PER_S
    return 0.0


def free_ports(count: int) -> list[int]:
    """Return ports of loopback that nothing listens on now, each another one."""
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [listener.getsockname()[1] for listener in held]
    for listener in held:
        listener.close()
    return ports


def request(port: int, path: str) -> bytes:
    """Return the whole answer to one GET on a connection of its own; less, or nothing, when it takes over a second."""
    message = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n"
    answer = b""
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1) as connection:
        connection.sendall(message.encode())
        while piece := connection.recv(1 << 16):
            answer += piece
    return answer


def answers(port: int, path: str) -> bool:
    return request(port, path).startswith(b"HTTP/1.1 200")
