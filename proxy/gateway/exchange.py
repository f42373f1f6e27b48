"""
One exchange: a request, the side it is sent to, and the one answer that its client gets. Writes are this; reads,
which another side may answer, and tunnels build upon it.

Hot, and driven by events: the client's connection tells of the body, the side's of the answer; nothing is awaited.
What to do was decided by the plan; what to do after a failure is decided by `core.failures`. Here it is done.
"""

from __future__ import annotations

from time import perf_counter, time
from typing import TYPE_CHECKING

from proxy.core.breaker import ERROR, FINE, State
from proxy.core.errors import POOL_FULL, Failure, Sent, UpstreamError
from proxy.core.failures import PROXY_STATUS_ERROR, Next, after_failure, counts_as, status_of
from proxy.core.instances import Blame
from proxy.core.messages import AnswerHead, RequestHead, SawAnswer, value_of
from proxy.core.phases import RequestKind
from proxy.core.plan import Planned
from proxy.gateway.answers import problem
from proxy.gateway.bounds import Bound
from proxy.gateway.copies import Copy, Watcher
from proxy.gateway.legs import Leg
from proxy.gateway.outgoing import own_location, request_message, without_validators
from proxy.gateway.records import GONE, Entry
from proxy.wire.client import Client
from proxy.wire.upstream import Line, Upstream
from proxy.wire.wheel import STALL_S

if TYPE_CHECKING:
    from proxy.gateway.gateway import Gateway

_TORN = {400: "body", 408: "body_timeout", 413: "body_bytes"}  # how a request is counted whose body ends with it
RETRY_AFTER_S = 1  # a queue that was full is another one by then
HEARD_BYTES = 65_536  # an answer for a client that left is heard to its end up to this: its connection is kept
_CLOSED = State.CLOSED  # looking a member up costs more than a comparison


