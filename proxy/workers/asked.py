"""
One read, asked again behind its answer: of the other side, or of the same one. What comes back is compared.

Hot where every read is shadowed: equal answers are told by their bytes, and cost neither a task nor a future.
"""

from __future__ import annotations

from typing import Protocol

from proxy.core.compare import EQUAL, Answer, Comparison, compare
from proxy.core.comparerules import CompareRules
from proxy.core.errors import UpstreamError
from proxy.core.evidence import Outcome, outcome_of_equal
from proxy.core.messages import AnswerHead, SawAnswer, value_behind, value_of
from proxy.core.planted import examine
from proxy.core.rules import Side
from proxy.core.sandwich import DECLINED
from proxy.gateway.copies import Copy
from proxy.gateway.outgoing import own_location
from proxy.wire.asking import Asking
from proxy.wire.pool import Pool, Waits
from proxy.wire.upstream import Line
from proxy.workers.looking import SHADOW, Looker, Route

INLINE_BYTES = 16_384  # two answers that are longer together are compared in a thread
_CODING = b"content-encoding: "
_TYPE = b"content-type: "
_TYPE_ALONE = (b"content-type",)
_REDIRECT = range(300, 400)
_EXPLAINED = f"{Outcome.EXPLAINED}:"


class Pairing:
    """
    A read, and the answers of the two sides (or of one, asked twice), the primary's first.

    `comparison` is None as long as they were not compared; `since_s` is when the read began, `tries` how often nothing
    could be said of it, `held_bytes` what both answers count as while they wait.
    """

    __slots__ = ("comparison", "copy", "first", "held_bytes", "looker", "second", "since_s", "stood", "tries")

    def __init__(
        self, copy: Copy, looker: Looker, first: Answer, second: Answer, comparison: Comparison | None
    ) -> None:
        self.copy = copy
        self.looker = looker
        self.first = first
        self.second = second
        self.comparison = comparison
        self.since_s = copy.started_s
        self.held_bytes = 0
        self.tries = 0
        self.stood: Answer | None = None  # what the primary said when a difference stood once, and is looked at anew

    def forget(self) -> None:
        """Let go of both answers: they will be read anew."""
        self.copy = self.copy.bare()
        self.first = self.first._replace(body=b"")
        self.second = self.second._replace(body=b"")
        self.comparison = None


class Asker(Protocol):
    """Who has reads asked again, and takes what is not plainly equal."""

    origins: tuple[bytes, ...]  # of both sides, as they stand in a Location
    waits: Waits
    most_bytes: int
    heeds_versions: bool

    def pool_of(self, side: Side) -> Pool: ...
    def message(self, copy: Copy, looker: Looker, side: Side) -> bytes: ...
    def ended(self, asked: Asked, fine: bool) -> None: ...
    def answered(self, asked: Asked, head: AnswerHead) -> None: ...
    def declined(self, side: Side, retry_after: bytes) -> None: ...
    def suspect(self, pairing: Pairing) -> None: ...
    def noisy(self, pairing: Pairing) -> None: ...
    def test(self, route: Route, answer: Answer) -> None: ...


