from __future__ import annotations

import json
import os
import socket
import subprocess
from pathlib import Path

import pytest

from proxy.systemd import Notifier
from tests.activation import activated

CODE = """
import json, os, sys
from proxy.core.errors import ConfigError
from proxy.systemd import handed_over
env = dict(os.environ)
if sys.argv[1] != "us":
    env["LISTEN_PID"] = sys.argv[1]
try:
    found = handed_over(env, os.getpid())
    told = {name: [sock.getsockname()[1], sock.getblocking(), sock.get_inheritable()] for name, sock in found.items()}
except ConfigError as exc:
    told = str(exc)
print(json.dumps([told, sorted(name for name in env if name.startswith("LISTEN_"))]))
"""


def handed(sockets: list[socket.socket], names: str | None, pid: str = "us", count: int | None = None) -> list[object]:
    """Start a process with these sockets; return what it took, and the variables that were left."""
    env = {**os.environ, "LISTEN_FDS": str(len(sockets) if count is None else count)}
    env |= {"LISTEN_FDNAMES": names} if names is not None else {}
    with activated(sockets, ["-c", CODE, pid]) as (command, fds):
        said = subprocess.run(command, capture_output=True, text=True, env=env, pass_fds=fds, check=True)
    found: list[object] = json.loads(said.stdout)
    return found


def listening() -> socket.socket:
    return socket.create_server(("127.0.0.1", 0))


def port(sock: socket.socket) -> int:
    return int(sock.getsockname()[1])


def test_sockets_are_taken_by_their_names():
    sockets = [listening() for _ in range(3)]
    found, left = handed(sockets, "admin:data:probes")
    assert found == {
        name: [port(sock), False, False] for name, sock in zip(("admin", "data", "probes"), sockets, strict=True)
    }
    assert left == []  # no child takes them for its own


@pytest.mark.parametrize("names", [None, "banyan.socket", "data"])
def test_one_socket_alone_is_for_data(names):
    sock = listening()
    assert handed([sock], names)[0] == {"data": [port(sock), False, False]}


def test_a_single_socket_may_be_for_something_else():
    sock = listening()
    assert handed([sock], "probes")[0] == {"probes": [port(sock), False, False]}


def test_what_was_meant_for_another_process_is_left():
    assert handed([listening()], "data", pid="1")[0] == {}


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ("data:web", "socket 4 is called `web`; give its unit `FileDescriptorName=` data, probes or admin"),
        ("data", "socket 4 is called ``"),
        ("data:data", "there are two sockets called `data`; one address each"),
    ],
)
def test_a_socket_that_is_none_of_ours_is_refused(names, said):
    found, _ = handed([listening(), listening()], names)
    assert str(found).startswith("LISTEN_FDS: ") and said in str(found)


def test_only_tcp_sockets_that_listen_will_do(tmp_path):
    unix = socket.socket(socket.AF_UNIX)
    unix.bind(str(tmp_path / "s"))
    unix.listen()
    bound = socket.socket()
    bound.bind(("127.0.0.1", 0))
    datagram = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    for sock in (unix, bound, datagram):
        assert "`data` is no TCP socket that listens" in str(handed([sock], "data")[0])
    assert "`data` is no socket" in str(handed([], "data", count=1)[0])


@pytest.mark.parametrize("abstract", [False, True])
def test_systemd_is_told(tmp_path: Path, abstract: bool):
    address = f"\0banyan-test-{os.getpid()}" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear:
        ear.bind(address)
        ear.settimeout(5)
        env = {"NOTIFY_SOCKET": address.replace("\0", "@")}
        notifier = Notifier(env)
        notifier.tell("READY=1", "STATUS=serving")
        assert ear.recv(100) == b"READY=1\nSTATUS=serving"
        assert env == {}


def test_without_systemd_nobody_is_told():
    Notifier({}).tell("READY=1")
    Notifier({"NOTIFY_SOCKET": "/no/such/socket"}).tell("READY=1")
