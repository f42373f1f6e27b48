"""
Lines for a stream that may fail: a full disk or a closed pipe costs lines, and never the work that wrote them.

Where it stands for stderr, no event and no warning can raise within a request. Decides nothing about what is said.
"""

from __future__ import annotations

from typing import TextIO


class Lines:
    """Writes to `out` for as long as that works; `lost` counts what did not."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self.lost = 0

    def write(self, text: str) -> int:
        """Write `text`, or lose it."""
        try:
            return self._out.write(text)
        except (OSError, ValueError):  # the latter when it is closed
            self.lost += 1
            return len(text)

    def flush(self) -> None:
        """Have written out what was written so far, or lose it."""
        try:
            self._out.flush()
        except (OSError, ValueError):
            self.lost += 1