class Exchange:
    """Serves one request of `client`; ends with exactly one answer, one visible abort, or a client that left."""

    __slots__ = (
        "_added_late", "_again", "_body", "_body_bytes", "_body_done", "_bound", "_client", "_committed",
        "_copy", "_forwarded", "_gateway", "_gone", "_leg", "_line", "_plan", "_planned", "_recorded", "_request",
        "_started_s", "_status", "_streaming", "_tried_s", "fell_back", "head_only", "sending", "upgrade",
    )  # fmt: skip

    def __init__(
        self, gateway: Gateway, client: Client, request: RequestHead, planned: Planned, forwarded: bytes
    ) -> None:
        self._gateway = gateway
        self._client = client
        self._request = request
        self._planned = planned
        self._plan = planned.plan
        self._forwarded = forwarded  # ready-joined Host, Via, X-Forwarded-*, X-Request-Id
        self._leg: Leg = gateway.legs.get(planned.plan) or gateway.leg(planned.plan)
        self._line: Line | None = None
        self._started_s = self._tried_s = perf_counter()
        self._status = 0
        self._again = False  # the present side was asked a second time
        self.fell_back = ""  # why the other side was asked
        self._added_late = b""
        self._bound: Bound | None = None
        self._copy: Copy | None = None  # of a read that somebody watches
        self._committed = False  # the head of an answer was passed on
        self._recorded = False
        self._gone = False  # the client left
        self._body: list[bytes] | None = None  # what was sent of it, as long as all of it can be sent again
        self._body_bytes = 0
        self._body_done = True
        self._streaming = False  # the body goes on as it comes
        self.head_only = request.method == b"HEAD"
        self.upgrade = b""
        self.sending = 0

    # The request

    def begin(self) -> None:
        """Send the request as soon as enough of it is there: at once, or when a short body is complete."""
        request, leg = self._request, self._leg
        if leg.exchange_s:
            self._bound = Bound(self.expired, leg.pool.wheel, leg.exchange_s)
        if not request.length:
            self._send()
            return
        if request.expects_continue:
            self._client.proceed()
        self._body_done = False
        self._body = []
        if not 0 < request.length <= self._gateway.manner.body_buffer_bytes:
            self._streaming = True
            self._send()
            if request.length > 0:
                self._keep_only_if_unsent()

    def body(self, data: bytes) -> None:
        """Take a block of the request's body."""
        if self._body is not None:
            self._body.append(data)
            self._body_bytes += len(data)
            if self._body_bytes > self._gateway.manner.body_buffer_bytes:
                self._keep_only_if_unsent()
        if self._streaming and self._line is not None:
            self._line.write_body(data)

    def body_end(self) -> None:
        """The request is complete."""
        self._body_done = True
        self._tried_s = perf_counter()  # how long a client took for its body says nothing of the side
        if not self._streaming:
            if self._plan.needs_entity:
                self._plan_again()
            self._send()
        elif self._line is not None:
            self._line.end_body()

    def torn(self, status: int, why: str) -> None:
        """The body will never be whole: the side must see an abort, not a short body."""
        self._let_go()
        self._gateway.records.refused.add(_TORN[status])
        if self._committed:
            self._client.abort()
            self._record(GONE)
        else:
            self._problem(status, why, "http_request_error")

    def gone(self) -> None:
        """The client left: what was not sent is dropped, a write that was sent is awaited and settled."""
        self._gone = True
        line = self._line
        is_write = self._plan.kind is RequestKind.WRITE and self._body_done and not self._committed
        if is_write and line is not None and line.is_sent():
            line.resume()
            return
        self._let_go()
        self._record(GONE)

    def expired(self, after_s: float) -> None:
        """The whole took longer than it may; what became of a write stays unknown."""
        line = self._line
        is_pending = line is not None and line.is_pending()
        if line is not None and self._body_done and not self._committed:
            line.blame()
        self._let_go()
        if self._gone:
            self._record(GONE)
        elif self._committed:
            self._client.abort()
            self._record(500)
        elif is_pending:
            detail = f"none of its connections came free within {after_s:g} s"
            error = UpstreamError(self._leg.pool.name, Failure.CONNECT, Sent.NONE, detail, kind=POOL_FULL)
            self._gateway.ran_short(self._leg.side, error)
            self._give_up(error)
        elif self._body_done:
            fault = counts_as(Next.GIVE_UP, self._leg.pool.blame(line))
            if fault is not None:
                self._judge(perf_counter(), fault)
            detail = f"no complete answer within {after_s:g} s"
            self._give_up(UpstreamError(self._leg.pool.name, Failure.TIMEOUT, Sent.COMPLETE, detail))
        else:
            self._problem(408, f"no complete request within {after_s:g} s", "http_request_error")

    def client_blocked(self) -> None:
        """The client reads slower than the side sends."""
        if self._line is not None:
            self._line.pause()

    def client_writable(self) -> None:
        """The client reads again."""
        if self._line is not None:
            self._line.resume()

    def side_blocked(self) -> None:
        """The side reads slower than the client sends."""
        if self._streaming and not self._gone:
            self._client.pause()

    def turn_came(self) -> None:
        """The request has a connection after it had to wait for one: from here on it is the side that takes time."""
        self._tried_s = perf_counter()

    def side_writable(self) -> None:
        """The side reads again, or its connection stands now."""
        if self._body is not None:
            limit = self._gateway.manner.body_buffer_bytes
            if self._request.length > limit or self._body_bytes > limit:
                self._keep_only_if_unsent()
        if self._streaming and not self._gone:
            self._client.resume()

    def _send(self, after: Line | None = None) -> None:
        leg = self._leg
        breaker = leg.breaker
        if breaker is not None and breaker.state is not _CLOSED and breaker.admit(self._tried_s):
            self._gateway.breakers.admitted()
        kept = self._body or []
        length = self._body_bytes
        self.sending = 0
        if self._streaming and not self._body_done:
            self.sending = length = self._request.length
            kept = []
        message = request_message(self._request, self._forwarded, leg.manner, leg.strips, length, kept)
        waits = leg.quick_waits if self._may_stand_in() else leg.waits
        line = self._line = leg.pool.send(message, self, waits, leg.careful, after)
        if self.sending:
            for block in self._body or ():
                line.write_body(block)
            if isinstance(line, Upstream) and not line.blocked:
                self._client.resume()  # another line may have paused it
            else:
                self._client.pause()  # until the connection stands and takes it, so that nothing piles up

    def _plan_again(self) -> None:
        """The caller's bucket depends on a key that only the body tells."""
        key = self._plan.entity
        entity = key.of_body(b"".join(self._body or ())) if key is not None else None
        if entity is None:
            return
        planned = self._planned = self._gateway.plan_again(self._request, entity)
        self._plan = planned.plan
        self._leg = self._gateway.legs.get(planned.plan) or self._gateway.leg(planned.plan)

    def _keep_only_if_unsent(self) -> None:
        """Give up what is too long to be kept, once some of it was sent; until then it is held back anyway."""
        if self._line is not None:
            if not self._line.is_sent():
                return
            self._line.allow(self._leg.waits)  # nobody else can answer any more: the side has its full time
        self._body = None
        self._gateway.records.unbuffered.add(self._plan.component or "unclaimed")

    def _replayable(self) -> bool:
        """Whether all that was sent of the request can be sent again."""
        return self._body is not None or not self._request.length

    def _may_stand_in(self) -> bool:
        """Whether another side could still answer."""
        return False

    def _let_go(self) -> None:
        line, self._line = self._line, None
        if line is not None:
            line.cancel()

    # The answer

    def answer(self, line: Line, head: AnswerHead, blocks: list[bytes], complete: bool) -> None:
        """The head of an answer, and what came of its body with it."""
        if complete:
            self._line = None
        self._commit(head, blocks, complete)

    def more(self, line: Line, blocks: list[bytes], complete: bool) -> None:
        """More of the body."""
        if complete:
            self._line = None
        if not self._gone:
            self._client.more(blocks, complete)
        if self._copy is not None and not self._copy.add(blocks):
            self._copy = None
        if complete:
            self._record(self._status)
            if self._copy is not None:
                self._hand_over(self._copy)

    def interim(self, line: Line, head: AnswerHead) -> None:
        """Early hints and their like: passed on."""
        if not self._gone:
            self._client.interim(head.status, head.fields)

    def switched(self, line: Line, head: AnswerHead, rest: bytes) -> None:
        """Never called: only a tunnel asks to switch protocols."""
        raise AssertionError("a protocol was switched that nobody asked for")

    def failed(self, line: Line | None, error: UpstreamError) -> None:
        """The side gave no usable answer."""
        self._line = None
        blame = self._leg.pool.blame(line)
        following = after_failure(
            error,
            is_read=self._plan.kind is RequestKind.READ,
            committed=self._committed,
            replayable=self._replayable() and not self._gone,
            tried_again=self._again,
            fallback=self._may_stand_in()
            and (error.sent is Sent.NONE or error.failure in self._plan.fallback_on.failures),
            others=blame is not Blame.SIDE,
        )
        fault = counts_as(following, blame)
        if error.is_ours:
            self._gateway.ran_short(self._leg.side, error)
        elif fault is not None:
            self._judge(perf_counter(), fault)
        if self._gone:
            self._record(GONE)
            return
        if following is Next.AGAIN:
            self._again = True
            self._tried_s = perf_counter()
            self._send(after=line)
        elif following is Next.OTHER:
            self._stand_in(error.failure.value, error.is_ours)
        elif following is Next.ABORT:
            self._client.abort()
            self._record(500)
        else:
            self._give_up(error)

    def _stand_in(self, reason: str, is_ours: bool = False) -> None:
        raise AssertionError("only a read may be answered by another side")

    def _give_up(self, error: UpstreamError) -> None:
        side = self._leg.side.value
        status = status_of(error)
        self._problem(status, f"{side}: {error.detail}", error.kind or PROXY_STATUS_ERROR[error.failure])

    def _problem(self, status: int, why: str, error: str) -> None:
        """Answer by a problem document."""
        retry_after_s = RETRY_AFTER_S if status == 503 else 0
        fields, body = problem(status, why, self._gateway.manner.via_name, error, retry_after_s)
        self._client.answer(status, b"", fields + self._added(), len(body), [body], True, self.head_only)
        self._record(status)

    def _commit(self, head: AnswerHead, blocks: list[bytes], complete: bool) -> None:
        """Pass an answer on: from here there is no other."""
        self._committed = True
        status = self._status = head.status
        now = perf_counter()
        self._judge(now, ERROR if status >= 500 else FINE)
        fields = head.fields
        if head.saw:
            fields = self._own_fields(head)
        client = self._client
        if not self._gone:
            client.answer(status, fields, self._added(), head.length, blocks, complete, self.head_only)
        watcher = self._leg.watcher
        if watcher is not None and not self.fell_back and not self._gone:
            self._watch(watcher, head, blocks, now)
        if complete:
            self._record(status, now)
            if self._copy is not None:
                self._hand_over(self._copy)
        elif self._gone:
            if not 0 <= head.length <= HEARD_BYTES:  # the outcome is known, and the end may never come
                self._let_go()
                self._record(status)
        elif client.blocked and self._line is not None:
            self._line.pause()  # blocked before this answer began, by interim ones

    def _watch(self, watcher: Watcher, head: AnswerHead, blocks: list[bytes], now: float) -> None:
        """Begin a copy of the read, if it is wanted and there is all of it."""
        purpose = watcher.wants(self._request, head, now) if self._body is not None or not self._request.length else 0
        if not purpose:
            return
        copy = Copy(watcher, purpose, self._request, self._forwarded, self._planned, head)
        if self._body:
            copy.body = self._body
        copy.started_s = self._started_s
        if copy.add(blocks):
            self._copy = copy

    def _hand_over(self, copy: Copy) -> None:
        """The client has all of its answer: whoever watches may have it, too."""
        self._copy = None
        if not self._gone:
            copy.watcher.take(copy)

    def _own_fields(self, head: AnswerHead) -> bytes:
        """Return an answer's fields as a client may see them."""
        gateway, fields = self._gateway, head.fields
        if head.saw & SawAnswer.VALIDATOR and self._leg.strips:
            fields = without_validators(fields)
        if head.saw & SawAnswer.LOCATION and self._request.host:
            fields = own_location(fields, gateway.origins, gateway.base_of(self._request, self._client.scheme))
        return fields

    def _added(self) -> bytes:
        """Return the lines that are added to every answer."""
        leg = self._leg
        bucket = self._planned.bucket
        added = b"%b;b%d\r\n" % (leg.added, bucket) if bucket >= 0 and leg.tells_bucket else leg.added_all
        return added + self._added_late if self._added_late else added

    # What is recorded

    def _judge(self, now: float, fault: int) -> None:
        """Let the side's breaker know of one try."""
        leg = self._leg
        breaker = leg.breaker
        elapsed_s = now - self._tried_s if self._body_done else 0.0
        if elapsed_s > STALL_S:  # what we were late ourselves says nothing of the side
            elapsed_s -= leg.pool.wheel.lost_s(self._tried_s, now)
        if breaker is not None and breaker.record(now, elapsed_s, fault):
            self._gateway.breakers.changed(leg.component, leg.side)

    def _record(self, status: int, now: float = 0.0) -> None:
        """Count the exchange and write its line, once; `now` if the clock has just been read."""
        if self._recorded:
            return
        self._recorded = True
        if self._bound is not None:
            self._bound.lift()
        now = now or perf_counter()
        elapsed_s = now - self._started_s
        leg = self._leg
        leg.classes[status // 100] += 1
        leg.latency.add(elapsed_s)
        if leg.budget is not None:
            leg.budget.read(now)
        if self._gateway.manner.access_log:
            self._write_line(status, elapsed_s)

    def _write_line(self, status: int, elapsed_s: float) -> None:
        request, planned = self._request, self._planned
        self._gateway.records.add(
            Entry(
                at=time(),
                plan=planned.plan,
                bucket=planned.bucket,
                side=self._leg.side,
                method=request.method,
                path=request.path,
                status=status,
                elapsed_s=elapsed_s,
                fallback=self.fell_back,
                client=request.peer,
                request_id=value_of(self._forwarded, b"x-request-id") or b"",
            )
        )
