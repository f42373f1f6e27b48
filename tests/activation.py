"""Starting a process as systemd does for a unit with sockets: its descriptors from 3 on, and variables that say so."""

from __future__ import annotations

import fcntl
import os
import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

LAUNCH = """
import os, sys
for at, fd in enumerate(filter(None, sys.argv[1].split(","))):
    os.dup2(int(fd), 3 + at)
os.environ["LISTEN_PID"] = str(os.getpid())
os.execv(sys.executable, [sys.executable, *sys.argv[2:]])
"""


@contextmanager
def activated(sockets: Sequence[socket.socket], arguments: Sequence[str]) -> Iterator[tuple[list[str], list[int]]]:
    """Give the command that runs `python *arguments` with these sockets, and the descriptors that it has to inherit."""
    fds = [fcntl.fcntl(sock.fileno(), fcntl.F_DUPFD, 30) for sock in sockets]
    try:
        yield [sys.executable, "-I", "-S", "-c", LAUNCH, ",".join(map(str, fds)), *arguments], fds
    finally:
        for fd in fds:
            os.close(fd)
