"""
The standard streams, made sure of: a command may be started with any of them closed (`banyan run <&-`).

Runs before anything else opens a descriptor. Otherwise the event loop gets number 0, 1 or 2 for one of its own and
ends the process, or a client's socket becomes stdout.
"""

from __future__ import annotations

import os
import sys


def open_closed_streams() -> None:
    """Open on /dev/null what was closed, so that whatever is read or written there is nothing."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:  # the lowest free number is this one
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    sys.stdin = sys.stdin or os.fdopen(0, closefd=False)
    sys.stdout = sys.stdout or os.fdopen(1, "w", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", closefd=False)
