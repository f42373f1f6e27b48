"""
Faults of a side that is only asked behind the answers: what shadow reads cost clients while that side is broken.

With and without them in turn, many times, under one load, so that whatever else the machine does meets both alike; the
medians of all turns are compared, and by how much they may be off is told beside it.
"""

from __future__ import annotations

import random
import time
from collections.abc import Awaitable, Callable, Sequence
from statistics import median

from tests.faults.faultproxy import Toxics
from tests.faults.ledger import due_between, latency_of, percentile
from tests.faults.pace import pause
from tests.faults.plan import all_answered, fault, nothing_lost
from tests.faults.play import Play

PAIRS = 24  # of turns
SHARE = 0.2  # of the time that a fault lasts, for each turn
SETTLE_S = 0.3  # after a change of rules
MOST = 1.05  # times the p99 without shadows
DRAWS = 2_000

Work = Callable[[Play], Awaitable[None]]
RULES = {"phase": "shadow", "shadow": 0}
UNCAPPED = {name: {"shadow": {"requests_per_s": 0}} for name in ("legacy", "modern")}


async def measured(play: Play, breaks: Work) -> None:
    """Measure with modern broken, with shadows and without, and hold what clients must not notice."""
    turns: dict[int, list[tuple[float, float]]] = {0: [], 100: []}
    await play.calm()
    with play.fault():
        await breaks(play)
        for number in range(PAIRS):
            for shadow in (0, 100) if number % 2 else (100, 0):
                await play.stage.rule(shadow=shadow)
                await pause(SETTLE_S)
                begun = time.monotonic()
                await play.last(SHARE)
                turns[shadow].append((begun, time.monotonic()))
    compared = await play.stage.metric("banyan_shadow_reads_total")
    dropped = await play.stage.metric('banyan_shadow_reads_total{component="users",outcome="dropped"')
    await play.settle()
    nothing_lost(play)
    all_answered(play)
    play.must("there were shadow reads", compared > dropped, f"{compared:.0f} to be compared, {dropped:.0f} dropped")
    play.notes["reads to be compared, and of them asked"] = f"{compared:.0f}, {compared - dropped:.0f}"
    p99_s = {
        shadow: [latency_of(due_between(play.outcomes, *turn)).p99_s for turn in turns[shadow]] for shadow in turns
    }
    judge(play, p99_s[0], p99_s[100])


def judge(play: Play, without: Sequence[float], beside: Sequence[float]) -> None:
    """Hold that p99 with shadows is not above what it is without them, as far as that can be told here."""
    ratio = median(beside) / median(without)
    low, high = interval(without, beside)
    play.must(
        f"p99 within {MOST - 1:.0%} of that without shadows", low <= MOST, f"{ratio:.3f} ({low:.3f} to {high:.3f})"
    )
    play.notes["p99 without shadows and with them, ms"] = f"{median(without) * 1e3:.2f}, {median(beside) * 1e3:.2f}"
    play.notes["p99 with shadows, of that without (and of 90 % of all draws)"] = (
        f"{ratio:.3f} ({low:.3f} to {high:.3f})"
    )
    calm, calm_beside = (percentile(sorted(each), 25) for each in (without, beside))
    play.notes["the same of the turns' lower quartile, ms"] = f"{calm * 1e3:.2f}, {calm_beside * 1e3:.2f}"


def interval(without: Sequence[float], beside: Sequence[float]) -> tuple[float, float]:
    """Return between what the ratio of the medians lies in 90 % of all draws of as many pairs (bootstrap)."""
    chance, pairs = random.Random(23), list(zip(without, beside, strict=True))
    ratios = []
    for _ in range(DRAWS):
        drawn = chance.choices(pairs, k=len(pairs))
        ratios.append(median(second for _, second in drawn) / median(first for first, _ in drawn))
    ratios.sort()
    return percentile(ratios, 5), percentile(ratios, 95)


@fault("F23", "shadow reads of a modern that is dead (SIGKILL)", rules=RULES, sides=UNCAPPED)
async def dead(play: Play) -> None:
    await measured(play, lambda play: play.stage.modern.kill())


@fault("F23E", "shadow reads of a modern that answers 500", rules=RULES, sides=UNCAPPED)
async def failing(play: Play) -> None:
    await measured(play, lambda play: play.stage.modern.obey("status 500"))


@fault("F23S", "shadow reads of a modern that is late by 5 s", proxied=True, rules=RULES, sides=UNCAPPED)
async def slow(play: Play) -> None:
    async def breaks(play: Play) -> None:
        play.stage.proxies["modern"].poison(down=Toxics(latency_s=5.0))

    await measured(play, breaks)
