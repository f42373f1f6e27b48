"""
Which reads are looked at: a share of each route's, if they can be compared and the sides have room for them.

Hot where reads are watched: asked once for each answer.
"""

from __future__ import annotations

from math import inf
from typing import Protocol

from xxhash import xxh3_64_hexdigest

from proxy.core.comparerules import CompareRules
from proxy.core.decision import Plan, Watch
from proxy.core.evidence import SWALLOWED_BY, TEST_FOUND, TEST_SWALLOWED, Basis, Outcome
from proxy.core.messages import AnswerHead, RequestHead, Saw, SawAnswer
from proxy.core.planted import Detection
from proxy.core.rules import Side
from proxy.core.sampling import Sampler
from proxy.core.sandwich import DECLINED
from proxy.gateway.copies import Copy
from proxy.workers.tallies import Tally

TEST_EVERY = 100
_GOLDEN = 0.6180339887498949  # steps of this length through a circle come near every point of it
_FINE = Outcome.SKIPPED, ""
SHADOW, NOISE = 1, 2  # what a read is wanted for: to ask the other side, to ask the same side twice
_READS = frozenset((b"GET", b"HEAD"))


class Route:
    """What is kept of one route, whatever version of the rules is in force."""

    def __init__(self, tally: Tally, self_tally: Tally) -> None:
        self.tally = tally
        self.self_tally = self_tally  # of one side compared with itself
        self.shadows = Sampler(0)
        self.noise = Sampler(0)
        self.watch: Watch | None = None
        self.rules = CompareRules()
        self._pairs = 0
        self._rests_on: tuple[object, ...] = ()
        self._is_untested = True  # the rules are new
        self._version = 0
        self._digest = ""

    def follow(self, plan: Plan, floor_per_h: float, now_s: float) -> None:
        """Go by the rules of a plan from the next read on; `now_s` since 1970."""
        watch = plan.watch
        assert watch is not None
        if self.watch is None or watch.compare != self.watch.compare:
            self._compile(watch, now_s)
        self.watch = watch
        self._version = plan.version
        floor_s = 3600 / floor_per_h if floor_per_h else inf
        self.shadows = self.shadows.of(watch.shadow_bp, floor_s)
        self.noise = self.noise.of(watch.noise_bp, floor_s)

    def heed(self, now_s: float, legacy: str, modern: str) -> None:
        """Let rules expire, and let evidence rest on the rules, the phase and the versions that there are now."""
        watch = self.watch
        if watch is None:
            return
        if self.rules.next_expiry_s is not None and now_s >= self.rules.next_expiry_s:
            self._compile(watch, now_s)
        rests_on = (self._digest, watch.phase, legacy, modern, self._version)
        if rests_on != self._rests_on:
            self._rests_on = rests_on
            self.tally.rest_on(Basis(self._digest, watch.phase.value, legacy, modern, self._version))
            self.self_tally.rest_on(Basis(self._digest, version=self._version))

    def is_due_for_test(self) -> bool:
        """Say whether the comparator is to be tested with this pair: one in TEST_EVERY, the first one of new rules."""
        self._pairs += 1
        is_due = self._is_untested or self._pairs % TEST_EVERY == 1
        self._is_untested = False
        return is_due

    @property
    def roll(self) -> float:
        """Where a difference is to be planted next, 0 to 1."""
        return self._pairs * _GOLDEN % 1

    def tested(self, detection: Detection | None) -> None:
        """Count whether the comparator found what was planted, and which rules swallowed it."""
        if detection is None:
            return
        self.tally.note(TEST_FOUND if detection.is_found else TEST_SWALLOWED)
        for rule in detection.swallowed_by:
            self.tally.note(f"{SWALLOWED_BY}{rule}")

    def _compile(self, watch: Watch, now_s: float) -> None:
        self.rules = CompareRules(watch.compare, now_s)
        self._is_untested = True
        self._digest = xxh3_64_hexdigest(self.rules.basis.encode())


class Taker(Protocol):
    """Who takes the copies, and knows whether a side has room for another read."""

    def refuses(self, side: Side, now_s: float) -> str: ...
    def take(self, copy: Copy, looker: Looker) -> None: ...


class Looker:
    """Watches the reads of one plan (a `gateway.copies.Watcher`)."""

    __slots__ = ("_any_method", "_noise_bp", "_taker", "drop", "most_bytes", "plan", "route")

    def __init__(self, taker: Taker, plan: Plan, route: Route, most_bytes: int) -> None:
        watch = plan.watch
        assert watch is not None
        self._taker = taker
        self._any_method = watch.any_method
        self._noise_bp = watch.noise_bp
        self.drop = watch.drop
        self.most_bytes = most_bytes
        self.plan = plan
        self.route = route

    def wants(self, request: RequestHead, head: AnswerHead, now_s: float) -> int:
        """Say what a read is wanted for."""
        if request.method not in _READS and not self._any_method:
            return 0
        route, shadow = self.route, self.plan.shadow
        purpose = NOISE if self._noise_bp and route.noise.takes(now_s) else 0
        if shadow is not None and route.shadows.takes(now_s):
            purpose |= SHADOW
        if not purpose:
            return 0
        outcome, reason = why_not(request, head, self.most_bytes)
        if reason:
            route.tally.add(outcome, reason)
            return 0
        if shadow is not None and purpose & SHADOW and (reason := self._taker.refuses(shadow, now_s)):
            route.tally.add(Outcome.DROPPED, reason)
            purpose &= NOISE
        if purpose & NOISE and self._taker.refuses(self.plan.side, now_s):
            purpose &= SHADOW
        return purpose

    def take(self, copy: Copy) -> None:
        """Take a copy; the client has its answer."""
        self._taker.take(copy, self)

    def too_long(self) -> None:
        """A read that was wanted has a longer answer than is compared."""
        self.route.tally.add(Outcome.SKIPPED, "too_long")

    def entity_of(self, copy: Copy) -> bytes:
        """Return what a read is about: the key of its entity, or all that it asks for."""
        key = self.plan.entity
        found = self.key_of(copy) if key is not None else b""
        return found or (copy.request.target + b"".join(copy.body) if copy.body else copy.request.target)

    def key_of(self, copy: Copy) -> bytes:
        """Return the key of the entity that a read is about; b"" if it is about several, or nobody knows."""
        key = self.plan.entity
        if key is None:
            return b""
        found = key.of_body(b"".join(copy.body)) if key.in_body else key.of_path(copy.planned.params)
        return found or b""


def why_not(request: RequestHead, head: AnswerHead, most_bytes: int) -> tuple[Outcome, str]:
    """Return how a read is counted that cannot be compared, and why; no reason if it can."""
    status = head.status
    if status == 200 and 0 <= head.length <= most_bytes and not (request.saw | head.saw):
        return _FINE  # nearly always
    if request.saw & Saw.RANGE:
        return Outcome.SKIPPED, "range"
    if head.saw & SawAnswer.STREAM:
        return Outcome.SKIPPED, "stream"
    if status == 304:
        return Outcome.APART, "not_modified"
    if status >= 500 or status in DECLINED:
        return Outcome.SKIPPED, "primary_failed"
    if head.length > most_bytes and request.method != b"HEAD":
        return Outcome.SKIPPED, "too_long"
    return _FINE
