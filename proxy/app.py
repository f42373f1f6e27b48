"""
The house put together from Settings, started, run and shut down: the only room that constructs I/O objects.

Decides nothing about requests. What it does do: order. Ports are held before anything slow begins, rules are known
before the first request is taken, and nothing is closed before what is under way has ended.
"""

from __future__ import annotations

import asyncio
import gc
import ipaddress
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from socket import socket
from time import perf_counter
from typing import TYPE_CHECKING

import structlog
import uvloop
from aiohttp import web
from structlog.typing import FilteringBoundLogger

from proxy.addresses import EMBEDDED
from proxy.admin.api import build_admin
from proxy.admin.connections import Terms, listening
from proxy.admin.probes import build_probes
from proxy.admin.readiness import not_ready
from proxy.background import Background
from proxy.behind import Behind, Told
from proxy.core.errors import StoreError
from proxy.core.instances import Change, Roster
from proxy.core.limits import ClientDeadlines, PoolLimits, WireLimits
from proxy.core.rules import Side
from proxy.core.table import compile_table
from proxy.descriptors import fitting, needed, raise_limit
from proxy.gateway.gateway import Gateway
from proxy.gateway.outgoing import Manner, SideManner
from proxy.logs import start_logging
from proxy.replica import Replica, new_replica_id, plan_defaults
from proxy.settings import Settings
from proxy.sockets import held
from proxy.store.embedded import EmbeddedServer
from proxy.store.emergencies import Emergencies
from proxy.store.events import Events
from proxy.store.evidence import EvidenceStore
from proxy.store.fleet import Fleet
from proxy.store.follower import Follower
from proxy.store.link import Link
from proxy.store.mismatches import MismatchStore
from proxy.store.rules import RuleStore
from proxy.store.snapshot import Snapshot
from proxy.systemd import Notifier
from proxy.wire.instances import Place
from proxy.wire.listener import Listener, PortTaken
from proxy.wire.pool import Pool
from proxy.wire.tls import Trust
from proxy.wire.wheel import Wheel
from proxy.workers.certificates import Certificates
from proxy.workers.changes import Changes
from proxy.workers.clusters import Clusters
from proxy.workers.emergencyfile import EmergencyFile
from proxy.workers.files import FileFollower, Hooks
from proxy.workers.health import check_message, keep_checking
from proxy.workers.status import Reader

if TYPE_CHECKING:  # only several processes need these
    from proxy.admin.gathering import Gathering
    from proxy.process import Process

EXIT_OK, EXIT_PORT, EXIT_STORE = 0, 1, 5
TICK_S = 0.25
SWITCH_S = 0.001  # after which a thread that compares lets the event loop on; usual are 5 ms
LAST_CALL_S = 0.5  # who came to probes or admin just before others took over gets so long to ask
BEGIN_S = 1.0  # how long the start waits for the store; without it the snapshot or the files serve


def run(settings: Settings, config_path: Path | None, process: Process | None = None) -> int:
    """
    Run one replica until it is told to stop; return the exit code of `banyan run`.

    `process` is there when it is one of several under a parent. 0 after SIGTERM or SIGINT, 1 for a taken port, 5 for
    an embedded store that does not start.
    """
    log = start_logging()
    if process is not None:
        structlog.contextvars.bind_contextvars(process=process.name)
    log.info("starting", config=str(config_path) if config_path else None, build=build())
    settings = _within_descriptors(settings, log)
    try:
        return uvloop.run(_serve(settings, log, process))
    except PortTaken as exc:
        print(f"banyan: {exc}", file=sys.stderr)
        return EXIT_PORT
    except StoreError as exc:
        print(f"banyan: {exc}", file=sys.stderr)
        return EXIT_STORE
    finally:
        if process is not None:
            process.close()


def _within_descriptors(settings: Settings, log: FilteringBoundLogger) -> Settings:
    """Return the settings with as many clients as this process has descriptors for; say so if that is fewer."""
    descriptors = raise_limit()
    fit = fitting(settings, descriptors)
    if descriptors < needed(settings):
        log.warning(
            "few_descriptors",
            why=f"`limits.connections` and those of the sides need {needed(settings)}; raise `ulimit -Hn`",
            descriptors=descriptors,
            connections=fit.limits.connections,
        )
    return fit


def build() -> str:
    """Return the version of Banyan that is installed."""
    try:
        return version("banyan-proxy")
    except PackageNotFoundError:
        return "unknown"


