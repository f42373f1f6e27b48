"""
The bound of a whole exchange: `timeouts.exchange_s`, from the head of a request to the end of its answer.

Made only for exchanges that have one; the deadlines of single steps belong to the wire.
"""

from __future__ import annotations

from typing import Protocol

from proxy.wire.wheel import Timed, Wheel


class Bounded(Protocol):
    """Whatever may not take longer."""

    def expired(self, after_s: float) -> None: ...


class Bound(Timed):
    """Tells an exchange once that its time is over, unless it was lifted before."""

    __slots__ = ("_after_s", "_exchange")

    def __init__(self, exchange: Bounded, wheel: Wheel, after_s: float) -> None:
        super().__init__()
        self._exchange: Bounded | None = exchange
        self._after_s = after_s
        wheel.arm(self, after_s)

    def lift(self) -> None:
        """Forget the exchange: the wheel may hold on to the bound for a while."""
        self.due = 0
        self._exchange = None

    def on_deadline(self) -> None:
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.expired(self._after_s)
