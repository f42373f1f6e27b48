"""
Lines for a stream that may fail and that others write to as well: a full disk or a closed pipe costs lines, and never
the work that wrote them; and each line goes out in one piece, also where Python buffers nothing (PYTHONUNBUFFERED).

Where it stands for stderr, no event and no warning can raise within a request. Decides nothing about what is said.
"""

from __future__ import annotations

from typing import TextIO


class Lines:
    """Writes to `out` for as long as that works; `lost` counts what did not. One writer at a time."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._begun = ""
        self.lost = 0

    def write(self, text: str) -> int:
        """Write `text` once its line is whole, or lose it."""
        self._begun += text
        if text.endswith("\n"):
            line, self._begun = self._begun, ""
            try:
                self._out.write(line)
            except (OSError, ValueError):  # the latter when it is closed
                self.lost += 1
        return len(text)

    def flush(self) -> None:
        """Have written out what was written so far, or lose it."""
        try:
            self._out.flush()
        except (OSError, ValueError):
            self.lost += 1
