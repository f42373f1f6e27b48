"""
What becomes of a difference: both sides are read again, and only what stands is a mismatch.

Slow and bounded: so many at once, so many re-reads a second in the whole fleet, so many that wait. What nothing can be
said of is looked at again after 1, 10 and 60 s. Decides nothing of what a difference is worth: that is `core.sandwich`.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import Protocol

from proxy.core.compare import Answer, Comparison, compare
from proxy.core.comparerules import CompareRules
from proxy.core.errors import UpstreamError
from proxy.core.evidence import Outcome
from proxy.core.limits import SECOND_LOOKS
from proxy.core.messages import AnswerHead
from proxy.core.planted import examine
from proxy.core.rules import Side
from proxy.core.sampling import Cap
from proxy.core.sandwich import DECLINED, RECHECKS_S, Doubt, Looks, Verdict, beside, doubt_of, judge
from proxy.wire.asking import TooLong, whole_answer
from proxy.workers.aside import Aside
from proxy.workers.asked import Pairing, answer_of, conclude_equal, is_short
from proxy.workers.loads import Load
from proxy.workers.looking import Route
from proxy.workers.shadow import Shadows

PAUSE_S = 0.05
MOST_CHORES = 8
MOST_LATER = 4_096  # differences that are looked at again later: of these no body is kept
_FINAL = frozenset((Doubt.DENIED, Doubt.TRANSIENT, Doubt.NO_BUDGET, Doubt.BARRED))


class Settled(Protocol):
    """Says whether nobody wrote to an entity, by this replica, from `settle_s` before a moment until now."""

    settle_s: float

    def is_settled(self, component: str, entity: bytes, since_s: float) -> bool: ...


class Found(Protocol):
    """Who takes what was found out."""

    async def mismatch(self, pairing: Pairing, verdict: Verdict) -> None: ...
    def noise(self, pairing: Pairing, verdict: Verdict) -> None: ...
    def noisy(self, pairing: Pairing) -> None: ...
    def is_known(self, pairing: Pairing) -> bool: ...


class _Doubtful(Exception):
    """A re-read says nothing."""

    def __init__(self, doubt: Doubt) -> None:
        super().__init__(doubt)
        self.doubt = doubt


@dataclass(frozen=True, slots=True)
class Limits:
    """How many re-reads a second in the whole fleet (0: no cap), and how many differences that wait for them."""

    rereads_per_s: float = 20.0
    pending: int = 256


@dataclass(order=True, slots=True)
class _Later:
    due_s: float
    number: int
    pairing: Pairing


class Sandwiches:
    """Reads again what differs; `run` does the work."""

    def __init__(self, shadows: Shadows, settled: Settled, found: Found, aside: Aside, limits: Limits) -> None:
        self._shadows = shadows
        self._aside = aside
        self._settled = settled
        self._found = found
        self.on_fault: Callable[[Exception], None] = _raised
        self._pending = limits.pending
        self.cap = Cap(limits.rereads_per_s)
        self._ready: deque[Pairing] = deque()
        self._later: list[_Later] = []
        self._numbers = count()
        self._some = asyncio.Event()
        self._chores: deque[Callable[[], Awaitable[None]]] = (
            deque()
        )  # beside differences: what is too long for the loop
        self.at_work = 0

    @property
    def waiting(self) -> int:
        """How many differences nothing has been said of so far."""
        return len(self._ready) + len(self._later) + self.at_work

    def suspect(self, pairing: Pairing) -> None:
        """Take two answers that differ, or that were too long to be compared at once."""
        size_bytes = len(pairing.first.body) + len(pairing.second.body)
        if len(self._ready) >= self._pending or not self._hold(pairing, size_bytes):
            self._inconclusive(pairing, Doubt.NO_BUDGET)
            return
        self._ready.append(pairing)
        self._some.set()

    def noisy(self, pairing: Pairing) -> None:
        """Take a read that one side was asked twice."""
        if pairing.comparison is not None:
            self._found.noisy(pairing)
        else:
            self._later_do(partial(self._compare_noisy, pairing))

    def test(self, route: Route, answer: Answer) -> None:
        """Take a long answer with which the comparator is to be tested."""
        self._later_do(partial(self._test, route, answer))

    def _later_do(self, chore: Callable[[], Awaitable[None]]) -> None:
        if len(self._chores) < MOST_CHORES:
            self._chores.append(chore)
            self._some.set()

    async def _compare_noisy(self, pairing: Pairing) -> None:
        pairing.comparison = await self._compare(pairing, pairing.first, pairing.second)
        self._found.noisy(pairing)

    async def _test(self, route: Route, answer: Answer) -> None:
        most_bytes = self._shadows.bounds.body_bytes
        route.tested(await self._aside.do(examine, answer, route.rules, route.roll, most_bytes))

    async def run(self) -> None:
        """Work, for as long as this runs."""
        async with asyncio.TaskGroup() as group:
            for _ in range(SECOND_LOOKS):
                group.create_task(self._work())
            group.create_task(self._wake())

    def tick(self) -> None:
        """Look again at what is due."""
        now_s = self._shadows.clock()
        while self._later and self._later[0].due_s <= now_s:
            self._ready.append(heapq.heappop(self._later).pairing)
            self._some.set()

    async def _wake(self) -> None:
        while True:
            await asyncio.sleep(PAUSE_S)
            self.tick()

    async def _work(self) -> None:
        while True:
            while not self._ready and not self._chores:
                self._some.clear()
                await self._some.wait()
            if self._chores:
                try:
                    await self._chores.popleft()()
                except Exception as exc:
                    self.on_fault(exc)
                continue
            pairing = self._ready.popleft()
            self._shadows.held_bytes -= pairing.held_bytes
            self.at_work += 1
            try:
                await self._look(pairing)
            except Exception as exc:  # a fault of ours in one of them is no reason to let go of all others
                self._inconclusive(pairing, Doubt.FAULT)
                self.on_fault(exc)
            finally:
                self.at_work -= 1
                del pairing  # who waits for work keeps no answers
            await asyncio.sleep(0)  # what needs no re-read does not wait by itself: clients come in between

    async def _look(self, pairing: Pairing) -> None:
        """Find out what a difference is worth, or when to look again."""
        try:
            if pairing.tries or pairing.stood is not None:
                await self._read_anew(pairing)
            if pairing.comparison is None:
                pairing.comparison = await self._compare(pairing, pairing.first, pairing.second)
            if not pairing.comparison.differences:
                conclude_equal(self._shadows, pairing, pairing.comparison)
                return
            self._note_oddity(pairing, pairing.comparison)
            if pairing.stood is None and self._found.is_known(pairing):
                return
            verdict = await self._verdict(pairing)
        except _Doubtful as exc:
            verdict = Verdict(Outcome.INCONCLUSIVE, exc.doubt)
        await self._conclude(pairing, verdict)

    async def _verdict(self, pairing: Pairing) -> Verdict:
        primary = pairing.looker.plan.primary
        first, second = pairing.first, pairing.second
        assert pairing.comparison is not None
        if not self._is_settled(pairing):
            raise _Doubtful(Doubt.UNSETTLED)  # no second look makes it settled
        if second.status >= 500 > first.status and not self._stands_out(pairing, primary.other):
            raise _Doubtful(Doubt.FAILING)
        again = await self._read(pairing, primary, first)
        other = await self._read(pairing, primary.other, second)
        last = await self._read(pairing, primary, first)
        own = (await self._compare(pairing, first, again), await self._compare(pairing, again, last))
        await self._stays(pairing, again, own)
        looks = Looks(pairing.comparison, own, await self._compare(pairing, again, other))
        pairing.first, pairing.second, pairing.comparison = again, other, looks.again
        return judge(looks, self._is_settled(pairing))

    def _is_settled(self, pairing: Pairing) -> bool:
        looker = pairing.looker
        key = looker.key_of(pairing.copy)
        return self._settled.is_settled(looker.plan.component or "", key, pairing.since_s)

    async def _stays(self, pairing: Pairing, again: Answer, own: Iterable[Comparison]) -> None:
        """
        Hold that the primary says what it said when the difference stood. Raises _Doubtful: somebody has written.

        Of a write that was taken back meanwhile (deleted, created, deleted) this knows nothing.
        """
        stood, pairing.stood = pairing.stood, None
        if stood is None:
            return
        noise = [each for comparison in own for each in comparison.differences]
        moved = await self._compare(pairing, stood, again)
        if beside(moved.differences, noise) or not moved.is_readable:
            raise _Doubtful(Doubt.UNSETTLED)
        pairing.stood = stood

    def _stands_out(self, pairing: Pairing, side: Side) -> bool:
        """Say whether a side that fails this read again and again answers the others well: then it is the read."""
        return pairing.tries >= len(RECHECKS_S) and self._shadows.loads[side].back_off.is_well

    async def _conclude(self, pairing: Pairing, verdict: Verdict) -> None:
        tally, entity = pairing.looker.route.tally, pairing.looker.entity_of(pairing.copy)
        if verdict.noise:
            self._found.noise(pairing, verdict)
        if verdict.outcome is Outcome.INCONCLUSIVE:
            assert verdict.doubt is not None
            if verdict.doubt in _FINAL or pairing.tries >= len(RECHECKS_S):
                self._inconclusive(pairing, verdict.doubt)
            else:
                self._again_later(pairing, RECHECKS_S[pairing.tries])
                pairing.tries += 1
            return
        if verdict.outcome is Outcome.MISMATCHED and pairing.stood is None and self.cap.replicas > 1:
            pairing.stood = pairing.first  # if it is the same then, nobody wrote meanwhile by another replica
            self._again_later(pairing, self._settled.settle_s)
            return
        tally.add(verdict.outcome, "", entity if verdict.outcome is Outcome.MISMATCHED else b"")
        if verdict.outcome is Outcome.MISMATCHED:
            await self._found.mismatch(pairing, verdict)

    def _note_oddity(self, pairing: Pairing, comparison: Comparison) -> None:
        """Count what is strange about answers that differ, once for each read."""
        if comparison.oddity is not None and not pairing.tries:
            pairing.looker.route.tally.note(f"odd:{comparison.oddity}")

    def _inconclusive(self, pairing: Pairing, doubt: Doubt) -> None:
        pairing.looker.route.tally.add(Outcome.INCONCLUSIVE, doubt.value)

    def _again_later(self, pairing: Pairing, after_s: float) -> None:
        pairing.forget()
        if len(self._later) >= MOST_LATER or not self._hold(
            pairing, 0 if pairing.stood is None else len(pairing.stood.body)
        ):
            self._inconclusive(pairing, Doubt.NO_BUDGET)
            return
        due_s = self._shadows.clock() + after_s
        heapq.heappush(self._later, _Later(due_s, next(self._numbers), pairing))

    def _hold(self, pairing: Pairing, size_bytes: int) -> bool:
        """Say whether there is room for so much of a difference that waits, and count it."""
        is_held = self._shadows.hold(size_bytes)
        pairing.held_bytes = size_bytes if is_held else 0
        return is_held

    # Reading again

    async def _read_anew(self, pairing: Pairing) -> None:
        """Begin from the beginning: what the sides say now counts, not what they said then."""
        primary = pairing.looker.plan.primary
        pairing.since_s = self._shadows.clock()
        pairing.first = await self._read(pairing, primary, pairing.first)
        pairing.second = await self._read(pairing, primary.other, pairing.second)
        pairing.comparison = None

    async def _read(self, pairing: Pairing, side: Side, before: Answer) -> Answer:
        """Ask a side again. Raises _Doubtful if that says nothing."""
        answer = await self._ask(pairing, side)
        doubt = doubt_of(before, answer, is_primary=side is pairing.looker.plan.primary)
        if doubt is not None:
            raise _Doubtful(doubt)
        return answer

    async def _ask(self, pairing: Pairing, side: Side) -> Answer:
        await self._turn(pairing)
        shadows, copy, looker = self._shadows, pairing.copy, pairing.looker
        load = shadows.loads[side]
        began_s = shadows.clock()
        try:
            async with asyncio.timeout(shadows.bounds.timeout_s):
                head, body = await self._answer(pairing, load, shadows.message(copy, looker, side))
        except (UpstreamError, TooLong, TimeoutError) as exc:
            load.back_off.record(shadows.clock() - began_s, fine=False)
            failed = Doubt.PRIMARY_FAILED if side is looker.plan.primary else Doubt.SECONDARY_FAILED
            raise _Doubtful(failed) from exc
        fine = head.status < 500 and head.status not in DECLINED
        load.back_off.record(shadows.clock() - began_s, fine)
        return answer_of(head, body, shadows.origins)

    async def _answer(self, pairing: Pairing, load: Load, message: bytes) -> tuple[AnswerHead, bytes]:
        head_only = pairing.copy.request.method == b"HEAD"
        most_bytes = self._shadows.bounds.body_bytes
        try:
            return await whole_answer(load.pool, message, self._shadows.waits, most_bytes, head_only)
        except UpstreamError as exc:
            if not exc.stale:
                raise
        return await whole_answer(load.pool, message, self._shadows.waits, most_bytes, head_only)

    async def _turn(self, pairing: Pairing) -> None:
        """Wait until the fleet's cap lets one more re-read through. Raises _Doubtful if a side is not to be asked."""
        shadows, component = self._shadows, pairing.looker.plan.component or ""
        while True:
            if not all(shadows.may_ask(component, each) for each in Side):
                raise _Doubtful(Doubt.BARRED)
            if self.cap.takes(shadows.clock()):
                return
            await asyncio.sleep(PAUSE_S)

    async def _compare(self, pairing: Pairing, first: Answer, second: Answer) -> Comparison:
        rules: CompareRules = pairing.looker.route.rules
        most_bytes = self._shadows.bounds.body_bytes
        if is_short(rules, first, second):
            return compare(first, second, rules, most_bytes=most_bytes)
        return await self._aside.do(compare, first, second, rules, most_bytes=most_bytes)


def _raised(exc: Exception) -> None:
    raise exc
