"""
What was written to a peer and not taken: how much it is, for whether a slow reader reads at all is only seen by that,
and an end without it.

What stands in our own buffer says too little: the kernel takes megabytes, and takes more in leaps, when a good part
of them is out. Knows transports, no messages.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import sys
import termios
from fcntl import ioctl

_ROOM = bytes(4)  # for the answer, an int
_AT_ONCE = struct.pack("ii", 1, 0)  # SO_LINGER: closing resets the connection


def unsent_bytes(transport: asyncio.Transport) -> int:
    """Return how many bytes the peer has not acknowledged: those in our buffer, and those in the kernel's queue."""
    ours = transport.get_write_buffer_size()
    sock = transport.get_extra_info("socket")
    if sock is None:
        return ours
    try:
        queued = ioctl(sock.fileno(), termios.TIOCOUTQ, _ROOM)  # SIOCOUTQ by another name
    except OSError:  # closed by now, or a kernel that does not tell
        return ours
    return ours + int.from_bytes(queued, sys.byteorder)


def reset(transport: asyncio.Transport) -> None:
    """Close the connection by a reset: no peer takes it for an orderly end, and the kernel keeps nothing for it."""
    sock = transport.get_extra_info("socket")
    if sock is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
    transport.abort()
