"""
The jobs: what is measured, in which order, and how often.

Rounds go around all proxies, and each starts anew in each round: whatever else the machine does in a minute then
meets all of them, and none profits from a lucky start. Another job is one more function in JOBS.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from tests.bench import banyan
from tests.bench.figures import Figures
from tests.bench.load import (
    BROWSER,
    LARGE,
    MIRROR,
    MIRROR_PARSED,
    PLAIN,
    Load,
    Traffic,
    affordable,
    idle_connections,
    run,
)
from tests.bench.peers import MIRRORS, Command
from tests.bench.processes import NotReady, Running, busy_s, free_ports, request
from tests.bench.second import Second, shortfall
from tests.bench.site import BODY, LARGE_BYTES, LARGE_PATH, STAMPED_PATH, Site, second_back_end, stamped

IDLE_CONNECTIONS = 8_000
FIRST_CONNECTIONS = 32  # what these take is taken once and for all, and does not count for each
STARTS = 7
SETTLE_S = 1.0
WARM_UP_S = 1
FEW_ROUTES, MANY_ROUTES = 10, 1_000


@dataclass(frozen=True, slots=True)
class Bench:
    """One benchmark: the proxies to measure, how long, and where the figures go."""

    site: Site
    proxies: Mapping[str, Command]
    rounds: int
    seconds: int  # of load for each figure of a round
    figures: Figures
    say: Callable[[str], None]

    def start(self, name: str, command: Command) -> tuple[Running, int]:
        """Start a proxy alone on its CPU; the caller leaves it. Not ready yet."""
        port = free_ports(1)[0]
        env = banyan.environment() | {"GOMAXPROCS": "1"}
        return Running(name, command(self.site, port), self.site.proxy_cpu, self.site.folder, env), port

    def record(self, job: str, unit: str, proxy: str, value: float, remark: str = "") -> None:
        self.figures.add(job, unit, proxy, value)
        self.say(f"{job}: {proxy} {value:.4g} {unit}{remark}")

    def refuse(self, job: str, proxy: str, why: str, remark: str) -> None:
        self.figures.refuse(job, proxy, why)
        self.say(f"{job}: {proxy} NOT MEASURED: {why}{remark}")


@dataclass(frozen=True, slots=True)
class Trial:
    """One proxy that runs, where it answers, and the back end that has to get every request, too, if there is one."""

    running: Running
    port: int
    second: Second | None = None


def plain(bench: Bench) -> None:
    """CPU time of one small GET, with 1 and with 12 header fields."""
    cost(bench, bench.proxies, (PLAIN, BROWSER))


def large(bench: Bench) -> None:
    """CPU time of an answer of 1 MiB."""
    cost(bench, bench.proxies, (LARGE,))


def routes(bench: Bench) -> None:
    """CPU time of one small GET with 10 and with 1,000 routes."""
    sizes = [banyan.Gateway(f"banyan {count} routes", count) for count in (FEW_ROUTES, MANY_ROUTES)]
    cost(bench, {gateway.name: gateway for gateway in sizes}, (PLAIN,), job="routes, 1 field")


def mirror(bench: Bench) -> None:
    """CPU time of one small GET that goes to both sides; answers are equal, or differ in a field that is ignored."""
    site = replace(bench.site, modern=free_ports(1)[0])
    with second_back_end(site) as back_end:
        back_end.ready(site.modern, "/")
        there = replace(bench, site=site)
        cost(there, mirroring(bench), (MIRROR, MIRROR_PARSED), second=Second(back_end, site.modern))


def mirroring(bench: Bench) -> dict[str, Command]:
    """Return the proxies, each told to send every request to both sides; those that cannot are named and left out."""
    proxies: dict[str, Command] = {}
    for name, command in bench.proxies.items():
        if isinstance(command, banyan.Gateway):
            proxies[name] = banyan.Gateway(f"{name} mirror", is_mirroring=True)
        elif name == banyan.NAME:
            proxies[name] = command  # another command in its place, which knows by itself what it does
        elif name in MIRRORS:
            proxies[name] = MIRRORS[name]
        else:
            bench.say(f"mirror: {name} does not send a request to two sides: left out")
    return proxies


def cost(
    bench: Bench,
    proxies: Mapping[str, Command],
    loads: Sequence[Load],
    job: str | None = None,
    second: Second | None = None,
) -> None:
    for number in range(bench.rounds):
        for name, command in proxies.items():
            running, port = bench.start(name, command)
            with running:
                running.ready(port, "/api/users/1")
                check_answers(name, port)
                if second is not None:
                    check_first_side(name, port)
                elif number == 0 and isinstance(command, banyan.Gateway):
                    banyan.check_both_sides(port)
                for load in loads:
                    cost_of(bench, Trial(running, port, second), load, job or load.name)


def cost_of(bench: Bench, trial: Trial, load: Load, job: str) -> None:
    site, running, second = bench.site, trial.running, trial.second
    run(load, trial.port, WARM_UP_S, site.load_cpu, site.folder)
    came = second.count() if second else 0
    cpu_s, everyone_s = running.cpu_s(), busy_s(site.proxy_cpu)
    traffic = run(load, trial.port, bench.seconds, site.load_cpu, site.folder)
    own_s, everyone_s = running.cpu_s() - cpu_s, busy_s(site.proxy_cpu) - everyone_s
    failed = traffic.failed or (load is LARGE and traffic.bytes < traffic.requests * LARGE_BYTES)
    bench.figures.failed[running.name] = bench.figures.failed.get(running.name, 0) + int(failed)
    if not traffic.requests:
        raise NotReady(f"{running.name} answered nothing within {bench.seconds} s")
    wrong = shortfall(traffic, second.count() - came) if second else ""
    cpu_s = running.cpu_s() - cpu_s  # with what was still to be done for the second back end
    remark = busy(traffic, own_s, everyone_s) + ("  FAILED REQUESTS" if failed else "")
    if wrong:
        bench.refuse(job, running.name, wrong, remark)
    else:
        bench.record(job, "µs", running.name, cpu_s / traffic.requests * 1e6, remark)


def busy(traffic: Traffic, own_s: float, everyone_s: float) -> str:
    """Return how fast it went, and who was at work on the CPU of the proxy."""
    own_pct, others_pct = (100 * spent_s / traffic.seconds for spent_s in (own_s, max(0.0, everyone_s - own_s)))
    speed = f"  {traffic.requests / traffic.seconds:,.0f}/s  p50 {traffic.p50_ms:.2f} ms  p99 {traffic.p99_ms:.2f} ms"
    return f"{speed}  its CPU: {own_pct:.0f} %, others {others_pct:.0f} %"


def check_answers(name: str, port: int) -> None:
    """NotReady unless small and large answers come through whole: a fast wrong proxy is not measured."""
    small, big = request(port, "/api/users/1"), request(port, LARGE_PATH)
    if BODY.encode() not in small or len(big) < LARGE_BYTES:
        raise NotReady(f"{name} does not pass the answers on as they are: {small[:200]!r}, {len(big)} bytes of 1 MiB")


def check_first_side(name: str, port: int) -> None:
    """NotReady unless clients get the answer of the first side where the two differ."""
    answer = request(port, f"{STAMPED_PATH}/1")
    if stamped("legacy").encode() not in answer:
        raise NotReady(f"{name} does not answer as legacy does: {answer[-80:]!r}")


def crowd(bench: Bench) -> None:
    """CPU time of one small GET on 32 connections, while thousands of others are idle."""
    count = affordable(IDLE_CONNECTIONS)
    gateway = banyan.Gateway(f"banyan beside {count:,} idle")
    for _ in range(bench.rounds):
        running, port = bench.start(gateway.name, gateway)
        with running:
            running.ready(port, "/api/users/1")
            with idle_connections(port, count):
                cost_of(bench, Trial(running, port), PLAIN, "crowd, 1 field")


def start(bench: Bench) -> None:
    """Seconds from the start of the process until it is ready and serves; the store is there already."""
    gateway = banyan.Gateway()
    for _ in range(STARTS):
        port, probes, admin = free_ports(3)
        command = gateway.command(bench.site, port, probes, admin)
        site, env = bench.site, banyan.environment()
        with Running(gateway.name, command, site.proxy_cpu, site.folder, env) as running:
            ready_s = max(running.ready(probes, "/readyz"), running.ready(port, "/api/users/1"))
            bench.record("start to ready", "s", gateway.name, ready_s)


def memory(bench: Bench) -> None:
    """Resident memory when idle, and what each of thousands of idle keep-alive connections adds to it."""
    count = affordable(IDLE_CONNECTIONS)
    if count < IDLE_CONNECTIONS:
        bench.say(f"only {count} connections: the limit of open files is too low for {IDLE_CONNECTIONS}")
    os.sched_setaffinity(0, {bench.site.load_cpu})
    for name, command in bench.proxies.items():
        running, port = bench.start(name, command)
        with running:
            running.ready(port, "/api/users/1")
            running.idle(SETTLE_S)
            idle_kb = running.rss_kb()
            bench.record("memory, idle", "MB", name, idle_kb / 1024)
            with idle_connections(port, FIRST_CONNECTIONS):
                running.idle(SETTLE_S)
                before_kb = running.rss_kb()
                with idle_connections(port, count):
                    running.idle(SETTLE_S)
                    each_kb = (running.rss_kb() - before_kb) / count
            bench.record("memory per idle connection", "KB", name, each_kb, f"  with {count:,} of them")


JOBS: dict[str, Callable[[Bench], None]] = {
    "plain": plain,
    "large": large,
    "mirror": mirror,
    "routes": routes,
    "crowd": crowd,
    "start": start,
    "memory": memory,
}
