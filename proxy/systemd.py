"""
What systemd hands over at the start, and what it wants to hear: sockets by descriptor, readiness by datagram.

Speaks the protocols of sd_listen_fds(3) and sd_notify(3); without systemd nothing here does anything.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import MutableMapping

from proxy.core.errors import ConfigError, Position, Problem

FIRST_FD = 3
NAMES = ("data", "probes", "admin")
_VARIABLES = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")


def handed_over(env: MutableMapping[str, str], pid: int) -> dict[str, socket.socket]:
    """
    Return the listening sockets that were opened for this process, by listener; none without socket activation.

    A single socket is the data port whatever it is called. Takes the variables out of `env`, so that no child takes
    the sockets for its own. Raises ConfigError for a socket that is none of ours.
    """
    told_pid, count, names = (env.pop(name, "") for name in _VARIABLES)
    if told_pid != str(pid) or not count.isdecimal():
        return {}
    called = names.split(":") if names else []
    found: dict[str, socket.socket] = {}
    for at in range(int(count)):
        name = called[at] if at < len(called) else ""
        name = "data" if count == "1" and name not in NAMES else name
        _check_name(name, FIRST_FD + at, found)
        found[name] = _listening(FIRST_FD + at, name)
    return found


def _check_name(name: str, fd: int, found: dict[str, socket.socket]) -> None:
    if name not in NAMES:
        raise _refused(f"socket {fd} is called `{name}`; give its unit `FileDescriptorName=` data, probes or admin")
    if name in found:
        raise _refused(f"there are two sockets called `{name}`; one address each")


def _listening(fd: int, name: str) -> socket.socket:
    try:
        os.set_inheritable(fd, False)
        sock = socket.socket(fileno=fd)
    except OSError as exc:
        raise _refused(f"`{name}` is no socket: {exc.strerror}") from exc
    internet = sock.family in (socket.AF_INET, socket.AF_INET6) and sock.type == socket.SOCK_STREAM
    if not internet or not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        sock.detach()
        raise _refused(f"`{name}` is no TCP socket that listens; use `ListenStream=` with a port, without `Accept=yes`")
    sock.setblocking(False)
    return sock


def _refused(what: str) -> ConfigError:
    return ConfigError([Problem(Position("LISTEN_FDS"), "", what)])


class Notifier:
    """Tells systemd what the service is about, where it asked to be told (`Type=notify`)."""

    def __init__(self, env: MutableMapping[str, str]) -> None:
        self._address = env.pop("NOTIFY_SOCKET", "")  # children are not to speak for the service

    def tell(self, *words: str) -> None:
        """Send assignments such as READY=1; a systemd that does not listen is no fault of ours."""
        if not self._address:
            return
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.sendto("\n".join(words).encode(), address)
