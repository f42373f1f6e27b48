"""
The beginning of a request's head that comes in pieces: kept, and refused as soon as no head can come of it.

Only made for heads that do not come whole. Bounded by the limits; knows bytes, no connection.
"""

from __future__ import annotations

from proxy.core.limits import WireLimits
from proxy.wire.heads import Refused, check_early

_LINE_SLACK = 100  # of a request line beyond its target: method and version


class PartialHead:
    """What there is of a head. Raises Refused, from the constructor on, once it is none."""

    __slots__ = ("_limits", "_searched", "held")

    def __init__(self, data: bytes, limits: WireLimits) -> None:
        self.held = bytearray(data)
        self._limits = limits
        self._searched = 0
        self._check(data)

    def add(self, data: bytes) -> bytes:
        """Return all that came so far once the empty line is there, before that nothing."""
        held = self.held
        if held == b"\r":  # half of an empty line: look at all of it anew
            return b"\r" + data
        held += data
        if held.find(b"\r\n\r\n", self._searched) >= 0:
            return bytes(held)  # what stands behind the head is not for the early check
        self._check(data)
        return b""

    def _check(self, new: bytes) -> None:
        held, limits = self.held, self._limits
        if held == b"\r":
            return
        self._searched = max(0, len(held) - 3)
        if len(held) > limits.target_bytes + _LINE_SLACK and held.find(b"\n", 0, limits.target_bytes + _LINE_SLACK) < 0:
            raise too_long(held, limits)
        if len(held) > limits.head_bytes:
            raise too_long(held, limits)
        check_early(held, new)


def too_long(data: bytes | bytearray, limits: WireLimits) -> Refused:
    """Return the refusal of a head that is longer than its limit: 414 if the fault is the target's."""
    line_bytes = data.find(b"\r\n")
    if line_bytes < 0 or line_bytes > limits.target_bytes:
        return Refused(414, f"the target is longer than {limits.target_bytes} bytes", "target")
    return Refused(431, f"the head is longer than {limits.head_bytes} bytes", "head")
