"""
The instances of one address book: where each is, and the connections to it.

Hot where a side has several: which one is asked next is the one with fewer requests of two chosen by chance
(Mitzenmacher, The Power of Two Choices in Randomized Load Balancing, 2001). How many it has, its connections tell.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import random
from typing import TYPE_CHECKING

from proxy.core.instances import drawn
from proxy.wire.tls import Trust
from proxy.wire.wheel import Timed

if TYPE_CHECKING:
    from proxy.wire.upstream import Upstream


@dataclass(frozen=True, slots=True)
class Place:
    """Where one instance is, and how TLS is spoken there, if it is."""

    host: str
    port: int
    tls: Trust | None = None

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Instance(Timed):
    """One instance; as a deadline, the end of its ejection."""

    __slots__ = ("_ended", "failing", "idle", "index", "lines", "opening", "place")

    def __init__(self, index: int, place: Place, ended: Callable[[Instance], None]) -> None:
        super().__init__()
        self.index = index
        self.place = place
        self.idle: list[Upstream] = []  # most recently used last
        self.lines: set[Upstream] = set()  # all connections that stand, the idle ones too
        self.opening = 0  # connections that do not stand yet
        self.failing = False  # its last answer was a 5xx, or none
        self._ended = ended

    @property
    def requests(self) -> int:
        """How many requests it has in hand."""
        return len(self.lines) - len(self.idle) + self.opening

    def on_deadline(self) -> None:
        self._ended(self)


def least_busy(asked: Sequence[Instance], avoided: Instance | None) -> Instance:
    """Return whom to ask next, not `avoided` if there is another."""
    if avoided is not None and len(asked) > 1:
        asked = [each for each in asked if each is not avoided]
    if len(asked) == 1:
        return asked[0]
    one, other = drawn(len(asked), random(), random())
    first, second = asked[one], asked[other]
    return first if first.requests <= second.requests else second
