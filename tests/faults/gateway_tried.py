"""
Faults of the gateway's own surroundings: ended and started, crowded, short of files and disk, attacked.
"""

from __future__ import annotations

import asyncio
import resource
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.faults.crowd import Crowd
from tests.faults.faultproxy import Toxics
from tests.faults.hostile import Attackers
from tests.faults.ledger import latency_of
from tests.faults.load import Fate, Line, Torn
from tests.faults.plan import aborted_only_in_flight, all_answered, fault, nothing_lost, of_fate
from tests.faults.play import Play
from tests.faults.tokens import ID_FIELD
from tests.waiting import until

CLIENT_HEAD_S, BODY_IDLE_S, IDLE_S = 3, 3, 5  # as set for F18
LINGER_S, TICK_S = 2.0, 1.0  # what the gateway takes beyond a deadline: to let an answer be read; and a margin
MANY = (4_600, 350, 50)  # slow heads, bodies and readers
FILES = 128
NEWCOMERS = 20
HELD = 300  # connections, of which not even half can be had


@fault("F15", "the gateway is ended (SIGTERM) and started again, over and over; the sides take 100 ms", proxied=True)
async def restarts(play: Play) -> None:
    codes = []
    for proxy in play.stage.proxies.values():  # so that there is always something in flight
        proxy.poison(down=Toxics(latency_s=0.1))
    await play.calm()
    with play.fault():
        for _ in range(max(2, round(play.tempo.fault_s / 2))):
            codes.append(await play.stage.restart())
            await play.last(0.1)
    await play.recovery()
    await play.settle()
    nothing_lost(play)
    play.must("every end is an orderly one: exit codes 0", not any(codes), codes)
    turned_away = of_fate(Fate.REFUSED, play.outcomes)
    play.must_be_none("refused after a connection", [each for each in turned_away if each.status])
    play.notes["restarts"] = len(codes)
    play.notes["refused because nobody listened"] = len(turned_away)


@fault(
    "F18", "slow heads (500), slow bodies (100) and slow readers (50)",
    timeouts={"client_head_s": CLIENT_HEAD_S, "client_body_idle_s": BODY_IDLE_S, "idle_s": IDLE_S},
)  # fmt: skip
async def slow_clients(play: Play) -> None:
    crowd = Crowd(play.stage.replica.port)
    await play.calm()
    with play.fault():
        await crowd.come(heads=500, bodies=100, readers=50)
        await crowd.gone(within_s=60)
    await crowd.close()
    await play.recovery()
    await play.settle()
    nothing_lost(play)
    all_answered(play)
    limits = {
        "slow heads": CLIENT_HEAD_S + LINGER_S + TICK_S,
        "slow bodies": BODY_IDLE_S + LINGER_S + TICK_S,
        "slow readers": IDLE_S * 2 + TICK_S,
    }
    for kind, limit_s in limits.items():
        stayed_s = max(crowd.stayed_s[kind], default=0.0)
        play.must(
            f"{kind}: gone within {limit_s:g} s", crowd.left(kind) == 0 and stayed_s <= limit_s, f"{stayed_s:.1f} s"
        )
        play.notes[f"{kind}: gone after, s"] = round(stayed_s, 1)


@fault("F18C", f"{sum(MANY)} slow clients at once: heads that dribble, bodies that stop, readers that take nothing")
async def many_slow_clients(play: Play) -> None:
    await play.calm()
    port = play.stage.replica.port
    crowd = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.faults.crowd", str(port), *map(str, MANY),
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert crowd.stdin is not None and crowd.stdout is not None
    try:
        with play.fault():
            came = await crowd.stdout.readline()
            all_there = time.monotonic()
            await play.last()
            held = await play.stage.metric("banyan_connections")
        crowd.stdin.close()
        turned_out = int(await crowd.stdout.readline())
    finally:
        with suppress(ProcessLookupError):
            crowd.kill()
        await crowd.wait()
    await play.recovery()
    await play.settle()
    nothing_lost(play)
    all_answered(play)
    play.must("they were all there", came == b"there\n" and held >= sum(MANY), held)
    beside = latency_of(play.during(all_there))
    play.must(
        "p99 of the others under 50 ms once they are all there", beside.p99_s < 0.05, f"{beside.p99_s * 1e3:.0f} ms"
    )
    play.notes["the others once they are all there, ms (p50, p99, max)"] = ", ".join(
        f"{each * 1e3:.1f}" for each in (beside.p50_s, beside.p99_s, beside.max_s)
    )
    play.notes["all there after, s"] = round(all_there - play.begun, 1)
    play.notes["turned out, and come again"] = turned_out


