"""
The load: wrk with 32 keep-alive connections and 64 users in turn, or thousands of connections that do nothing.

wrk counts; what it says is read from one JSON line that its script prints at the end.
"""

from __future__ import annotations

import json
import resource
import socket
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.bench.processes import NotReady
from tests.bench.site import LARGE_PATH, STAMPED_PATH, find

CONNECTIONS = 32
USERS = 64
READ_PATH = "/api/users/{user}?x=1"
FILES_KEPT_FREE = 300  # of the process limit, for everything that is not an idle connection

# What a browser sends; with Host and X-User-Id twelve fields.
BROWSER_FIELDS = {
    "Accept": "application/json, text/plain, */*",
    "Accept-Encoding": "gzip, deflate, br",
    "Accept-Language": "en-GB,en;q=0.9",
    "User-Agent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0 Safari/537.36",
    "Cookie": "session=8f14e45fceea167a5a36dedd4bea2543; theme=dark; consent=1",
    "Referer": "https://app.example.org/users/42",
    "Authorization": "Bearer eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiI0MiJ9.c2lnbmF0dXJl",
    "Cache-Control": "no-cache",
    "Sec-Fetch-Site": "same-origin",
    "Sec-Fetch-Mode": "cors",
}

SCRIPT = """
local requests, turn = {{}}, 0
function init(args)
  for user = 1, {users} do
    {each_user}
    requests[user] = wrk.format("GET", (string.gsub("{path}", "{{user}}", user)))
  end
end
function request()
  turn = turn % #requests + 1
  return requests[turn]
end
function done(summary, latency, requests)
  local bad = summary.errors
  io.write(string.format(
    '{{"requests": %d, "seconds": %.6f, "bytes": %d, "p50_ms": %.3f, "p99_ms": %.3f, "failed": %d}}\\n',
    summary.requests, summary.duration / 1e6, summary.bytes, latency:percentile(50) / 1e3,
    latency:percentile(99) / 1e3, bad.connect + bad.read + bad.write + bad.status + bad.timeout))
end
"""


@dataclass(frozen=True, slots=True)
class Load:
    """One kind of traffic: what is asked for, and with how many header fields besides Host."""

    name: str
    path: str  # `{user}` stands for the number of one of the users
    browser: bool = False  # send what a browser sends

    @property
    def fields(self) -> int:
        return len(BROWSER_FIELDS) + 2 if self.browser else 1


PLAIN = Load("plain, 1 field", READ_PATH)
BROWSER = Load("plain, 12 fields", READ_PATH, browser=True)
LARGE = Load("1 MiB", LARGE_PATH)
MIRROR = Load("mirror", READ_PATH)
MIRROR_PARSED = Load("mirror_parsed", STAMPED_PATH + "/{user}?x=1")


@dataclass(frozen=True, slots=True)
class Traffic:
    """What wrk saw: how much was answered, how fast, and how many requests failed (also by status)."""

    requests: int
    seconds: float
    bytes: int
    p50_ms: float
    p99_ms: float
    failed: int


def script(load: Load) -> str:
    return SCRIPT.format(
        users=USERS,
        path=load.path,
        each_user='wrk.headers["X-User-Id"] = tostring(user)' if load.browser else "",
    )


def run(load: Load, port: int, seconds: int, cpu: int, folder: Path) -> Traffic:
    """Load `port` for whole `seconds` (wrk knows no others), from `cpu`; NotReady when wrk itself fails."""
    path = folder / "load.lua"
    path.write_text(script(load))
    fields = [word for name, value in BROWSER_FIELDS.items() for word in ("-H", f"{name}: {value}")]
    command = ["taskset", "-c", str(cpu), find("wrk") or "wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s"]
    command += ["--timeout", "5s", "-s", str(path), *(fields if load.browser else []), f"http://127.0.0.1:{port}/"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 30, check=False)
    line = done.stdout.strip().rpartition("\n")[2]
    if done.returncode or not line.startswith("{"):
        raise NotReady(f"wrk failed: {done.stderr or done.stdout}")
    return Traffic(**json.loads(line))


def affordable(wanted: int) -> int:
    """Raise this process's limit of open files as far as it goes; return how many connections that allows."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return wanted if hard == resource.RLIM_INFINITY else min(wanted, hard - FILES_KEPT_FREE)


@contextmanager
def idle_connections(port: int, count: int) -> Iterator[None]:
    """Hold `count` keep-alive connections that have each been answered once, one after another."""
    held: list[socket.socket] = []
    try:
        for user in range(count):
            held.append(socket.create_connection(("127.0.0.1", port), 5))
            ask(held[-1], READ_PATH.format(user=user))
        yield
    finally:
        for connection in held:  # by reset: thousands of ports in TIME_WAIT would be missing for the next proxy
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.close()


def ask(connection: socket.socket, path: str) -> None:
    """Send one GET and read its whole answer, which has a Content-Length or comes in chunks."""
    connection.sendall(f"GET {path} HTTP/1.1\r\nHost: bench.example\r\n\r\n".encode())
    answer = b""
    while not is_complete(answer):
        piece = connection.recv(1 << 16)
        if not piece:
            raise NotReady(f"a connection was closed instead of being kept: {answer[:80]!r}")
        answer += piece


def is_complete(answer: bytes) -> bool:
    head, end, body = answer.partition(b"\r\n\r\n")
    lowered = head.lower()
    if not end:
        return False
    if b"transfer-encoding: chunked" in lowered:
        return body.endswith(b"0\r\n\r\n")
    return len(body) >= int(lowered.partition(b"content-length:")[2].partition(b"\r\n")[0])
