"""
The parent of several processes: it owns the listening sockets and the embedded store, and answers no request itself.

So it stays small and has nothing to fail at: a process that dies takes only its own connections with it and is started
again, and a hot restart (SIGUSR2) puts new processes on the same sockets before the old ones leave. SIGTERM drains
them all, SIGHUP is passed on. If it is killed itself, its processes notice and drain.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import socket
import sys
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack, suppress
from dataclasses import replace

from structlog.typing import FilteringBoundLogger

from proxy.addresses import EMBEDDED
from proxy.background import Background
from proxy.config import Config, read_config, text_of
from proxy.core.errors import ConfigError, StoreError
from proxy.descriptors import raise_limit
from proxy.generation import Estate, Generation
from proxy.ledger import Ledger
from proxy.logs import start_logging
from proxy.settings import Settings
from proxy.sockets import addresses_of, held
from proxy.store.embedded import EmbeddedServer
from proxy.systemd import Notifier
from proxy.wire.listener import BACKLOG, PortTaken

EXIT_OK, EXIT_PORT, EXIT_STORE = 0, 1, 5
START_S = 60.0  # how long the processes of a hot restart may take to become ready
MARGIN_S = 10.0  # beyond pre_drain_s and drain_s, for the farewell
HURRY_S = 3.0  # after a second signal


def supervise(config: Config, sockets: Mapping[str, socket.socket]) -> int:
    """
    Run `processes` processes until told to stop; return the exit code of `banyan run`.

    `sockets` are those that systemd opened, by listener; the others are bound here. 0 after SIGTERM or SIGINT, 1 for a
    taken port, 4 and 5 when processes cannot start for what is in the settings or for want of the embedded store.
    """
    log = start_logging()
    raise_limit()  # for those that it starts, too
    try:
        listening = _listening(config.settings, sockets)
        return asyncio.run(Supervisor(config, listening, log, Notifier(os.environ)).run())
    except PortTaken as exc:
        print(f"banyan: {exc}", file=sys.stderr)
        return EXIT_PORT
    except StoreError as exc:
        print(f"banyan: {exc}", file=sys.stderr)
        return EXIT_STORE


def _listening(settings: Settings, given: Mapping[str, socket.socket]) -> dict[str, socket.socket]:
    """Return the sockets of all listeners, which queue what connects until there is a process; raises PortTaken."""
    sockets = held(settings, given)
    for name, (key, listen) in addresses_of(settings).items():
        try:
            sockets[name].listen(BACKLOG)
        except OSError as exc:
            raise PortTaken(f"{key}: cannot listen on {listen}: {exc.strerror or exc}") from exc
    return sockets


class Supervisor:
    """One parent, from its start to its end."""

    def __init__(
        self, config: Config, sockets: Mapping[str, socket.socket], log: FilteringBoundLogger, notifier: Notifier
    ) -> None:
        self._config = config
        self._sockets = dict(sockets)
        self._log = log
        self._notifier = notifier
        self._stirred = asyncio.Event()
        self._stops = 0  # signals to stop so far: the second means now
        self._again = False
        self._number = 0
        self._generations: list[Generation] = []  # one is in force, the others leave
        self._name = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(2)}"
        self._embedded: EmbeddedServer | None = None
        self._background: Background
        self._estate: Estate

    async def run(self) -> int:
        """Keep the processes running until told to stop; return the exit code."""
        self._heed_signals()
        async with AsyncExitStack() as stack:
            ledger = Ledger.create()
            stack.callback(ledger.remove)
            command = (sys.executable, *sys.orig_argv[1:])  # as this one was started: it finds the same code
            self._estate = Estate(self._name, command, self._sockets, ledger)
            stack.push_async_callback(self._stop_store)
            self._background = await stack.enter_async_context(Background(self._log))
            processes = self._config.settings.processes
            self._log.info("starting", parent=self._name, processes=processes, ledger=str(ledger.folder))
            first = await self._begin(succeeds=False)
            await self._until(lambda: first.complete or first.failed is not None or self._stops > 0)
            if first.complete:
                await self._serve()
            await self._end()
            return first.failed or EXIT_OK

    async def _serve(self) -> None:
        """See to hot restarts until told to stop."""
        where = {name: "{}:{}".format(*sock.getsockname()[:2]) for name, sock in self._sockets.items()}
        self._log.info("ready", **where, processes=self._config.settings.processes)
        self._notifier.tell("READY=1")
        while not self._stops:
            if self._again:
                self._again = False
                await self._replace()
            await self._until(lambda: self._again or self._stops > 0)

    # Signals

    def _heed_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._told_to_stop)
        loop.add_signal_handler(signal.SIGHUP, self._told_to_read)
        loop.add_signal_handler(signal.SIGUSR2, self._told_to_restart)
        loop.add_signal_handler(signal.SIGCHLD, self._look)

    def _told_to_stop(self) -> None:
        self._stops += 1
        self._stirred.set()

    def _told_to_restart(self) -> None:
        self._again = True
        self._stirred.set()

    def _told_to_read(self) -> None:
        for generation in self._generations:
            generation.tell(signal.SIGHUP, ready_only=True)

    def _look(self) -> None:
        for generation in self._generations:
            generation.look()

    async def _until(self, condition: Callable[[], bool], within_s: float | None = None) -> bool:
        """Wait until `condition` holds, or for `within_s`; return whether it does."""
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                while not condition():
                    self._stirred.clear()
                    await self._stirred.wait()
        return condition()

    # Generations

    async def _begin(self, succeeds: bool) -> Generation:
        """Start the next generation; raises StoreError when its embedded store does not start."""
        store = await self._store() if self._config.settings.store == EMBEDDED else None
        self._number += 1
        generation = Generation(self._number, self._config, self._estate, self._stirred.set, self._log)
        self._generations.append(generation)
        generation.start(store, succeeds)
        return generation

    async def _store(self) -> str:
        """Return the address of the embedded store, which is started when it is asked for first."""
        if self._embedded is None:
            embedded = EmbeddedServer(self._config.settings.data_dir)
            await embedded.start()
            self._embedded = embedded
            log = self._log
            self._background.spawn(
                "embedded_store", embedded.keep, lambda what: log.warning("embedded_store", what=what)
            )
        return self._embedded.url

    async def _stop_store(self) -> None:
        if self._embedded is not None:
            await self._embedded.stop()

    async def _replace(self) -> None:
        """Bring up new processes beside the old ones; then the old ones leave, or, if that fails, the new ones."""
        before, old = self._config, list(self._generations)
        self._log.info("restarting", generation=self._number + 1)
        self._config = self._read_again()
        try:
            new = await self._begin(succeeds=True)
        except StoreError as exc:
            self._config = before
            self._log.error("restart_failed", why=str(exc))
            return
        await self._until(lambda: new.complete or new.failed is not None or self._stops > 0, START_S)
        if new.complete:
            self._log.info("restarted", generation=new.number)
            for generation in old:
                self._retire(generation)
            return
        self._config = before
        self._log.error("restart_failed", why=self._why_not(new))
        self._retire(new)

    def _why_not(self, new: Generation) -> str:
        if new.failed is not None:
            return f"a process ended with {new.failed}; the old ones go on"
        return "told to stop" if self._stops else f"not ready within {START_S:g} s; the old ones go on"

    def _read_again(self) -> Config:
        """Return what the configuration says by now; what this build cannot read may make sense to a newer one."""
        try:
            config = read_config(self._config.path, os.environ)
        except ConfigError as exc:
            self._log.warning("config_refused", why=str(exc))
            return replace(self._config, text=text_of(self._config.path))
        before, now = addresses_of(self._config.settings), addresses_of(config.settings)
        moved = [key for name, (key, listen) in now.items() if listen != before[name][1]]
        if moved:
            self._log.warning("needs_a_restart", settings=moved, why="the sockets stay as they are")
        return config

    def _retire(self, generation: Generation) -> None:
        """Have a generation finish what it has, while another serves."""
        if not generation.leaving:
            generation.leave()
            self._background.spawn(f"generation {generation.number}", self._see_off, generation)

    async def _see_off(self, generation: Generation) -> None:
        if not await self._until(lambda: generation.gone, generation.config.settings.drain_s + MARGIN_S):
            generation.kill()
            await self._until(lambda: generation.gone)
        self._generations.remove(generation)
        generation.close()

    # The end

    async def _end(self) -> None:
        """Have everything finish what it has, and return when it is gone; a second signal means now."""
        settings = self._config.settings
        self._notifier.tell("STOPPING=1")
        self._log.info("draining", drain_s=settings.drain_s, pre_drain_s=settings.pre_drain_s)
        for sock in self._sockets.values():
            sock.close()  # or what connects once the processes have closed theirs would wait for nobody
        for generation in self._generations:
            generation.leave(signal.SIGTERM)
        within_s = settings.pre_drain_s + settings.drain_s + MARGIN_S
        await self._until(lambda: self._all_gone() or self._stops > 1, within_s)
        if not self._all_gone() and self._stops > 1:
            for generation in self._generations:
                generation.tell(signal.SIGTERM)
            await self._until(self._all_gone, HURRY_S)
        for generation in self._generations:
            generation.kill()
        await self._until(self._all_gone)
        self._log.info("stopped")

    def _all_gone(self) -> bool:
        return all(generation.gone for generation in self._generations)