async def _serve(settings: Settings, log: FilteringBoundLogger, process: Process | None) -> int:
    stop = asyncio.Event()
    hurry = asyncio.Event()
    reload = asyncio.Event()
    notifier = Notifier(os.environ)
    loop = asyncio.get_running_loop()

    def told_to_stop() -> None:
        hurry.set() if stop.is_set() else stop.set()  # a second signal means now

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told_to_stop)
    loop.add_signal_handler(signal.SIGHUP, reload.set)
    loop.add_signal_handler(signal.SIGUSR2, lambda: log.warning("no_hot_restart", why="only a parent of processes can"))
    async with running(settings, log, reload, process) as replica:
        _say_ready(replica, log, notifier, process)
        replaced = await _until_told(stop, process)
        if process is not None and process.is_orphan:
            log.error("parent_gone", why="nobody keeps this process any more: it finishes what it has")
        notifier.tell("STOPPING=1")
        log.info("draining", drain_s=settings.drain_s, pre_drain_s=0 if replaced else settings.pre_drain_s)
        replica.draining = not replaced  # then it is not for this process to say whether there should be traffic
        replica.leaving = replaced
        ending = asyncio.ensure_future(_drain(replica, settings, replaced))
        hurried = asyncio.ensure_future(hurry.wait())
        await asyncio.wait((ending, hurried), return_when=asyncio.FIRST_COMPLETED)
        hurried.cancel()
        ending.cancel()
        await asyncio.wait((ending,))
        if ending.cancelled():  # told twice: what is under way is cut here, before its sides are closed
            ending = asyncio.ensure_future(replica.listener.drain(0))
        log.info("drained", cut=await ending)
    log.info("stopped")
    return EXIT_OK


def _say_ready(replica: Replica, log: FilteringBoundLogger, notifier: Notifier, process: Process | None) -> None:
    if process is None:
        log.info("ready", **replica.addresses())
        notifier.tell("READY=1")
    else:  # the rest is said by the parent, when all are
        log.info("process_ready")
        process.say_ready()


async def _until_told(stop: asyncio.Event, process: Process | None) -> bool:
    """Serve until told to end; return whether others serve instead from now on."""
    if process is None:
        await stop.wait()
        return False
    stopped = asyncio.ensure_future(stop.wait())
    cut = asyncio.ensure_future(process.until_told())
    await asyncio.wait((stopped, cut), return_when=asyncio.FIRST_COMPLETED)
    cut.cancel()
    return not stopped.done()


async def _drain(replica: Replica, settings: Settings, replaced: bool) -> int:
    """Let everything under way end; return how many connections had to be cut."""
    if replaced:  # whoever comes to probes and admin from now on is to reach the others, who has come gets an answer
        for door in replica.doors:
            await door.stop()
        cut, _ = await asyncio.gather(replica.listener.drain(settings.drain_s), asyncio.sleep(LAST_CALL_S))
        return cut
    if settings.pre_drain_s:
        await asyncio.sleep(settings.pre_drain_s)
    return await replica.listener.drain(settings.drain_s)


@asynccontextmanager
async def running(
    settings: Settings, log: FilteringBoundLogger, reload: asyncio.Event, process: Process | None = None
) -> AsyncIterator[Replica]:
    """Run one replica: ready when entered, gone when left. Raises PortTaken, or StoreError for the embedded store."""
    async with AsyncExitStack() as stack:
        sockets = process.sockets if process is not None else held(settings)
        for sock in sockets.values():
            stack.callback(sock.close)
        url = settings.store
        embedded: EmbeddedServer | None = None
        if settings.store == EMBEDDED:
            embedded = EmbeddedServer(settings.data_dir)
            await embedded.start()
            stack.push_async_callback(embedded.stop)
            url = embedded.url
        link = Link(url, settings.namespace)
        stack.push_async_callback(link.close)
        asked = Asked(reload, rules=asyncio.Event(), certificates=asyncio.Event())
        replica = await _built(settings, log, link, asked, stack)
        await stack.enter_async_context(_listening(replica, sockets, process))
        background = await stack.enter_async_context(Background(log))  # ends first: what it works with still stands
        _spawn(replica, background, settings, log)
        replica.behind.spawn(background, lambda: replica.table.epoch)
        background.spawn("reload", asked.pass_on)
        if embedded is not None:
            background.spawn("embedded_store", embedded.keep, lambda what: log.warning("embedded_store", what=what))
        gc.collect()
        gc.set_threshold(50_000, 20, 50)  # hardly anything is left to it: exchanges end without a circle
        sys.setswitchinterval(SWITCH_S)
        gc.freeze()  # what lives until the end need not be looked at by every collection
        yield replica
        await _farewell(replica)