class Asked(Asking):
    """A read on its second way."""

    __slots__ = (
        "_again", "_asker", "_blocks", "_head", "_left", "_line", "copy", "head_only", "looker", "purpose", "queued_s",
        "side", "started_s",
    )  # fmt: skip

    def __init__(self, asker: Asker, copy: Copy, looker: Looker, purpose: int) -> None:
        self._asker = asker
        self.copy = copy
        self.looker = looker
        self.purpose = purpose
        self.side = looker.plan.side.other if purpose is SHADOW else looker.plan.side
        self.head_only = copy.request.method == b"HEAD"
        self.queued_s = 0.0
        self.started_s = 0.0
        self._again = False
        self._line: Line | None = None

    def start(self, now_s: float) -> None:
        """Send it."""
        self.started_s = now_s
        self._send(None)

    def _send(self, after: Line | None) -> None:
        asker = self._asker
        self._head: AnswerHead | None = None
        self._blocks: list[bytes] = []
        self._left = asker.most_bytes
        message = asker.message(self.copy, self.looker, self.side)
        self._line = asker.pool_of(self.side).send(message, self, asker.waits, False, after)

    # What the wire tells

    def answer(self, line: Line, head: AnswerHead, blocks: list[bytes], complete: bool) -> None:
        self._head = head
        self.more(line, blocks, complete)

    def more(self, line: Line, blocks: list[bytes], complete: bool) -> None:
        self._blocks += blocks
        self._left -= len(blocks[0]) if len(blocks) == 1 else sum(map(len, blocks))
        if self._left < 0:
            if not complete:
                line.cancel()
            self._end(Outcome.SKIPPED, "shadow_too_long")
        elif complete:
            self._complete()

    def failed(self, line: Line, error: UpstreamError) -> None:
        if error.stale and not self._again:
            self._again = True
            self._send(line)
        elif error.is_ours:
            self._end(Outcome.DROPPED, "pool")
        else:
            self._end(Outcome.FAILED, error.failure.value)

    # Its end

    def expire(self) -> None:
        """It has taken too long."""
        line, self._line = self._line, None
        if line is not None:
            line.cancel()
        self._end(Outcome.FAILED, "timeout")

    def drop(self, reason: str) -> None:
        """Count it as never asked."""
        if self.purpose is SHADOW:
            self.looker.route.tally.add(Outcome.DROPPED, reason)

    def _end(self, outcome: Outcome, reason: str) -> None:
        self._line = None  # it knows this one, too: nothing is to wait for the collector with a megabyte in its hands
        self._asker.ended(self, fine=outcome is not Outcome.FAILED)
        if self.purpose is SHADOW:
            self.looker.route.tally.add(outcome, reason)

    def _complete(self) -> None:
        head, copy = self._head, self.copy
        assert head is not None
        self._line = None
        status = head.status
        self._asker.ended(self, fine=status < 500 and status not in DECLINED)
        if status in DECLINED:
            self._asker.declined(self.side, value_of(head.fields, b"retry-after") or b"")
            if self.purpose is SHADOW:
                self.looker.route.tally.add(Outcome.DECLINED)
            return
        if self._asker.heeds_versions:
            self._asker.answered(self, head)
        blocks, other = copy.blocks, self._blocks
        if len(blocks) > 1:
            blocks = copy.blocks = [b"".join(blocks)]  # once, not beside its parts
        mine = blocks[0] if blocks else b""
        theirs = other[0] if len(other) == 1 else b"".join(other)
        if self.purpose is SHADOW and mine == theirs and self._heads_agree(head):
            if self.looker.route.is_due_for_test():
                test(self._asker, self.looker.route, answer_of(copy.head, mine, ()))
            count_equal(self.looker, copy, EQUAL)
        else:
            self._pair(head, mine, theirs)

    def _heads_agree(self, head: AnswerHead) -> bool:
        """Say at first sight whether all that counts of the heads is the same."""
        mine = self.copy.head
        if head.status != mine.status or head.status in _REDIRECT or self.looker.route.rules.headers != _TYPE_ALONE:
            return False
        return value_behind(head.fields, _TYPE) == value_behind(mine.fields, _TYPE)

    def _pair(self, head: AnswerHead, mine: bytes, theirs: bytes) -> None:
        """Compare two answers, or have it done."""
        copy, looker, asker = self.copy, self.looker, self._asker
        first, second = answer_of(copy.head, mine, asker.origins), answer_of(head, theirs, asker.origins)
        if self.purpose is SHADOW and looker.plan.side is not looker.plan.primary:
            first, second = second, first
        rules = looker.route.rules
        comparison = None
        if is_short(rules, first, second):
            comparison = compare(first, second, rules, most_bytes=asker.most_bytes)
        pairing = Pairing(copy, looker, first, second, comparison)
        if self.purpose is not SHADOW:
            asker.noisy(pairing)
        elif comparison is None or comparison.differences:
            asker.suspect(pairing)
        else:
            conclude_equal(asker, pairing, comparison)


def is_short(rules: CompareRules, *answers: Answer) -> bool:
    """
    Say whether answers are compared so quickly that it need not be done in a thread.

    A few bytes in a content coding may be a megabyte without it, and a path with a filter takes as long as it takes.
    """
    if rules.asks_documents or sum(len(each.body) for each in answers) > INLINE_BYTES:
        return False
    return not any(_CODING in each.fields for each in answers)


def test(asker: Asker, route: Route, answer: Answer) -> None:
    """Test the comparator with an answer, or have it done."""
    if is_short(route.rules, answer):
        route.tested(examine(answer, route.rules, route.roll))
    else:
        asker.test(route, answer)


def conclude_equal(asker: Asker, pairing: Pairing, comparison: Comparison) -> None:
    """Count two answers that differ in nothing, or of which nobody can say whether they do."""
    looker = pairing.looker
    if not comparison.is_readable:
        looker.route.tally.add(Outcome.SKIPPED, str(comparison.oddity))
        return
    if looker.route.is_due_for_test():
        test(asker, looker.route, pairing.first)
    count_equal(looker, pairing.copy, comparison)


def count_equal(looker: Looker, copy: Copy, comparison: Comparison) -> None:
    """Count two equal answers, and the rules by which they are."""
    tally = looker.route.tally
    if copy.head.status == 200 and copy.request.method == b"GET":
        tally.match(looker.entity_of(copy), comparison.explained)  # nearly always
        return
    outcome, reason = outcome_of_equal(copy.request.method, copy.head.status, bool(comparison.explained))
    tally.add(outcome, reason, b"" if reason else looker.entity_of(copy))
    for rule in comparison.explained:
        tally.note(_EXPLAINED + rule)


def answer_of(head: AnswerHead, body: bytes, origins: tuple[bytes, ...]) -> Answer:
    """Return an answer as it is compared: where a Location names its own side, only the path is left."""
    fields = own_location(head.fields, origins, b"") if head.saw & SawAnswer.LOCATION else head.fields
    return Answer(head.status, fields, body)
