"""
Faults of the sides and of what lies between them and the gateway: dead, silent, failing, late, torn.
"""

from __future__ import annotations

import random
import time

from tests.faults.faultproxy import CutBy, Toxics
from tests.faults.ledger import latency_of
from tests.faults.load import Fate
from tests.faults.pace import pause
from tests.faults.plan import aborted_only_in_flight, all_answered, fault, nothing_lost, of_fate
from tests.faults.play import Play
from tests.faults.tokens import LONG_BYTES

HEAD_WITH_FALLBACK_S, OPEN_S, PROBES = 3.0, 5.0, 3  # defaults of the gateway
CUTS = (0, 10, 120, 250, 900, 21_000, LONG_BYTES - 1, LONG_BYTES * 3)  # bytes of answers that pass on a connection
EARLY_CUTS = (0, 0, 10, 60, 400)  # of legacy's: a write is done, and its answer is not seen
FLAP_S = 2.0
OVERLOAD = 3  # times what the sides can do
FELT = 12  # requests: twice as many as eject an instance; fewer where it is left alone before, as the busiest one


@fault("F1", "modern is killed (SIGKILL)")
async def killed(play: Play) -> None:
    await play.calm()
    with play.fault():
        await play.stage.modern.kill()
        await play.last()
        await play.stage.modern.start()
    await play.recovery()
    await play.settle()
    nothing_lost(play, aborted=True)
    all_answered(play)
    aborted_only_in_flight(play)


@fault("F2", "modern hangs (SIGSTOP)")
async def hangs(play: Play) -> None:
    await play.calm()
    with play.fault():
        play.stage.modern.hang()
        await play.last()
        play.stage.modern.go_on()
    await play.recovery()
    await play.settle()
    nothing_lost(play)
    all_answered(play)


@fault("F2L", "legacy hangs (SIGSTOP), its head_s 2", sides={"legacy": {"timeouts": {"head_s": 2}}})
async def legacy_hangs(play: Play) -> None:
    await play.calm()
    with play.fault():
        play.stage.legacy.hang()
        await play.last()
        play.stage.legacy.go_on()
    await play.recovery()
    account = await play.settle()
    nothing_lost(play)
    turned_away = of_fate(Fate.REFUSED, play.outcomes)
    play.must_be_none("refused of modern's part", [each for each in turned_away if each.side != "legacy"])
    play.must_be_none("refused but by 502 and 504", [each for each in turned_away if each.status not in (502, 504)])
    play.notes["writes done though their clients were told 504"] = account.unsettled


@fault("F3", "modern answers 500, then 503")
async def errors(play: Play) -> None:
    await play.calm()
    with play.fault():
        for status in (500, 503):
            await play.stage.modern.obey(f"status {status}")
            await play.last(0.5)
        await play.stage.modern.obey("status 200")
    await play.recovery()
    await play.settle()
    nothing_lost(play)
    all_answered(play)


@fault("F4", "modern flaps: refused and reset for 2 s, well for 2 s", proxied=True)
async def flaps(play: Play) -> None:
    proxy = play.stage.proxies["modern"]
    phase_s = min(FLAP_S, play.tempo.fault_s / 2)
    await play.calm()
    with play.fault():
        for _ in range(max(1, round(play.tempo.fault_s / phase_s / 2))):
            proxy.stop_accepting()
            proxy.reset_all()
            await pause(phase_s)
            await proxy.start()
            await pause(phase_s)
    await play.recovery()
    await play.settle()
    nothing_lost(play, aborted=True)
    all_answered(play)
    play.notes["the breaker opened, times"] = await play.stage.metric("banyan_breaker_trips_total")


@fault("F5", "answers torn anywhere: cut by close and reset (modern, then both), garbled, half-closed", proxied=True)
async def torn(play: Play) -> None:
    modern, legacy = play.stage.proxies["modern"], play.stage.proxies["legacy"]
    chance = random.Random(5)
    await play.calm()
    with play.fault():
        both_from = time.monotonic() + play.tempo.fault_s * 0.4
        while time.monotonic() < play.begun + play.tempo.fault_s * 0.8:
            modern.poison(down=Toxics(cut_after=chance.choice(CUTS), cut_by=chance.choice(list(CutBy))))
            if time.monotonic() >= both_from:
                legacy.poison(down=Toxics(cut_after=chance.choice(EARLY_CUTS), cut_by=chance.choice(list(CutBy))))
            await play.last(0.04)
        legacy.heal()
        for toxics in (Toxics(corrupt=frozenset(range(4)), slice_bytes=900), Toxics(half_close_after=200)):
            modern.poison(down=toxics)
            modern.reset_all()
            await play.last(0.1)
        modern.heal()
        modern.reset_all()
        legacy.reset_all()
    await play.recovery()
    account = await play.settle()
    nothing_lost(play, aborted=True)
    alone = [each for each in play.during() if each.ended < both_from]
    play.must_be_none("refused while only modern was torn", of_fate(Fate.REFUSED, alone))
    held = [each for each in of_fate(Fate.ABORTED, alone) if each.request.number % 5]
    play.must_be_none("aborted while only modern was torn, though short enough to be held", held)
    play.must("it was felt", account.resent_reads + account.aborted, account.resent_reads + account.aborted)
    play.notes["read again from legacy"] = account.resent_reads
    play.notes["writes done though their clients were told 502 or nothing"] = account.unsettled


