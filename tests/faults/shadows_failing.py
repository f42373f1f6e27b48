"""
Faults of a side that is only asked behind the answers: what shadow reads cost clients while that side is broken.

With and without them in turn, many times, under one load, so that whatever else the machine does meets both alike. A
third of the time is spent on measuring the same twice: by how much those two differ is what this machine cannot tell.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from statistics import median

from tests.faults.faultproxy import Toxics
from tests.faults.ledger import due_between, latency_of
from tests.faults.pace import pause
from tests.faults.plan import all_answered, fault, nothing_lost
from tests.faults.play import Play

ROUNDS = 6
SHARE = 0.5  # of the time that a fault lasts, for each window
SETTLE_S = 0.5  # after a change of rules
TURNS = {"without": 0, "with": 100, "without, again": 0}
MOST = 1.05  # times the p99 without shadows

Work = Callable[[Play], Awaitable[None]]
RULES = {"phase": "shadow", "shadow": 0}
UNCAPPED = {name: {"shadow": {"requests_per_s": 0}} for name in ("legacy", "modern")}


async def measured(play: Play, breaks: Work) -> None:
    """Measure with modern broken, with shadows and without, and hold what clients must not notice."""
    await play.calm()
    taken: dict[str, list[float]] = {turn: [] for turn in TURNS}
    with play.fault():
        await breaks(play)
        for number in range(ROUNDS):
            turns = list(TURNS)
            for turn in turns[number % 3 :] + turns[: number % 3]:
                await play.stage.rule(shadow=TURNS[turn])
                await pause(SETTLE_S)
                begun = time.monotonic()
                await play.last(SHARE)
                ended = time.monotonic()
                await pause(SETTLE_S)  # for what was due to end
                taken[turn].append(latency_of(due_between(play.outcomes, begun, ended)).p99_s)
    shadows = await play.stage.metric("banyan_shadow_reads_total")
    await play.settle()
    nothing_lost(play)
    all_answered(play)
    play.must("there were shadow reads", shadows > 0, shadows)
    judge(play, taken)
    play.notes["reads that were to be compared"] = round(shadows)


def judge(play: Play, taken: dict[str, list[float]]) -> None:
    """Hold that p99 is the same with shadows, as far as it is the same without them, measured twice."""
    without, again = median(taken["without"]), median(taken["without, again"])
    base_s = median(taken["without"] + taken["without, again"])
    with_s = median(taken["with"])
    noise = abs(without - again) / base_s
    ratio = with_s / base_s
    play.must(f"p99 within {MOST - 1:.0%} of that without shadows", ratio <= MOST + noise, f"{ratio:.3f}")
    play.notes["p99 without shadows and with them, ms (medians)"] = f"{base_s * 1e3:.2f}, {with_s * 1e3:.2f}"
    play.notes["p99 with shadows, of that without"] = f"{ratio:.3f}"
    play.notes["the same without shadows, measured twice, differs by"] = f"{noise:.1%}"
    for turn, each in taken.items():
        play.notes[f"p99 {turn} by round, ms"] = " ".join(f"{p99_s * 1e3:.2f}" for p99_s in each)


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
