"""
The bounds of an exchange: `timeouts.exchange_s` for the whole of it, and how long an answer may be held back.

Made only for exchanges that have one; the deadlines of single steps belong to the wire.
"""

from __future__ import annotations

from collections.abc import Callable

from proxy.wire.wheel import Timed, Wheel


class Bound(Timed):
    """Calls `tell` once, with the seconds that have passed, unless it was lifted before."""

    __slots__ = ("_after_s", "_tell")

    def __init__(self, tell: Callable[[float], None], wheel: Wheel, after_s: float) -> None:
        super().__init__()
        self._tell: Callable[[float], None] | None = tell
        self._after_s = after_s
        wheel.arm(self, after_s)

    def lift(self) -> None:
        """Forget whom to tell: the wheel may hold on to the bound for a while."""
        self.due = 0
        self._tell = None

    def on_deadline(self) -> None:
        tell, self._tell = self._tell, None
        if tell is not None:
            tell(self._after_s)
