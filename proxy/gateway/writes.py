"""
Writes: exchanges of which others are to know that they are under way, and for a while that they were.
"""

from __future__ import annotations

from proxy.core.errors import Sent, UpstreamError
from proxy.gateway.exchange import Exchange
from proxy.wire.upstream import Line

GAVE_UP = frozenset((502, 504))  # said by whoever stands before a side: what became of the write it does not know


class Write(Exchange):
    """One write; tells `Settling` when it begins and when it has ended, and whether anybody knows what came of it."""

    __slots__ = ("_entity", "_is_unknown")

    _entity: bytes
    _is_unknown: bool

    def begin(self) -> None:
        """Send the request as soon as enough of it is there."""
        plan = self._plan
        self._is_unknown = False
        self._entity = (plan.entity.of_path(self._planned.params) or b"") if plan.entity and not plan.ambiguous else b""
        if plan.component is not None:
            self._gateway.settling.began(plan.component, self._entity)
            for other in plan.affects:
                self._gateway.settling.began(other, b"")
        super().begin()

    def failed(self, line: Line | None, error: UpstreamError) -> None:
        """The side gave no usable answer."""
        if error.sent is not Sent.NONE and not self._committed:
            self._is_unknown = True
        super().failed(line, error)

    def _let_go(self) -> None:
        line = self._line
        if line is not None and line.is_sent() and not self._committed:
            self._is_unknown = True
        super()._let_go()

    def _record(self, status: int, now: float = 0.0) -> None:
        plan = self._plan
        if not self._recorded and plan.component is not None:
            unknown = self._is_unknown or (self._committed and status in GAVE_UP)
            self._gateway.settling.ended(plan.component, self._entity, unknown)
            for other in plan.affects:
                self._gateway.settling.ended(other, b"", unknown)
        super()._record(status, now)
