"""
How many clients are let in, of all addresses and of each, and who gives way when there is no more room.

Costs a request nothing: who is idle is looked for when a newcomer needs the place. Whoever holds connections open and
uses them is never cut for a newcomer; that one is turned away instead. Knows connections, no requests.
"""

from __future__ import annotations

import ipaddress
import sys
import termios
from collections.abc import Callable, Collection
from fcntl import ioctl
from heapq import nsmallest
from operator import attrgetter
from typing import TYPE_CHECKING

from proxy.core.limits import WireLimits
from proxy.wire.wheel import Wheel

if TYPE_CHECKING:
    from proxy.wire.client import Client

CONNECTIONS = "connections"  # keys of what is told: the settings' names of the limits
PER_ADDRESS = "connections_per_address"
FOUND = 64  # idle connections kept from one look around, for the next newcomers
LOOKED_AT_A_TICK = 32_768  # connections looked at in 100 ms, or a flood of newcomers would make it all that is done

_AGE = attrgetter("due")  # of idle connections: the longer they are, the sooner it is
_ROOM = bytes(4)  # for the answer, an int


class Guests:
    """
    Lets clients in as long as `limits` have room for them.

    `clients` are those on the books. `tell` is called with the key of a limit that is reached, and whether a newcomer
    was turned away for it; else the connection that was idle the longest gave way.
    """

    def __init__(
        self, clients: Collection[Client], limits: WireLimits, wheel: Wheel, tell: Callable[[str, bool], None]
    ) -> None:
        self._clients = clients
        self._most = limits.connections
        self._most_of_one = limits.connections_per_address
        self._wheel = wheel
        self._tell = tell
        self._oldest: list[tuple[int, Client]] = []  # found idle at the last look, with their deadlines; oldest last
        self._looked_tick = 0
        self._looks_left = {CONNECTIONS: 0, PER_ADDRESS: 0}  # apart: one address must not use up those of all
        self._home: dict[Client, bytes] = {}  # only while there is a limit for each address
        self._at: dict[bytes, set[Client]] = {}

    def admit(self, client: Client, others: int) -> bool:
        """Say whether `client` may stay, whose `address` and `trusted` are known; `others` are here or arriving."""
        made_room = False
        if self._most_of_one and not client.trusted and client.address:
            home = home_of(client.address)
            here = self._at.get(home, ())
            if len(here) >= self._most_of_one:
                made_room = self._let_one_go(PER_ADDRESS, nsmallest(FOUND, self._idle_of(here, PER_ADDRESS), key=_AGE))
                if not made_room:
                    return False
            self._home[client] = home
            self._at.setdefault(home, set()).add(client)
        if others < self._most or made_room or self._make_room():
            return True
        self.leave(client)
        return False

    def leave(self, client: Client) -> None:
        """Take a client off the books of its address."""
        home = self._home.pop(client, None) if self._home else None
        if home is not None:
            here = self._at[home]
            here.discard(client)
            if not here:
                del self._at[home]

    def _make_room(self) -> bool:
        """Let the client go that has been idle the longest; False if there is none."""
        if self._go_first():
            return True
        idle = nsmallest(FOUND, self._idle_of(self._clients, CONNECTIONS), key=_AGE)
        self._oldest = [(client.due, client) for client in reversed(idle)]
        if self._go_first():
            return True
        self._tell(CONNECTIONS, True)
        return False

    def _go_first(self) -> bool:
        """Let the first one go of those that were found idle and have been so ever since."""
        while self._oldest:
            due, client = self._oldest.pop()
            if client.due == due and self._let_go(client):
                self._tell(CONNECTIONS, False)
                return True
        return False

    def _let_one_go(self, key: str, idle: list[Client]) -> bool:
        """Let the first one go that can; tell what became of it."""
        gone = any(self._let_go(client) for client in idle)
        self._tell(key, not gone)
        return gone

    def _idle_of(self, clients: Collection[Client], key: str) -> list[Client]:
        """Return those that are between two requests; none when enough were looked at for this limit in this tick."""
        left = self._looks_left
        if self._looked_tick != self._wheel.tick:
            self._looked_tick = self._wheel.tick
            left[CONNECTIONS] = left[PER_ADDRESS] = LOOKED_AT_A_TICK
        if left[key] <= 0:
            return []
        left[key] -= len(clients)
        return [client for client in clients if client.is_idle()]

    def _let_go(self, client: Client) -> bool:
        """Close an idle connection in order, unless its next request is there and only unread."""
        if not client.is_idle() or client.transport.get_write_buffer_size() or has_unread(client):
            return False
        client.transport.close()
        self.leave(client)  # it is no guest any more, though its end is told a little later
        return True


def has_unread(client: Client) -> bool:
    """Say whether bytes have come from a client that nobody has read yet."""
    sock = client.transport.get_extra_info("socket")
    if sock is None:
        return False
    try:
        waiting = ioctl(sock.fileno(), termios.FIONREAD, _ROOM)
    except OSError:  # closed by now
        return True
    return int.from_bytes(waiting, sys.byteorder) > 0


def home_of(address: bytes) -> bytes:
    """Return whom an address is counted as: itself, or its network of 64 bits, as one IPv6 host has all of them."""
    try:
        parsed = ipaddress.ip_address(address.decode("latin-1").partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv4Address):
        return parsed.packed
    mapped = parsed.ipv4_mapped
    return parsed.packed[:8] if mapped is None else mapped.packed
