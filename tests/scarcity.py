"""Shortages for tests: a process that has no descriptor left, an address that takes no connection."""

from __future__ import annotations

import os
import resource
import socket
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def no_descriptors() -> Iterator[None]:
    """Let this process open nothing; what is open stays so."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.open(os.devnull, os.O_RDONLY)  # the lowest number there is
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def fill_up(full: socket.socket, port: int = 0) -> list[socket.socket]:
    """Let `full` listen without taking any connection, as if packets to it were lost; return what fills its queue."""
    full.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    full.bind(("127.0.0.1", port))
    full.listen(0)
    filling = [socket.socket() for _ in range(8)]
    for sock in filling:
        sock.setblocking(False)
        sock.connect_ex(full.getsockname())
    return filling
