"""
Copies: a read and its whole answer as they went over the wire, for whoever asks another side for the same.

Hot where reads are watched: a copy holds references to what the exchange has anyway. Made only of reads that a watcher
wants, and handed over only when the last byte of the answer was passed on; of a torn answer nothing is left.
"""

from __future__ import annotations

from typing import Protocol

from proxy.core.messages import AnswerHead, RequestHead
from proxy.core.plan import Planned


class Watcher(Protocol):
    """Who looks at the reads of one plan."""

    most_bytes: int  # of an answer's body that is kept

    def wants(self, request: RequestHead, head: AnswerHead, now_s: float) -> int:
        """Say what a read is wanted for, 0: for nothing; asked once for each answer that is passed on."""
        ...

    def take(self, copy: Copy) -> None:
        """Take a copy; the client has its answer."""
        ...

    def too_long(self) -> None:
        """A read that was wanted has a longer answer than is kept."""
        ...


class Copy:
    """One read and its answer."""

    __slots__ = (
        "blocks", "body", "forwarded", "head", "held_bytes", "planned", "purpose", "request", "started_s", "watcher",
    )  # fmt: skip

    def __init__(
        self, watcher: Watcher, purpose: int, request: RequestHead, forwarded: bytes, planned: Planned, head: AnswerHead
    ) -> None:
        self.watcher = watcher
        self.purpose = purpose  # what `wants` said
        self.request = request
        self.forwarded = forwarded  # ready-joined Host, Via, X-Forwarded-*, X-Request-Id
        self.planned = planned
        self.head = head  # of the answer, as the side sent it
        self.body: list[bytes] = []  # of the request
        self.blocks: list[bytes] = []  # of the answer's body
        self.held_bytes = 0
        self.started_s = 0.0

    def add(self, blocks: list[bytes]) -> bool:
        """Keep more of the answer; return False when it has become too long to be kept."""
        self.held_bytes += len(blocks[0]) if len(blocks) == 1 else sum(map(len, blocks))
        if self.held_bytes > self.watcher.most_bytes:
            self.watcher.too_long()
            return False
        self.blocks += blocks
        return True

    def bare(self) -> Copy:
        """Return a copy of the read without its answer's body, for whoever reads it anew."""
        bare = Copy(self.watcher, self.purpose, self.request, self.forwarded, self.planned, self.head)
        bare.body = self.body
        bare.started_s = self.started_s
        return bare