@fault("F6", "modern is late: by 200 ± 100 ms, then by 5 s", proxied=True)
async def late(play: Play) -> None:
    proxy = play.stage.proxies["modern"]
    await play.calm()
    with play.fault():
        for seconds, jitter_s in ((0.2, 0.1), (5.0, 0.0)):
            proxy.poison(down=Toxics(latency_s=seconds, jitter_s=jitter_s))
            await play.last(0.5)
        proxy.heal()
        proxy.reset_all()
    await play.recovery()
    await play.settle()
    nothing_lost(play)
    all_answered(play)
    p99_s = latency_of(play.during()).p99_s
    play.must("p99 within head_with_fallback_s and a second", p99_s <= HEAD_WITH_FALLBACK_S + 1, f"{p99_s:.2f} s")


@fault("F7", "modern is a black hole: no packet is answered, not even a SYN", proxied=True)
async def black_hole(play: Play) -> None:
    proxy = play.stage.proxies["modern"]
    await play.calm()
    with play.fault():
        proxy.swallow()
        await play.last()
        proxy.reset_all()
        proxy.heal()
        await proxy.start()
    await play.recovery()
    await play.settle()
    nothing_lost(play)
    all_answered(play)


@fault("F8", "legacy is killed (SIGKILL)")
async def legacy_killed(play: Play) -> None:
    await play.calm()
    with play.fault():
        await play.stage.legacy.kill()
        await play.last()
        await play.stage.legacy.start()
    await play.recovery()
    await play.settle()
    nothing_lost(play, aborted=True)
    aborted_only_in_flight(play)
    turned_away = of_fate(Fate.REFUSED, play.outcomes)
    play.must_be_none("refused of modern's part", [each for each in turned_away if each.side != "legacy"])
    well = [each for each in of_fate(Fate.ANSWERED, play.during()) if each.side == "modern"]
    play.must("modern answers its part", well, len(well))
    taken = latency_of(of_fate(Fate.REFUSED, play.during()))
    play.notes["a refusal takes, ms (p50, max)"] = f"{taken.p50_s * 1e3:.1f}, {taken.max_s * 1e3:.0f}"


SMALL = {"connections": 4, "pending_requests": 16}


@fault(
    "F19",
    "three times as many requests as both sides together can answer; limits of 4 connections and 16 that wait",
    sides={"legacy": {"limits": SMALL}, "modern": {"limits": SMALL}},
)
async def overload(play: Play) -> None:
    sides = (play.stage.legacy, play.stage.modern)
    a_second = play.tempo.rate / OVERLOAD
    await play.calm()
    with play.fault():
        for side in sides:
            await side.obey(f"takes {len(sides) / a_second}")
        await play.last()
        for side in sides:
            await side.obey("takes 0")
    await play.recovery()
    await play.settle()
    nothing_lost(play)
    play.must_be_none(
        "refused but by 503", [each for each in of_fate(Fate.REFUSED, play.outcomes) if each.status != 503]
    )
    answered = of_fate(Fate.ANSWERED, play.during())
    goodput = len(answered) / (play.ended - play.begun) / a_second
    play.must("goodput of 80 % of what the sides can do", goodput >= 0.8, f"{goodput:.0%}")
    waited = latency_of(answered)
    play.must("answers within connect_s, head and a second", waited.max_s <= 3, f"{waited.max_s:.2f} s")
    refused = latency_of(of_fate(Fate.REFUSED, play.during()))
    play.notes["goodput, of what the sides can do"] = f"{goodput:.0%}"
    play.notes["an answer takes, ms (p50, max)"] = f"{waited.p50_s * 1e3:.0f}, {waited.max_s * 1e3:.0f}"
    play.notes["a refusal takes, ms (p50, max)"] = f"{refused.p50_s * 1e3:.1f}, {refused.max_s * 1e3:.0f}"


@fault("F22", "modern times out all the time: how much is read twice", proxied=True)
async def storm(play: Play) -> None:
    proxy = play.stage.proxies["modern"]
    await play.calm()
    with play.fault():
        proxy.poison(down=Toxics(hang=True))
        await play.last()
        proxy.heal()
        proxy.reset_all()
    await play.recovery()
    await play.settle()
    nothing_lost(play, aborted=True)
    all_answered(play)
    twice = [each for each in play.during() if each.fallback]
    later = [each for each in twice if each.due > play.begun + HEAD_WITH_FALLBACK_S + 1]
    probes = PROBES * (1 + (play.ended - play.begun) / OPEN_S)
    play.must("read twice once the breaker has opened: no more than its probes", len(later) <= probes, len(later))
    play.notes["read twice before the breaker opened"] = len(twice) - len(later)
    play.notes["read twice after that"] = len(later)


async def left_out(play: Play) -> None:
    """Hold that hardly a request came to the instance, and that modern went on with its others."""
    felt = [each for each in play.during() if each.fallback or each.ended - each.due > HEAD_WITH_FALLBACK_S / 2]
    play.must(f"felt by no more than {FELT} requests", len(felt) <= FELT, len(felt))
    play.notes["read from legacy instead"] = len([each for each in play.during() if each.fallback])
    play.notes["answered by modern meanwhile"] = len([each for each in play.during() if each.side == "modern"])
    ejected = 'banyan_instance_changes_total{side="modern",turn="ejected"}'
    play.notes["the instance was ejected, times"] = await play.stage.metric(ejected)


@fault("F1I", "one of modern's three instances is killed (SIGKILL)", instances=3)
async def instance_killed(play: Play) -> None:
    await killed(play)
    await left_out(play)


@fault("F2I", "one of modern's three instances hangs (SIGSTOP)", instances=3)
async def instance_hangs(play: Play) -> None:
    await hangs(play)
    await left_out(play)


@fault("F7I", "one of modern's three instances is a black hole", proxied=True, instances=3)
async def instance_swallows(play: Play) -> None:
    await black_hole(play)
    await left_out(play)