async def _built(
    settings: Settings, log: FilteringBoundLogger, link: Link, asked: Asked, stack: AsyncExitStack
) -> Replica:
    wheel = Wheel()
    limits = WireLimits(**settings.limits.model_dump(exclude={"loop_lag_s"}))
    replica_id = new_replica_id()
    events = Events(link, log, who=replica_id)
    certificates = Certificates(events, asked.certificates)
    fleet = Fleet(link)
    rules = RuleStore(link)
    emergencies = Emergencies(link)
    replica = Replica(settings, build(), replica_id, events, fleet)
    pools = {}
    placed = {}
    for side in Side:
        if settings.side(side).files is not None and not settings.side(side).tls.verify:
            log.warning("side_not_verified", side=side.value, why="whoever answers there is believed")
        places = placed[side] = _places(settings, side, certificates)
        pools[side] = _pool(settings, side, places, wheel, limits, partial(replica.instance_changed, side))
        stack.push_async_callback(pools[side].close)
    gateway = Gateway(
        compile_table(None, plan_defaults(settings)),
        pools,
        {side: _side_manner(settings, side) for side in Side},
        _manner(settings, replica_id),
        replica.tripped,
    )
    behind = Behind(settings, gateway, placed, wheel, Told(link, events, fleet, replica_id))
    stack.push_async_callback(behind.close)
    follower = Follower(
        link, events, log, on_change=replica.follow, prepare=replica.prepare, snapshot=Snapshot(settings.data_dir),
        replica=replica_id,
    )  # fmt: skip
    files = FileFollower(
        settings.rules,
        rules,
        events,
        hooks=Hooks(held=replica.held_from_store, on_change=replica.files_changed, published=follower.poke),
        reload=asked.rules,
    )
    replica.gateway = gateway
    replica.behind = behind
    replica.follower = follower
    replica.files = files
    served = settings.tls.files
    tls = certificates.keep("tls", served) if served is not None else None
    replica.listener = Listener(gateway, wheel, limits, _deadlines(settings), tls)
    replica.certificates = certificates
    replica.wheel = wheel
    replica.changes = Changes(rules, emergencies, fleet, settings.live_changes)
    replica.reader = Reader(rules, emergencies, fleet, events, EvidenceStore(link))
    replica.clusters = Clusters(rules, MismatchStore(link))
    return replica


def _deadlines(settings: Settings) -> ClientDeadlines:
    timeouts = settings.timeouts
    return ClientDeadlines(timeouts.client_head_s, timeouts.client_body_idle_s, timeouts.idle_s)


def _places(settings: Settings, side: Side, certificates: Certificates) -> list[Place]:
    where = settings.side(side)
    context = certificates.keep(f"sides.{side}.tls", where.files) if where.files is not None else None
    return [
        Place(each.host, each.port, Trust(context, where.server_name(each)) if context is not None else None)
        for each in where.origins
    ]


def _pool(
    settings: Settings,
    side: Side,
    places: list[Place],
    wheel: Wheel,
    limits: WireLimits,
    tell: Callable[[Change], None],
) -> Pool:
    where = settings.side(side)
    roster = Roster(len(places), where.outlier_detection, where.health_check)
    return Pool(side.value, places, wheel, limits, PoolLimits(**where.limits.model_dump()), roster, tell)


def _side_manner(settings: Settings, side: Side) -> SideManner:
    where = settings.side(side)
    authorities = tuple(each.authority.lower().encode() for each in where.origins)
    added = "".join(f"{name.lower()}: {value}\r\n" for name, value in where.headers.items())
    replaced = frozenset(name.lower().encode() for name in where.headers)
    return SideManner(authorities, added.encode("latin-1"), replaced, where.scheme.encode())


def _manner(settings: Settings, replica_id: str) -> Manner:
    secret = settings.force_secret
    return Manner(
        via_name=settings.via_name.encode(),
        expose=settings.expose,
        force_secret=secret.get_secret_value().encode() if secret is not None else None,
        strip_validators=settings.validators == "primary",
        trusted=tuple(ipaddress.ip_network(network, strict=False) for network in settings.trusted_proxies),
        request_id_prefix=f"{replica_id}-".encode(),
        body_buffer_bytes=settings.limits.body_buffer_bytes,
        access_log=settings.access_log,
    )


