"""
Shadow reads: what one side answered is asked of the other, unseen, and the answers are compared.

Nothing in here can delay, fail or cancel an answer to a client: copies come when it was passed on, go over connections
of their own, within bounds and deadlines, and what is too much is dropped and counted. What differs goes on to
`workers.sandwich`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from time import perf_counter, time

from proxy.core.compare import Answer
from proxy.core.decision import Plan
from proxy.core.messages import AnswerHead, RequestHead, value_of, without
from proxy.core.rules import Side
from proxy.core.versions import Versions
from proxy.gateway.copies import Copy
from proxy.gateway.outgoing import request_message
from proxy.wire.pool import Pool, Waits
from proxy.workers.asked import Asked, Pairing
from proxy.workers.loads import Bounds, Load
from proxy.workers.looking import NOISE, SHADOW, Looker, Route
from proxy.workers.tallies import Tallies

ROLE = b"x-banyan-role: shadow\r\n"
TICK_S = 0.25
MOST_WAIT_S = 60.0  # that a side may ask for


class Shadows:
    """
    Asks behind the answers, and compares; `run` lets its deadlines pass.

    `may_ask` says of a component and a side whether reads may go there now. `on_suspect` takes what differs or is too
    long to be compared at once, `on_noise` what one side said twice, `on_test` a long answer with which the comparator
    is to be tested; all of them at once, and without waiting.
    """

    def __init__(
        self,
        loads: Mapping[Side, Load],
        bounds: Bounds,
        tallies: Tallies,
        self_tallies: Tallies,
        may_ask: Callable[[str, Side], bool],
        clock: Callable[[], float] = perf_counter,
        wall: Callable[[], float] = time,
    ) -> None:
        self.loads = loads
        self.bounds = bounds
        self.tallies = tallies
        self.self_tallies = self_tallies
        self.may_ask = may_ask
        self.clock = clock
        self._wall = wall
        self.versions = {side: Versions() for side in Side}
        self.on_suspect: Callable[[Pairing], None]
        self.on_noise: Callable[[Pairing], None]
        self.on_test: Callable[[Route, Answer], None]
        self.origins = tuple(origin for load in loads.values() for origin in load.manner.origins)
        self.most_bytes = bounds.body_bytes
        self.heeds_versions = any(load.version_header for load in loads.values())
        self.waits = Waits(min(1.0, bounds.timeout_s), bounds.timeout_s, bounds.timeout_s)
        self._routes: dict[tuple[str, str], Route] = {}
        self.held_bytes = 0  # of answers that wait: for the other side's, or for a second look
        self._is_starting = False

    def watcher(self, plan: Plan) -> Looker | None:
        """Return who watches the reads of a plan."""
        if plan.watch is None or plan.component is None:
            return None
        route = self._routes.get((plan.component, plan.route))
        if route is None:
            names = plan.component, plan.route
            route = Route(self.tallies.of(*names), self.self_tallies.of(*names))
            self._routes[plan.component, plan.route] = route
        route.follow(plan, self.bounds.floor_per_h, self._wall())
        self._heed(route)
        return Looker(self, plan, route, self.bounds.body_bytes)

    async def run(self) -> None:
        """Let deadlines pass, for as long as this runs."""
        while True:
            for _ in range(round(1 / TICK_S)):
                await asyncio.sleep(TICK_S)
                self.tick()
            self.second()

    def tick(self) -> None:
        """End what takes too long."""
        late_s = self.clock() - self.bounds.timeout_s
        for load in self.loads.values():
            while load.waiting and load.waiting[0].queued_s < late_s:
                self._let_go(load.waiting.popleft(), "late")
            for asked in [each for each in load.under_way if each.started_s < late_s]:
                asked.expire()

    def second(self) -> None:
        """Judge what the sides made of the second that has passed, and heed what has changed with it."""
        for load in self.loads.values():
            load.back_off.second()
        for route in self._routes.values():
            self._heed(route)

    def fleet_is(self, replicas: int) -> None:
        """Share the caps of the fleet with so many replicas, this one among them."""
        for load in self.loads.values():
            load.cap.replicas = max(1, replicas)

    # What lookers call

    def refuses(self, side: Side, now_s: float) -> str:
        """Return why a side is not sent another read now; empty if it may be."""
        return self.loads[side].refuses(now_s)

    def take(self, copy: Copy, looker: Looker) -> None:
        """Ask for the same again, soon."""
        for purpose in (SHADOW, NOISE):
            if copy.purpose & purpose:
                self._queue(Asked(self, copy, looker, purpose))

    def hold(self, size_bytes: int) -> bool:
        """Say whether there is room for so much more, which is then held until it is taken off `held_bytes`."""
        if self.held_bytes + size_bytes > self.bounds.buffer_bytes:
            return False
        self.held_bytes += size_bytes
        return True

    # What those asked call

    def pool_of(self, side: Side) -> Pool:
        """Return the connections of a side that are used behind the answers."""
        return self.loads[side].pool

    def message(self, copy: Copy, looker: Looker, side: Side) -> bytes:
        """Return the request of a copy as a shadow read of `side`: unconditional, and marked as what it is."""
        request = copy.request
        if looker.drop:
            request = RequestHead(request.method, request.target, without(request.fields, looker.drop), request.host)
            request.saw = copy.request.saw
        length = sum(map(len, copy.body)) if copy.body else 0
        return request_message(request, copy.forwarded + ROLE, self.loads[side].manner, True, length, copy.body)

    def answered(self, asked: Asked, head: AnswerHead) -> None:
        """Take from two answers which versions gave them."""
        for side, each in ((asked.side, head), (asked.looker.plan.side, asked.copy.head)):
            name = self.loads[side].version_header
            if name:
                self.versions[side].see(value_of(each.fields, name))

    def ended(self, asked: Asked, fine: bool) -> None:
        """A read has its answer, or will never have one."""
        load = self.loads[asked.side]
        if asked in load.under_way:
            del load.under_way[asked]
            self.held_bytes -= asked.copy.held_bytes
            load.back_off.record(self.clock() - asked.started_s, fine)
            if load.waiting:
                self._start_soon()

    def declined(self, side: Side, retry_after: bytes) -> None:
        """A side does not want it, and may have said until when."""
        if retry_after.isdigit() and len(retry_after) < 6:
            self.loads[side].back_off.wait(self.clock() + min(float(retry_after), MOST_WAIT_S))

    def suspect(self, pairing: Pairing) -> None:
        """Two answers may differ."""
        self.on_suspect(pairing)

    def test(self, route: Route, answer: Answer) -> None:
        """The comparator is to be tested with a long answer."""
        self.on_test(route, answer)

    def noisy(self, pairing: Pairing) -> None:
        """One side was asked twice."""
        self.on_noise(pairing)

    # Between waiting and answered

    def _queue(self, asked: Asked) -> None:
        waiting = self.loads[asked.side].waiting
        held_bytes = asked.copy.held_bytes
        if len(waiting) >= self.bounds.pending:
            asked.drop("pending")
        elif not self.hold(held_bytes):
            asked.drop("buffer")
        else:
            asked.queued_s = self.clock()
            waiting.append(asked)
            self._start_soon()

    def _heed(self, route: Route) -> None:
        route.heed(self._wall(), self.versions[Side.LEGACY].current, self.versions[Side.MODERN].current)

    def _start_soon(self) -> None:
        """Not now: what the client gets leaves first."""
        if not self._is_starting:
            self._is_starting = True
            asyncio.get_running_loop().call_soon(self._start)

    def _start(self) -> None:
        self._is_starting = False
        now_s = self.clock()
        for load in self.loads.values():
            while load.has_room:
                asked = load.waiting.popleft()
                if not self.may_ask(asked.looker.plan.component or "", asked.side):
                    self._let_go(asked, "barred")
                    continue
                load.under_way[asked] = None
                asked.start(now_s)

    def _let_go(self, asked: Asked, reason: str) -> None:
        self.held_bytes -= asked.copy.held_bytes
        asked.drop(reason)