@fault("F20", f"the gateway may open {FILES} files, and {HELD} clients hold connections")
async def no_files(play: Play) -> None:
    await play.calm()
    process = play.stage.replica.process
    assert process is not None
    before = resource.prlimit(process.pid, resource.RLIMIT_NOFILE)
    held, newcomers = [], Counter[str]()
    with play.fault():
        resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (FILES, before[1]))
        for _ in range(HELD):
            held.append(await Line.open(play.stage.replica.port))
        await play.last(0.5)
        await play.stage.modern.kill()  # new connections are needed to this side as well
        await play.stage.modern.start()
        for number in range(NEWCOMERS):
            newcomers[await _asks(play.stage.replica.port, -number - 1)] += 1
        await play.last(0.5)
        play.notes["of the connections held, turned away"] = sum(not line.stands for line in held)
        for line in held:
            line.close()
        resource.prlimit(process.pid, resource.RLIMIT_NOFILE, before)
    await play.recovery()
    await play.settle()
    after = [each for each in play.outcomes if each.due > play.ended + 0.5]
    play.must("the load went on after it", after, len(after))
    for fate in (Fate.LOST, Fate.ABORTED, Fate.REFUSED):
        play.must_be_none(f"{fate} later than 0.5 s after it", of_fate(fate, after))
    play.notes["newcomers while it lasts"] = dict(newcomers)


async def _asks(port: int, number: int) -> str:
    """Ask as a newcomer does, on a connection of its own; return what came of it."""
    line = await Line.open(port)
    try:
        return str(
            (await line.ask(b"GET /api/users/1 HTTP/1.1\r\nhost: a\r\n%b: %d\r\n\r\n" % (ID_FIELD, number))).status
        )
    except Torn:
        return "turned away"
    finally:
        line.close()


@fault("F20D", "the disk under data_dir is full, while rules and emergencies change")
async def full_disk(play: Play) -> None:
    await play.calm()
    stage = play.stage
    with play.fault(), full(stage.replica.folder / ".banyan") as how:
        play.notes["the disk is full by"] = how
        await stage.store.redis.set("banyan:emergency:users", "legacy")
        await until(lambda: _in_force(play, 1), 20)
        await play.last()
        await stage.store.redis.delete("banyan:emergency:users")
        await until(lambda: _in_force(play, 0), 20)
        said = stage.replica.stderr
    await play.recovery()
    await play.settle()
    nothing_lost(play)
    all_answered(play)
    play.must("the log tells of it", "cannot write a snapshot" in said, said[-300:])


@fault("F20W", "nothing can be written any more, not even the log, while modern dies and emergencies change")
async def nothing_written(play: Play) -> None:
    await play.calm()
    stage = play.stage
    process = stage.replica.process
    assert process is not None
    before = resource.prlimit(process.pid, resource.RLIMIT_FSIZE)
    with play.fault():
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (1, before[1]))
        await stage.modern.kill()
        await play.last(0.5)
        await stage.store.redis.set("banyan:emergency:users", "legacy")
        await until(lambda: _in_force(play, 1), 20)
        await stage.modern.start()
        await stage.store.redis.delete("banyan:emergency:users")
        await until(lambda: _in_force(play, 0), 20)
        await play.last(0.5)
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, before)
    await play.recovery()
    await play.settle()
    nothing_lost(play, aborted=True)
    all_answered(play)
    aborted_only_in_flight(play)


async def _in_force(play: Play, emergencies: int) -> bool:
    return await play.stage.metric('banyan_emergency{component="users"') == emergencies


@contextmanager
def full(folder: Path) -> Iterator[str]:
    """Put a file system without a free byte in the place of `folder`; yield how it was done."""
    mounted = (
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)], check=False).returncode == 0
    )
    if not mounted:
        folder.chmod(0o500)
        yield "a folder that cannot be written to, for want of the right to mount"
        folder.chmod(0o700)
        return
    try:
        with suppress(OSError), (folder / "full").open("wb") as file:
            while file.write(b"x" * 4096):
                file.flush()
        yield "a tmpfs of 64 KiB"
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=False)


@fault("F21", "a hostile corpus beside good traffic, on the same connections to the sides")
async def hostile(play: Play) -> None:
    attackers = Attackers(play.stage.replica.port, count=16)
    for side in (play.stage.legacy, play.stage.modern):
        await side.obey("learn scripts")
    await play.calm()
    with play.fault():
        attackers.start()
        await play.last()
        await attackers.stop()
    await play.recovery()
    await play.settle()
    nothing_lost(play)
    play.must("no hostile client got another's answer", not attackers.foreign, attackers.foreign[:1])
    play.must("hostile messages were sent", attackers.messages > 50, attackers.messages)
    play.notes["hostile messages"] = attackers.messages
    play.notes["answered to them"] = dict(sorted(attackers.statuses.items()))
