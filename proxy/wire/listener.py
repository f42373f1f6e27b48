"""
The listening sockets of the data port, and all client connections behind them: accept, count, drain.

Knows connections, not requests: those go to the `House` above.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

from proxy.core.limits import ClientDeadlines, WireLimits
from proxy.core.messages import RequestHead
from proxy.wire.acceptor import Acceptor, Share
from proxy.wire.client import LAST_CALL_S, Client
from proxy.wire.guests import Guests
from proxy.wire.statuses import STATUS_LINE
from proxy.wire.tls import PLAIN_HTTP, Secured, TlsFault
from proxy.wire.wheel import Timed, Wheel, ticks_of

BACKLOG = 4096
GONE_S = 1.0  # most that exchanges get to hear that their clients were cut


class Exchange(Protocol):
    """Whoever serves one request: told of its body and of the client's fate; answers through the client."""

    def body(self, data: bytes) -> None: ...
    def body_end(self) -> None: ...
    def torn(self, status: int, why: str) -> None: ...
    def gone(self) -> None: ...
    def client_blocked(self) -> None: ...
    def client_writable(self) -> None: ...


class Front(Protocol):
    """The house above the wire: serves requests and words the refusals."""

    limits: WireLimits
    deadlines: ClientDeadlines
    idle_ticks: int  # `deadlines.idle_s`, for every answer
    wheel: Wheel
    draining: bool

    def open(self, request: RequestHead, client: Client) -> Exchange | None: ...
    def refusal(self, status: int, why: str, key: str, client: Client) -> tuple[bytes, bytes]: ...
    def connected(self, client: Client) -> bool: ...
    def disconnected(self, client: Client) -> None: ...


class House(Protocol):
    """Who serves what comes in."""

    def open(self, request: RequestHead, client: Client) -> Exchange | None:
        """Begin to serve a request; the exchange answers through `client`, maybe before this returns."""

    def refusal(self, status: int, why: str, key: str, client: Client) -> tuple[bytes, bytes]:
        """Word the answer to what is no request: ready-joined fields (without Content-Length) and body."""

    def trusts(self, address: bytes) -> bool:
        """Say whether a peer is believed about whom it serves."""

    def crowded(self, key: str, turned_away: bool) -> None:
        """Take note that there was no room for a client: it was turned away, or an idle one gave way."""

    def ran_out(self) -> None:
        """Take note that there was no descriptor for a client: it was turned away, or waits."""


class PortTaken(Exception):
    """The address to listen on belongs to somebody else."""


