"""The scene of the demo in which modern fails while half of the readers of users are on it."""

from __future__ import annotations

import asyncio
from collections import Counter

from proxy.demo.play import Play
from proxy.demo.tally import Answer
from proxy.demo.telling import met

ERRORS_S, RESETS_S = 1.0, 2.0  # first every answer is a 500, then every connection is reset
OPENS_S, CLOSES_S = 6.0, 25.0
AGAIN = 10  # reads that modern answers by itself again: it is more than a probe that got through


async def modern_fails(play: Play) -> None:
    teller = play.teller
    teller.scene(
        "Modern fails", "For three seconds: errors first, then resets. Its readers are answered by legacy instead."
    )
    counted, start_s = await _fallbacks(play), play.now()
    with teller.busy("modern is failing"):
        opened_s = await _fail(play)
    healthy_s = play.now()
    with teller.busy("modern is well again; waiting for the breaker to notice"):
        closed_s = await met(lambda: _recovered(play, healthy_s), CLOSES_S)
    found = play.traffic.tally.since(start_s)
    _tell(play, found, await _fallbacks(play) - counted, opened_s, closed_s)


async def _fail(play: Play) -> float | None:
    """Let modern fail; return after how many seconds the breaker opened."""
    start_s = play.now()
    for kind, for_s in (("500", ERRORS_S), ("close", RESETS_S)):
        url = f"http://127.0.0.1:{play.stage.ports.modern}/_demo/fault"
        play.teller.typed(f'curl {url} -d \'{{"kind": "{kind}", "for_s": {for_s:g}}}\'')
        await play.stage.fault(kind, for_s)
        if kind == "500":
            await asyncio.sleep(for_s)
    opened = await met(lambda: _is_open(play), OPENS_S)
    opened_s = None if opened is None else play.now() - start_s
    await asyncio.sleep(max(0.0, start_s + ERRORS_S + RESETS_S - play.now()))
    return opened_s


async def _recovered(play: Play, since_s: float) -> bool:
    found = play.traffic.tally.since(since_s, "users")
    by_itself = [answer for answer in found if answer.side == "modern" and not answer.fallback]
    return len(by_itself) >= AGAIN and not await _is_open(play)


async def _is_open(play: Play) -> bool:
    return await play.stage.metric("banyan_breaker_open", component="users", side="modern") > 0


async def _fallbacks(play: Play) -> int:
    return int(await play.stage.metric("banyan_fallbacks_total"))


def _tell(play: Play, found: tuple[Answer, ...], counted: int, opened_s: float | None, closed_s: float | None) -> None:
    claim = play.teller.claim
    errors = sum(bool(answer.error) for answer in found)
    claim("no reader sees an error", f"{errors} errors in {len(found)} reads", not errors and bool(found))
    seen = Counter(answer.fallback.partition(";")[2] for answer in found if answer.fallback)
    reasons = ", ".join(f"{reason} {count}" for reason, count in sorted(seen.items())) or "none"
    claim(
        "every fallback is visible",
        f"{seen.total()} in the answers ({reasons}), {counted} in the metrics",
        0 < seen.total() == counted,
    )
    claim(
        "the breaker spares modern",
        "it did not open" if opened_s is None else f"opened {opened_s:.1f} s after the first error",
        opened_s is not None,
    )
    claim(
        "and closes by itself",
        "it did not close" if closed_s is None else f"modern is back {closed_s:.1f} s after it was well again",
        closed_s is not None,
    )