@asynccontextmanager
async def _listening(replica: Replica, sockets: dict[str, socket], process: Process | None) -> AsyncIterator[None]:
    """
    Probes first, so that whoever waits for readiness is answered; data last, when the rules are known.

    Raises StoreError where other processes serve and this one would know less than they do.
    """
    async with AsyncExitStack() as stack:
        settings = replica.settings
        gathering = None
        if process is not None:
            from proxy.admin.gathering import Gathering

            gathering = Gathering(replica, process.name, process.board, process.ledger)
            replica.parent = process.parent
            await stack.enter_async_context(gathering.open())
        if process is None or not process.succeeds:
            await stack.enter_async_context(_doors(replica, sockets, gathering))
        if settings.emergency_file is not None:
            replica.emergency_file = EmergencyFile(
                settings.emergency_file, structlog.get_logger("banyan"), replica.follower.emergency_file
            )
            replica.emergency_file.look()
        replica.offer_files()
        await replica.follower.begin(BEGIN_S)
        if process is not None and process.succeeds:
            if reasons := not_ready(replica):
                raise StoreError(f"others serve already, and this process could not: {'; '.join(reasons)}")
            await stack.enter_async_context(_doors(replica, sockets, gathering))
        replica.wheel.start(replica.turned)
        stack.callback(replica.wheel.stop)
        replica.ports = {name: sock.getsockname()[:2] for name, sock in sockets.items()}
        await replica.listener.start(sockets["data"], None if process is None else process.share)
        yield


@asynccontextmanager
async def _doors(replica: Replica, sockets: dict[str, socket], gathering: Gathering | None) -> AsyncIterator[None]:
    """Open the listeners of probes and admin."""

    async def last_of_all(request: web.Request, response: web.StreamResponse) -> None:
        if replica.leaving:
            response.force_close()

    drain_s = min(replica.settings.drain_s, 2.0)
    terms = Terms(_deadlines(replica.settings), lambda what: replica.records.alarms.add(("", what)))
    async with AsyncExitStack() as stack:
        for name, app in (("probes", build_probes(replica, gathering)), ("admin", build_admin(replica, gathering))):
            app.on_response_prepare.append(last_of_all)
            site = await stack.enter_async_context(listening(app, sockets[name], terms, drain_s))
            replica.doors.append(site)
        yield


def _spawn(replica: Replica, background: Background, settings: Settings, log: FilteringBoundLogger) -> None:
    background.spawn("store", replica.follower.run)
    background.spawn("files", replica.files.run)
    if replica.certificates is not None:
        background.spawn("certificates", replica.certificates.run)
    for side, pool in replica.gateway.pools.items():
        _spawn_checks(side, pool, replica.gateway.sides[side], background, settings)
    background.spawn("events", replica.events.run)
    background.spawn("heartbeat", replica.fleet.run, replica.heartbeat)
    background.spawn("ticks", _tick, replica)
    if settings.access_log:
        background.spawn("access_log", replica.records.write_lines)
    if replica.emergency_file is not None:
        background.spawn("emergency_file", replica.emergency_file.run)


def _spawn_checks(side: Side, pool: Pool, manner: SideManner, background: Background, settings: Settings) -> None:
    where = settings.side(side)
    if where.health is None or not where.health_check.interval_s:
        return
    messages = [check_message(where.health, authority, manner.added) for authority in manner.authorities]
    background.spawn(f"health_of_{side}", keep_checking, pool, messages, where.health_check)


@dataclass(frozen=True, slots=True)
class Asked:
    """A SIGHUP, passed on to each of those who follow files."""

    reload: asyncio.Event
    rules: asyncio.Event
    certificates: asyncio.Event

    async def pass_on(self) -> None:
        """Wake them all, each time."""
        while True:
            await self.reload.wait()
            self.reload.clear()
            self.rules.set()
            self.certificates.set()


async def _tick(replica: Replica) -> None:
    """Let time pass for the breakers, and tell of alarms."""
    while True:
        await asyncio.sleep(TICK_S)
        replica.gateway.breakers.tick(perf_counter())
        replica.report_alarms(perf_counter())


async def _farewell(replica: Replica) -> None:
    """Tell the others, and write what is still in hand; a store that is away is not waited for."""
    with suppress(StoreError, TimeoutError):
        async with asyncio.timeout(1.0):
            await replica.fleet.leave(replica.id)
            await replica.events.flush()
    replica.records.flush()
