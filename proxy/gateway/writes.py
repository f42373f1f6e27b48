"""
Writes: exchanges of which others are to know that they are under way, and for a while that they were.
"""

from __future__ import annotations

from proxy.gateway.exchange import Exchange


class Write(Exchange):
    """One write; tells `Settling` when it begins and when it has ended, whatever came of it."""

    __slots__ = ("_entity",)

    _entity: bytes

    def begin(self) -> None:
        """Send the request as soon as enough of it is there."""
        plan = self._plan
        self._entity = (plan.entity.of_path(self._planned.params) or b"") if plan.entity and not plan.ambiguous else b""
        if plan.component is not None:
            self._gateway.settling.began(plan.component, self._entity)
            for other in plan.affects:
                self._gateway.settling.began(other, b"")
        super().begin()

    def _record(self, status: int, now: float = 0.0) -> None:
        plan = self._plan
        if not self._recorded and plan.component is not None:
            self._gateway.settling.ended(plan.component, self._entity)
            for other in plan.affects:
                self._gateway.settling.ended(other, b"")
        super()._record(status, now)
