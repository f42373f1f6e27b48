"""
How much of what was written to a peer it has not taken: whether a slow reader reads at all is only seen by that.

What stands in our own buffer says too little: the kernel takes megabytes, and takes more in leaps, when a good part
of them is out. Knows transports, no messages.
"""

from __future__ import annotations

import asyncio
import sys
import termios
from fcntl import ioctl

_ROOM = bytes(4)  # for the answer, an int


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
