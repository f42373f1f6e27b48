"""
The processes that one start or hot restart brought up: kept at their number until others take over.

Starts them, hears how they end, and does what `core/restarts.py` says. Knows neither requests nor rules; driven by its
supervisor, which tells it to look when a child has ended.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from structlog.typing import FilteringBoundLogger

from proxy.board import Board, Standing
from proxy.config import Config
from proxy.core.restarts import failures_after, hopeless, pause_s
from proxy.ledger import Ledger
from proxy.process import LEAVE, VARIABLE, Handover, name_of


@dataclass(frozen=True, slots=True)
class Estate:
    """What every process of one parent is handed, whatever its generation."""

    parent: str
    command: Sequence[str]
    sockets: Mapping[str, socket.socket]
    ledger: Ledger


@dataclass(slots=True)
class Child:
    """One process as its parent sees it."""

    place: int
    name: str
    popen: subprocess.Popen[bytes]
    cord: socket.socket
    began_s: float


class Generation:
    """
    The processes of one start; `stir` is called whenever something has changed.

    `complete` once all were ready. Until then `failed` may become the exit status of one that cannot start; afterwards
    nothing that happens to one of them ends the others.
    """

    def __init__(
        self, number: int, config: Config, estate: Estate, stir: Callable[[], None], log: FilteringBoundLogger
    ) -> None:
        self.number = number
        self.config = config
        self.failed: int | None = None
        self.leaving = False
        self._estate = estate
        self._stir = stir
        self._log = log
        self._store: str | None = None
        self._succeeds = False
        self._places = config.settings.processes
        self._board = Board.create(self._places)
        self._children: dict[int, Child] = {}
        self._pauses: dict[int, asyncio.TimerHandle] = {}
        self._failures = [0] * self._places

    @property
    def complete(self) -> bool:
        """Whether all processes were ready once."""
        return self._board.complete

    @property
    def gone(self) -> bool:
        """Whether no process is left."""
        return not self._children

    def start(self, store: str | None, succeeds: bool) -> None:
        """Start all processes; `store` is the address of an embedded server, `succeeds`: others serve already."""
        self._store = store
        self._succeeds = succeeds
        for place in range(self._places):
            self._start(place)

    def look(self) -> None:
        """See which processes have ended."""
        for child in list(self._children.values()):
            if child.popen.poll() is not None:
                self._ended(child)

    def tell(self, number: signal.Signals, *, ready_only: bool = False) -> None:
        """Send a signal to every process; `ready_only` spares those that do not know it yet and would die of it."""
        for place, child in self._children.items():
            if not ready_only or self._board.standing(place) is Standing.READY:
                child.popen.send_signal(number)

    def leave(self, number: signal.Signals | None = None) -> None:
        """Have all processes finish what they have: by a signal, or over their cords, for others take over."""
        self.leaving = True
        for pause in self._pauses.values():
            pause.cancel()
        for child in self._children.values():
            if number is not None:
                child.popen.send_signal(number)
            else:
                with suppress(OSError):  # it is about to end anyway
                    child.cord.send(LEAVE)

    def kill(self) -> None:
        """End what is left, at once."""
        for child in self._children.values():
            self._log.warning("process_killed", process=child.name, pid=child.popen.pid)
            child.popen.kill()

    def close(self) -> None:
        """Give the memory back, once all are gone."""
        self._board.close()

    def _start(self, place: int) -> None:
        self._pauses.pop(place, None)
        began_s = time.monotonic()
        try:
            ours, popen = self._spawn(place)
        except OSError as exc:
            self._log.error("process_not_started", place=place, error=str(exc))
            self._again_or_never(place, status=1, lived_s=0.0)
            return
        name = name_of(self.number, place, popen.pid)
        child = self._children[place] = Child(place, name, popen, ours, began_s)
        self._board.set_standing(place, Standing.STARTING)
        asyncio.get_running_loop().add_reader(ours.fileno(), self._heard, child)
        self._log.info("process_started", process=name, pid=popen.pid)

    def _spawn(self, place: int) -> tuple[socket.socket, subprocess.Popen[bytes]]:
        """Start a process and return it with our end of its cord; raises OSError."""
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        try:
            with theirs:
                return ours, self._child(place, theirs)
        except OSError:
            ours.close()
            raise

    def _child(self, place: int, cord: socket.socket) -> subprocess.Popen[bytes]:
        sockets = {name: sock.fileno() for name, sock in self._estate.sockets.items()}
        config = self.config
        handover = Handover(
            parent=self._estate.parent,
            generation=self.number,
            place=place,
            places=self._places,
            cord=cord.fileno(),
            board=self._board.fd,
            sockets=sockets,
            ledger=str(self._estate.ledger.folder),
            config=None if config.path is None else str(config.path),
            text=config.text,
            store=self._store,
            succeeds=self._succeeds or (self.complete and self._board.count(Standing.READY) > 0),
        ).put()
        try:
            return subprocess.Popen(
                self._estate.command,
                env={**os.environ, VARIABLE: str(handover)},
                stdin=subprocess.DEVNULL,
                pass_fds=(handover, cord.fileno(), self._board.fd, *sockets.values()),
                process_group=0,  # Ctrl-C is for the parent, which tells them once
            )
        finally:
            os.close(handover)

    def _heard(self, child: Child) -> None:
        try:
            said = child.cord.recv(1)
        except OSError:
            said = b""
        if not said:  # it ends, or is about to
            asyncio.get_running_loop().remove_reader(child.cord.fileno())
            return
        self._board.set_standing(child.place, Standing.READY)
        if not self.complete and self._board.count(Standing.READY) == self._places:
            self._board.set_complete()
        self._stir()

    def _cut(self, child: Child) -> None:
        if child.cord.fileno() >= 0:
            asyncio.get_running_loop().remove_reader(child.cord.fileno())
            child.cord.close()

    def _ended(self, child: Child) -> None:
        del self._children[child.place]
        self._cut(child)
        self._board.set_standing(child.place, Standing.ENDED)
        try:
            self._estate.ledger.fold(child.name)
        except OSError as exc:  # a full disk must not keep the process from coming back
            self._log.warning("counts_lost", process=child.name, error=str(exc))
        status = child.popen.returncode
        if self.leaving:
            self._log.info("process_ended", process=child.name, status=status)
        else:
            self._again_or_never(child.place, status, time.monotonic() - child.began_s)
        self._stir()

    def _again_or_never(self, place: int, status: int, lived_s: float) -> None:
        code = hopeless(status, self.complete)
        if code is None and self._succeeds and not self.complete:
            code = status or 1  # those that serve go on: there is no need to try for long
        if code is not None:
            self.failed = self.failed or code
            self._log.error("process_ended", place=place, status=status)
            return
        failures = self._failures[place] = failures_after(self._failures[place], lived_s)
        again_in_s = pause_s(failures, random.random())
        self._log.error("process_ended", place=place, status=status, failures=failures, again_in_s=round(again_in_s, 2))
        self._pauses[place] = asyncio.get_running_loop().call_later(again_in_s, self._start, place)
