"""
Whether what came of a conversation is right: every byte that the sides and the callers got, held against the plan.

The plan is what a second and stricter reader makes of what the callers sent (`reader`), and of what the sides replied.
A side must have seen exactly a prefix of the planned requests; a caller must have got whole answers, each its own
request's, or a visible end. Raises Finding.
"""

from __future__ import annotations

from collections import Counter, deque

from tests.fuzz.answers import Answer, Finding, read_answer
from tests.fuzz.conversation import Drain
from tests.fuzz.differences import answer_differs, answer_fields_differ, request_differs
from tests.fuzz.peers import Asked, Caller, Line
from tests.fuzz.reader import (
    BAD,
    GOOD,
    OPEN,
    SWITCHED,
    WHOLE,
    Outcome,
    Planned,
    next_request,
)
from tests.fuzz.world import HELD_BYTES, World

_AMPLE = 1024  # connections to a side: nobody has to wait for one


def judge(world: World, released: bool, tally: Counter[str] | None = None) -> None:
    """Raise Finding for the first thing that is wrong; `released`: all time has passed by now."""
    if world.faults:
        raise Finding("exception", "; ".join(world.faults))
    if released and world.left_over:
        raise Finding("left over", "; ".join(world.left_over))
    for line in world.lines:
        if line.odd:
            raise Finding("no request", f"a side got {line.odd[:300]!r}")
        _line_was_clean(line)
    addresses = {caller.address for caller in world.callers.values()}
    for asked in world.asked:
        if asked.address not in addresses:
            raise Finding("whose request", f"a side got {asked.head}")
    for caller in world.callers.values():
        walk = _Walk(world, caller, released, tally if tally is not None and released else Counter())
        walk.run()


def _line_was_clean(line: Line) -> None:
    """A connection carries another request only if nothing about the last one was in doubt (RFC 9112 section 9.3)."""
    for before, after in zip(line.asked, line.asked[1:], strict=False):
        outcome = before.outcome()
        clean = outcome.kind == GOOD and outcome.reusable and len(before.sent) == outcome.minimum and not before.hurried
        if not clean:
            raise Finding("dirty connection", f"{after.head.first} went out behind {bytes(before.sent)[-300:]!r}")
    if 0 <= line.asked_before_stray < len(line.asked):
        after = line.asked[line.asked_before_stray]
        raise Finding("dirty connection", f"{after.head.first} went out on a connection that had spoken unasked")


