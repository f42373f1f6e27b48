"""
One process of several under one parent: what it is handed, and the little it says to the others.

A process is `banyan run` typed once more, with one variable that names a descriptor: the code may have changed since
its parent was started, so only these few words pass between them, and unknown ones are left out. The cord joins them:
the process says over it that it is ready, the parent that others take over; when it breaks, the parent has gone.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Mapping, MutableMapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Self

import orjson

from proxy.addresses import EMBEDDED
from proxy.board import Board, Share
from proxy.ledger import Ledger
from proxy.settings import Settings
from proxy.sockets import listening_on

VARIABLE = "BANYAN_HANDOVER"
READY = b"r"  # from the process: it answers requests
LEAVE = b"l"  # from the parent: others do so instead from now on


@dataclass(frozen=True, slots=True)
class Handover:
    """
    One process's place under its parent.

    `cord`, `board` and `sockets` (by listener) are descriptors; `text` is what the file `config` held when the parent
    read it, so that a process started later is not another one; `store` is the address of the parent's embedded
    server; `succeeds` says that others serve already: then it must not come up knowing less than they do.
    """

    parent: str
    generation: int
    place: int
    places: int
    cord: int
    board: int
    sockets: Mapping[str, int] = field(default_factory=dict)
    ledger: str = ""
    config: str | None = None
    text: str | None = None
    store: str | None = None
    succeeds: bool = False

    def put(self) -> int:
        """Write it where a child can read it, and return the descriptor."""
        fd = os.memfd_create("banyan-handover")
        with open(fd, "wb", closefd=False) as file:
            file.write(orjson.dumps(asdict(self)))
        return fd

    @classmethod
    def taken(cls, env: MutableMapping[str, str]) -> Self | None:
        """Return what was handed to this process, None if it has no parent; variable and descriptor are gone then."""
        fd = env.pop(VARIABLE, "")
        if not fd:
            return None
        with open(int(fd), "rb") as file:
            file.seek(0)
            said = orjson.loads(file.read())
        known = {each.name for each in fields(cls)}
        return cls(**{name: value for name, value in said.items() if name in known})


class Process:
    """This process, as one of those of its parent."""

    def __init__(self, handover: Handover) -> None:
        self.parent = handover.parent
        self.name = name_of(handover.generation, handover.place, os.getpid())
        self.succeeds = handover.succeeds
        self.ledger = Ledger(Path(handover.ledger))
        self.board = Board(handover.board, handover.places)
        self.share = Share(self.board, handover.place)
        self.sockets = {name: _socket(fd) for name, fd in handover.sockets.items()}
        self.is_orphan = False
        self._store = handover.store
        self._cord = _socket(handover.cord)

    def say_ready(self) -> None:
        """Tell the parent that requests are answered."""
        try:
            self._cord.send(READY)
        except OSError:
            return  # it has gone; that is noticed at the other place

    async def until_told(self) -> None:
        """Return when others take over, or when the parent has gone (`is_orphan`)."""
        loop = asyncio.get_running_loop()
        told = asyncio.Event()
        loop.add_reader(self._cord.fileno(), told.set)
        try:
            await told.wait()
        finally:
            loop.remove_reader(self._cord.fileno())
        try:
            self.is_orphan = self._cord.recv(1) != LEAVE
        except OSError:
            self.is_orphan = True

    def close(self) -> None:
        """Take away what the parent cannot any more."""
        if self.is_orphan:
            self.ledger.remove()

    def placed(self, settings: Settings) -> Settings:
        """Return the settings as they are for this process: the addresses of its sockets, and its parent's store."""
        if self._store is not None and settings.store == EMBEDDED:
            settings = settings.model_copy(update={"store": self._store})
        return listening_on(settings, self.sockets)


def name_of(generation: int, place: int, pid: int) -> str:
    """Return a process's name within its parent; no other one ever has it."""
    return f"{generation}-{place}-{pid}"


def _socket(fd: int) -> socket.socket:
    os.set_inheritable(fd, False)
    sock = socket.socket(fileno=fd)
    sock.setblocking(False)
    return sock