def bound(host: str, port: int) -> socket.socket:
    """Return a socket that holds `host:port` and does not listen yet; port 0 takes a free one. Raises PortTaken."""
    family, kind, protocol, _, address = socket.getaddrinfo(
        host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    sock = socket.socket(family, kind, protocol)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
    except OSError as exc:
        sock.close()
        raise PortTaken(f"cannot listen on {host}:{port}: {exc.strerror or exc}") from exc
    sock.setblocking(False)
    return sock


class Listener:
    """
    Accepts clients for `house`; with `tls`, which gives the context in force, only those that speak it.

    Owns the sockets and connections from `start` until `drain` has returned.
    """

    def __init__(
        self,
        house: House,
        wheel: Wheel,
        limits: WireLimits,
        deadlines: ClientDeadlines,
        tls: Callable[[], ssl.SSLContext] | None = None,
    ) -> None:
        self._house = house
        self.open = house.open
        self.refusal = house.refusal
        self.wheel = wheel
        self.limits = limits
        self.deadlines = deadlines
        self.idle_ticks = ticks_of(deadlines.idle_s)
        self.draining = False
        self.clients: set[Client] = set()
        self.arrivals: set[Arrival] = set()
        self._tls = tls
        self._guests = Guests(self.clients, limits, wheel, house.crowded)
        self.accepted = 0
        self._acceptor: Acceptor | None = None
        self._share: Share | None = None
        self._empty = asyncio.Event()

    async def start(self, sock: socket.socket, share: Share | None = None) -> int:
        """
        Begin to accept on a bound socket; return its port. Raises PortTaken when another listens there by now.

        `share` is what other processes have of the connections, if they accept on the same socket.
        """
        self._share = share
        try:
            sock.listen(BACKLOG)  # by ourselves: uvloop keeps quiet when this fails
            self._acceptor = Acceptor(sock, self._greeting(), self._held, share, self._house.ran_out)
            self._acceptor.start()
        except OSError as exc:
            raise PortTaken(f"cannot listen on {sock.getsockname()}: {exc.strerror or exc}") from exc
        return int(sock.getsockname()[1])

    def _greeting(self) -> Callable[[], asyncio.Protocol]:
        tls = self._tls
        return (lambda: Client(self)) if tls is None else (lambda: Arrival(self, tls()).secured)

    def expect(self, arrival: Arrival) -> None:
        """Count a client whose handshake has begun."""
        self.arrivals.add(arrival)
        self._tell_share()

    def arrived(self, arrival: Arrival, client: Client, fault: TlsFault | None) -> None:
        """Take a client that has shaken hands, or say farewell to one that could not."""
        self.arrivals.discard(arrival)
        self._tell_share()
        if fault is None:
            if self.draining:
                client.shut(LAST_CALL_S)
            return
        self._guests.leave(client)
        if fault.key:
            fields, body = self._house.refusal(400, f"{fault}; this port speaks HTTPS", fault.key, client)
            if fault.key == PLAIN_HTTP:
                arrival.tell(b"%b%bcontent-length: %d\r\nconnection: close\r\n\r\n%b" % (
                    STATUS_LINE[400], fields, len(body), body,
                ))  # fmt: skip
        self._see_whether_empty()

    def connected(self, client: Client) -> bool:
        """Take a new connection on the books; False turns it away."""
        self.accepted += 1
        if self._tls is None and not self.admits(client, len(self.clients)):
            return False
        self.clients.add(client)
        self._tell_share()
        return True

    def admits(self, client: Client, others: int) -> bool:
        """Say whether there is room for a client besides `others`; asked once, before a handshake."""
        client.trusted = self._house.trusts(client.address)
        return self._guests.admit(client, others)

    def disconnected(self, client: Client) -> None:
        """Take a connection off the books."""
        self.clients.discard(client)
        self._guests.leave(client)
        self._tell_share()
        self._see_whether_empty()

    def _held(self) -> int:
        return len(self.clients) + len(self.arrivals)

    def _tell_share(self) -> None:
        if self._share is not None:
            self._share.hold(self._held())

    def _see_whether_empty(self) -> None:
        if not self.clients and not self.arrivals:
            self._empty.set()

    def stop_accepting(self) -> None:
        """Close the listening sockets; what is connected goes on."""
        if self._acceptor is not None:
            self._acceptor.stop()

    async def drain(self, within_s: float) -> int:
        """
        Let every exchange under way end, each with `Connection: close`, and cut what is left after `within_s`.

        Returns how many connections had to be cut.
        """
        self.draining = True
        self.stop_accepting()
        if self._acceptor is not None:
            await self._acceptor.settled()
        for client in list(self.clients):
            client.shut(LAST_CALL_S)
        for arrival in self.arrivals:
            self.wheel.arm(arrival, LAST_CALL_S)
        await self._emptied(within_s)
        cut = len(self.clients)
        for client in list(self.clients):
            client.cut()  # which tells the exchange that its client is gone
        for arrival in list(self.arrivals):
            arrival.on_deadline()
        await self._emptied(GONE_S)  # before a side's connection is closed, or that would be the exchange's end
        return cut

    async def _emptied(self, within_s: float) -> None:
        self._empty.clear()
        if self.clients or self.arrivals:
            with suppress(TimeoutError):
                async with asyncio.timeout(within_s):  # wait_for may swallow the hurry of a second signal (3.11)
                    await self._empty.wait()


class Arrival(Timed):
    """A client whose TLS handshake is under way; it becomes a client, or is turned away and counted."""

    __slots__ = ("_client", "_listener", "secured")

    def __init__(self, listener: Listener, context: ssl.SSLContext) -> None:
        super().__init__()
        self._listener = listener
        self._client = Client(listener)
        self._client.scheme = b"https"
        self.secured = Knocking(context, self._client, self._shaken, self)
        listener.expect(self)
        listener.wheel.arm(self, listener.deadlines.head_s)

    def is_admitted(self, transport: asyncio.BaseTransport) -> bool:
        """Say whether there is room; shaking hands costs more than being asked."""
        peer = transport.get_extra_info("peername")
        self._client.address = peer[0].encode() if peer else b""
        listener = self._listener
        return listener.admits(self._client, len(listener.clients) + len(listener.arrivals) - 1)

    def tell(self, answer: bytes) -> None:
        """Answer in plain, before the connection is closed, a client that speaks plain HTTP."""
        if self.secured.raw is not None:
            self.secured.raw.write(answer)

    def on_deadline(self) -> None:
        self.secured.give_up(TlsFault("no handshake within the deadline", key="tls_timeout"))

    def _shaken(self, fault: TlsFault | None) -> None:
        self.due = 0
        self._listener.arrived(self, self._client, fault)


class Knocking(Secured):
    """The server's end of a connection, which nobody has let in yet."""

    __slots__ = ("_arrival",)

    def __init__(
        self,
        context: ssl.SSLContext,
        above: Client,
        shaken: Callable[[TlsFault | None], None],
        arrival: Arrival,
    ) -> None:
        super().__init__(context, above, shaken)
        self._arrival: Arrival | None = arrival

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin the handshake, if there is room."""
        arrival, self._arrival = self._arrival, None  # it goes with the handshake
        if arrival is not None and not arrival.is_admitted(transport):
            self.give_up(TlsFault("there is no room", key=""))
        super().connection_made(transport)