class _Walk:
    """One caller's connection from its first byte: request by request, and the answers beside them."""

    def __init__(self, world: World, caller: Caller, released: bool, tally: Counter[str]) -> None:
        self._world = world
        self._caller = caller
        self._released = released
        self._tally = tally
        self._data = bytes(caller.sent)
        self._got = bytes(caller.received)
        self._groups = deque(_groups(world, caller))
        self._mismatch = ""
        self._unheard = caller.left in ("close", "reset") or caller.deaf or (caller.was_deaf and bool(caller.ended))

    def run(self) -> None:
        while True:
            planned = next_request(self._data)
            if not isinstance(planned, Planned):
                self._no_more_requests(planned.refused, planned.head_only)
                return
            planned.may_be_refused |= self._world.conversation.strict and planned.is_ambiguous
            self._tally["requests"] += 1
            group = self._take_group(planned)
            if not self._one(planned, group):
                return
            self._data = self._data[planned.taken :]

    # The sides

    def _take_group(self, planned: Planned) -> list[Asked]:
        """Return what the sides saw of the request that comes next, if anything."""
        if not self._groups or planned.ends_here:
            return []
        self._mismatch = request_differs(planned, self._groups[0][0])
        if self._mismatch:
            return []  # maybe it reached no side, and this is the next one
        group = self._groups.popleft()
        for asked in group:
            why = request_differs(planned, asked)
            if why:
                raise Finding("changed on the way", why)
        _sent_once(planned, group)
        return group

    def _nothing_behind(self, why: str) -> None:
        if self._groups:
            seen = self._groups[0][0]
            planned = next_request(self._data)
            differs = request_differs(planned, seen) if isinstance(planned, Planned) else "no request was read"
            raise Finding(
                "never asked",
                f"{why}, yet a side got {seen.head.first} {seen.head.fields} {bytes(seen.body[:99])!r}; {differs}",
            )

    # The answers

    def _no_more_requests(self, refused: bool, head_only: bool) -> None:
        self._nothing_behind("the next bytes are no request")
        self._tally["refused" if refused else "ends"] += 1
        if not self._got:
            if refused and not self._unheard:
                self._owed("a refusal")
            return
        if not self._data:
            raise Finding("unasked answer", f"a caller got {self._got[:300]!r} without asking")
        answer = read_answer(self._got, head_only, self._caller.ended)
        if answer is None or not answer.complete:
            self._cut_off(answer, owed=True)
            return
        if not answer.is_ours or not 400 <= answer.status < 506 or not answer.closes:
            raise Finding("not refused", f"{self._data[:300]!r} got {self._got[:300]!r}")
        self._must_end(answer)

    def _one(self, planned: Planned, group: list[Asked]) -> bool:
        """Judge the answer to one request; False when nothing may follow it."""
        outcomes = [asked.outcome() for asked in group]
        self._interims(planned, outcomes)
        if not self._got:
            return self._unanswered(planned, group, outcomes)
        answer = read_answer(self._got, planned.head_only, self._caller.ended)
        owed = planned.body.state == WHOLE and all(outcome.kind != OPEN for outcome in outcomes)
        if answer is None:
            return self._cut_off(None, owed)
        if answer.status == 101:
            return self._tunnel(planned, group, outcomes, answer)
        if planned.minor == 1 and not answer.counted and answer.values(b"transfer-encoding") == []:
            raise Finding("unframed", f"a caller got {self._got[:300]!r}")
        if planned.ends_here and answer.status == planned.ends_here:
            self._tally["answered here"] += 1
        elif answer.is_ours:
            self._ours(planned, group, outcomes, answer)
        else:
            self._theirs(planned, group, outcomes, answer)
        if not answer.complete:
            return self._cut_off(answer, owed) and planned.body.state == WHOLE
        if answer.closes:
            self._may_close(planned, group, answer)
            self._must_end(answer)
            return False
        if planned.body.state != WHOLE:
            raise Finding("goes on", f"behind half a body: {self._got[:300]!r}")
        if not planned.keep_alive:
            raise Finding("goes on", f"though it was asked to close: {self._got[:300]!r}")
        self._got = self._got[answer.taken :]
        return True

    def _interims(self, planned: Planned, outcomes: list[Outcome]) -> None:
        """Take the 1xx answers that come before; each must be the gateway's one 100, or a side's, in order."""
        told = [each for outcome in outcomes for each in outcome.interims if each[0] != 100]
        proceeded = False
        while self._got[:10] == b"HTTP/1.1 1" and self._got[:12] != b"HTTP/1.1 101":
            answer = read_answer(self._got, False, self._caller.ended)
            if answer is None:
                return
            if answer.status == 100:
                if proceeded or not planned.expects:
                    raise Finding("100 unasked", f"{planned.method!r} {planned.target!r} got {self._got[:200]!r}")
                proceeded = True
            else:
                while told and told[0] != (answer.status, answer.fields):
                    told.pop(0)
                if not told or not planned.minor:
                    raise Finding("whose hint", f"{planned.method!r} {planned.target!r} got {self._got[:200]!r}")
                told.pop(0)
            self._got = self._got[answer.taken :]

    def _ours(self, planned: Planned, group: list[Asked], outcomes: list[Outcome], answer: Answer) -> None:
        """A problem document: there must be a reason for it."""
        self._tally[f"problem {answer.status}"] += 1
        if answer.status in (502, 503, 504):
            for asked, outcome in zip(group, outcomes, strict=True):
                unread = (asked.reply.after >= 0 and asked.ended) or asked.ended == "reset"
                endless = len(outcome.body) > HELD_BYTES or b"text/event-stream" in asked.sent
                too_long = endless and asked.line.side == "modern"  # to be kept while the other side is asked
                late = asked.line.late or (answer.status == 504 and self._world.conversation.exchange_s)
                if outcome.kind == GOOD and asked.done and not (unread or too_long or late):
                    raise Finding(
                        "answer withheld", f"{planned.target!r} got {answer.status}, not {bytes(asked.sent)[:300]!r}"
                    )
            if not group and not self._sides_fail():
                raise Finding("failed for nothing", f"{planned.target!r} got {self._got[:400]!r}")
            return
        unaware = answer.status == 408 and self._caller.was_deaf  # it went on though its time was over
        if planned.body.state == WHOLE and not (planned.may_be_refused or planned.body.odd or unaware):
            raise Finding("refused", f"{planned.method!r} {planned.target!r} got {self._got[:400]!r}")
        stays = planned.ends_here or planned.body.taken == 0  # it was a good request, though it was refused
        if not 400 <= answer.status < 506 or not (answer.closes or stays):
            raise Finding("not refused", f"{planned.target!r} got {self._got[:300]!r}")

    def _sides_fail(self) -> bool:
        """Whether a request may have reached no side at all."""
        conversation = self._world.conversation
        return bool(
            self._may_queue()
            or conversation.down
            or conversation.greets
            or any(line.lost or line.transport.is_closing() for line in self._world.lines)
        )

    def _may_queue(self) -> bool:
        """Whether a request may wait for a connection that another one has, or find no place to wait."""
        return self._world.conversation.pool < _AMPLE

    def _theirs(self, planned: Planned, group: list[Asked], outcomes: list[Outcome], answer: Answer) -> None:
        """A side's answer: exactly what that side said of exactly this request."""
        self._tally["served"] += 1
        why = f"no side was asked; {self._mismatch}"
        for asked, outcome in zip(group, outcomes, strict=True):
            why = answer_differs(asked, outcome, answer)
            if not why:
                break
        else:
            raise Finding("whose answer", f"{planned.method!r} {planned.target!r} got {self._got[:400]!r}: {why}")
        if outcome.kind != GOOD and answer.complete:
            raise Finding("torn as whole", f"{planned.target!r} got {self._got[:300]!r}")

    def _may_close(self, planned: Planned, group: list[Asked], answer: Answer) -> None:
        early = any(asked.reply.after >= 0 for asked in group)
        unended = not answer.counted and not answer.values(b"transfer-encoding")
        unread = planned.length != 0 and (answer.is_ours or planned.ends_here)  # at the time it may not have been whole
        refused = answer.is_ours and answer.status not in (502, 503, 504, 508)
        drained = any(isinstance(act, Drain) for act in self._world.conversation.acts)
        known = drained or early or unended or refused or unread or self._caller.left or not planned.keep_alive
        if planned.body.state == WHOLE and not known:
            raise Finding("closed for nothing", f"{planned.target!r} got {self._got[:300]!r}")

    def _must_end(self, answer: Answer) -> None:
        """Behind an answer that closes nothing comes, to nobody, and the end."""
        behind = self._got[answer.taken :]
        if behind:
            raise Finding("more behind", f"a caller got {behind[:300]!r} behind the last answer")
        self._got = b""
        self._nothing_behind("the last answer closed the connection")
        if not self._caller.is_over and not self._unheard:
            raise Finding("stays open", f"behind {answer.status} with Connection: close")

    def _cut_off(self, answer: Answer | None, owed: bool) -> bool:
        """
        An answer that is not complete: nothing follows it.

        `owed`: nobody is waited for. A caller that did not listen to the end may have been served more.
        """
        if self._unheard:
            self._got = b""
            return True
        self._nothing_behind("an answer was cut off or is still to come")
        if self._caller.ended:
            self._tally["cut off"] += 1
            if answer is None and not (self._caller.left and self._caller.waited):
                raise Finding("half a head", f"a caller got {self._got[:300]!r}")
        elif owed or self._released:
            raise Finding("hangs", f"within an answer: {self._got[:300]!r}")
        return False

    def _unanswered(self, planned: Planned, group: list[Asked], outcomes: list[Outcome]) -> bool:
        if self._unheard:
            return planned.body.state == WHOLE
        if self._may_queue() and not self._released:
            pass  # one that waits is not read on, whatever its body comes to
        elif any(outcome.kind == OPEN for outcome in outcomes) or planned.body.state != WHOLE:
            if planned.body.state == BAD or self._released:
                self._owed("an answer")
        else:
            self._owed("an answer")
        self._nothing_behind("the answer before is still to come")
        return False

    def _owed(self, what: str) -> None:
        """Nothing came, though the caller listens: right only if it half-closed and time passed."""
        caller = self._caller
        if caller.left == "half" and caller.waited:
            return
        if caller.ended:
            raise Finding("closed silently", f"{what} is owed to {self._data[:300]!r}")
        raise Finding("hangs", f"{what} is owed to {self._data[:300]!r}")

    # Tunnels

    def _tunnel(self, planned: Planned, group: list[Asked], outcomes: list[Outcome], answer: Answer) -> bool:
        if not group or outcomes[-1].kind != SWITCHED:
            raise Finding("tunnel unasked", f"{planned.target!r} got {self._got[:300]!r}")
        asked, outcome, caller = group[-1], outcomes[-1], self._caller
        self._tally["tunnels"] += 1
        why = answer_fields_differ(asked, outcome, answer)
        if why or answer.values(b"upgrade") != [outcome.upgrade] or answer.values(b"connection") != [b"upgrade"]:
            raise Finding("changed on the way back", f"{why} {self._got[:300]!r}")
        there, back = self._data[planned.taken :], self._got[answer.taken :]
        if not there.startswith(bytes(asked.tunnel)):
            raise Finding("tunnel", f"the side got {bytes(asked.tunnel[:300])!r} of {there[:300]!r}")
        if not outcome.body.startswith(back):
            raise Finding("tunnel", f"the caller got {back[:300]!r} of {outcome.body[:300]!r}")
        stays = not self._unheard and not caller.left
        stands = stays and not self._released and not asked.line.lost and not asked.ended
        missing = len(there) - len(asked.tunnel), len(outcome.body) - len(back)
        if stands and any(missing):
            raise Finding("tunnel", f"{missing[0]} bytes there, {missing[1]} back are missing")
        if asked.ended == "eof" and stays and missing[1] and not there:
            raise Finding("tunnel", f"its end was lost: {back[-100:]!r} of {outcome.body[-100:]!r}")
        self._nothing_behind("the connection is a tunnel")
        return False


def _groups(world: World, caller: Caller) -> list[list[Asked]]:
    """Return what the sides saw of a caller's requests: all tries of one request together, in order of their ids."""
    found: dict[int, list[Asked]] = {}
    for asked in world.asked:
        if asked.address == caller.address:
            found.setdefault(int(asked.token.strip(b"~"), 16), []).append(asked)
    return [found[number] for number in sorted(found)]


def _sent_once(planned: Planned, group: list[Asked]) -> None:
    """A write is sent once; a read once to each side, and once more if a pooled connection was gone."""
    if len(group) > 1 and not planned.is_read:
        raise Finding("write sent twice", f"{planned.method!r} {planned.target!r}")
    for side in ("legacy", "modern"):
        tries = [asked for asked in group if asked.line.side == side]
        if len(tries) > 2 or (len(tries) == 2 and all(map(_was_heard, tries))):
            raise Finding("read sent again", f"{planned.target!r}, {len(tries)} times to {side}")


def _was_heard(asked: Asked) -> bool:
    """Whether the connection of a try was fresh, or a byte of an answer may have come over it."""
    return asked is asked.line.asked[0] or (bool(asked.sent) and asked.ended != "reset")
