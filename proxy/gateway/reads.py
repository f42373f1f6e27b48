"""
Reads: exchanges that the other side may answer when the chosen one fails, as long as nothing was passed on.

While another side could stand in, an answer of known length up to 64 KiB is held until it is complete, so that a torn
one can still be replaced; the rest of it has as long as its head had. Hot where nothing fails.
"""

from __future__ import annotations

from time import perf_counter

from proxy.core.breaker import ERROR, FINE
from proxy.core.errors import Failure, Sent, UpstreamError
from proxy.core.failures import after_answer
from proxy.core.messages import AnswerHead, SawAnswer
from proxy.core.rules import Side
from proxy.gateway.answers import proxy_status
from proxy.gateway.bounds import Bound
from proxy.gateway.exchange import Exchange
from proxy.gateway.legs import Leg
from proxy.wire.upstream import Line

HELD_BYTES = 65_536


class Read(Exchange):
    """One read; sends it at most once to the other side."""

    __slots__ = ("_first", "_head", "_held", "_held_bound", "_held_bytes")

    _first: tuple[AnswerHead, list[bytes], Leg] | None
    _head: AnswerHead | None
    _held: list[bytes]
    _held_bytes: int
    _held_bound: Bound  # while there is a `_head`

    def begin(self) -> None:
        """Send the request as soon as enough of it is there."""
        self._first = None  # a real answer, kept in case that no better one comes
        self._head = None  # of an answer that is held
        super().begin()

    def answer(self, line: Line, head: AnswerHead, blocks: list[bytes], complete: bool) -> None:
        """The head of an answer: passed on at once, or held while another one could replace it."""
        if complete:
            self._line = None
        is_good = (head.status < 400 and not self.fell_back) or not self._doubt(head)
        if is_good and (complete or not self._may_stand_in() or not 0 <= head.length <= HELD_BYTES):
            self._commit(head, blocks, complete)
            return
        self._head = head
        self._held = []
        self._held_bytes = 0
        leg = self._leg
        self._held_bound = Bound(self._held_too_long, leg.pool.wheel, leg.quick_waits.head_s)
        self._hold(blocks, complete)

    def more(self, line: Line, blocks: list[bytes], complete: bool) -> None:
        """More of the body."""
        if self._head is None:
            super().more(line, blocks, complete)
            return
        if complete:
            self._line = None
        self._hold(blocks, complete)

    def failed(self, line: Line | None, error: UpstreamError) -> None:
        """The side gave no usable answer, or not all of one that was held."""
        self._drop_held()
        super().failed(line, error)

    def _let_go(self) -> None:
        self._drop_held()
        super()._let_go()

    def _may_stand_in(self) -> bool:
        return (
            self._plan.fallback is not None
            and not self.fell_back
            and (self._body is not None or not self._request.length)
        )

    def _doubt(self, head: AnswerHead) -> str:
        """Say why this answer should not be the client's, if there is a better one; empty when it should."""
        status = head.status
        if status < 400 and not self.fell_back:
            return ""
        plan, replayable = self._plan, self._replayable()
        return after_answer(
            status,
            plan.fallback_on.statuses[status],
            confirm_missing=plan.confirm_missing and self._leg.side is Side.MODERN and replayable,
            fallback=plan.fallback is not None and replayable,
            fell_back=self.fell_back,
            has_first=self._first is not None,
        )

    def _hold(self, blocks: list[bytes], complete: bool) -> None:
        """Keep an answer until it is complete or too long to keep, then decide."""
        head = self._head
        assert head is not None
        self._held += blocks
        self._held_bytes += sum(map(len, blocks))
        if not complete and self._held_bytes <= HELD_BYTES and not head.saw & SawAnswer.STREAM:
            return
        self._pass_on_or_replace(head, complete)

    def _held_too_long(self, after_s: float) -> None:
        """The rest of an answer that is held has not come in time: as if its head had not."""
        head = self._head
        assert head is not None
        may_replace = Failure.TIMEOUT in self._plan.fallback_on.failures
        if self._doubt(head) or not may_replace or not self._may_stand_in():
            self._pass_on_or_replace(head, False)
            return
        line = self._line
        if line is not None:
            line.blame()
        self._let_go()
        detail = f"no complete answer within {after_s:g} s"
        self.failed(line, UpstreamError(self._leg.pool.name, Failure.TIMEOUT, Sent.COMPLETE, detail))

    def _drop_held(self) -> None:
        if self._head is not None:
            self._held_bound.lift()
            self._head = None
            self._held = []

    def _pass_on_or_replace(self, head: AnswerHead, complete: bool) -> None:
        """Decide about an answer of which all was held that ever will be."""
        held = self._held
        self._drop_held()
        reason = self._doubt(head)
        if not reason:
            self._commit(head, held, complete)
            return
        self._let_go()
        self._judge(perf_counter(), ERROR if head.status >= 500 else FINE)
        if self.fell_back:
            self._give_first()
            return
        if complete:
            self._first = (head, held, self._leg)
        self._stand_in(reason)

    def _stand_in(self, reason: str, is_ours: bool = False) -> None:
        """Ask the other side instead: visible to the client, in the log and in the counters."""
        gateway = self._gateway
        failed = self._leg.side
        self.fell_back = reason
        self._again = False
        self._leg = gateway.other_leg(self._plan)
        self._tried_s = perf_counter()
        gateway.fell_back(self._plan, failed, reason, is_ours)
        detail = f"{failed.value} was planned and failed: {reason}"
        self._added_late = b"proxy-status: %b\r\n" % proxy_status(
            gateway.manner.via_name, "", detail, next_hop=self._leg.side.value
        )
        if gateway.manner.expose:
            self._added_late += b"x-banyan-fallback: %b;%b\r\n" % (failed.value.encode(), reason.encode())
        self._send()

    def _give_up(self, error: UpstreamError) -> None:
        """A real answer is better than a problem document."""
        if self._first is not None:
            self._give_first()
        else:
            super()._give_up(error)

    def _give_first(self) -> None:
        """The other side had nothing better: the first answer stands."""
        first = self._first
        assert first is not None
        head, blocks, self._leg = first
        self._committed = True
        self._status = head.status
        self._client.answer(
            head.status, self._own_fields(head), self._added(), head.length, blocks, True, self.head_only
        )
        self._record(head.status)
