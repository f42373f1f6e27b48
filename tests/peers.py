"""
Peers for wire tests: a side that plays a script byte for byte and remembers what it saw, and a raw client.

Real sockets on loopback, asyncio streams, no HTTP library: what is tested is exactly what crosses the wire.
"""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field

from tests import pki

Script = Callable[["Exchange"], Awaitable[None]]


@dataclass
class Exchange:
    """One request as a side saw it, and the means to answer it."""

    head: bytes  # up to and including the empty line
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    connection: int  # counts the side's connections from 0
    body: bytes = b""

    @property
    def line(self) -> bytes:
        return self.head.partition(b"\r\n")[0]

    def value(self, name: bytes) -> bytes | None:
        found = re.search(rb"(?im)^" + re.escape(name) + rb":[ ]*(.*?)\r$", self.head)
        return found[1] if found else None

    async def read_body(self) -> bytes:
        """Read the body by its framing; what was read stays in `body`, even when the connection breaks."""
        length = self.value(b"content-length")
        if length is not None:
            self.body = await self.reader.readexactly(int(length))
        elif self.value(b"transfer-encoding") is not None:
            while True:
                size = int(await self.reader.readuntil(b"\r\n"), 16)
                block = await self.reader.readexactly(size + 2)
                if not size:
                    break
                self.body += block[:-2]
        return self.body

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    def cut(self) -> None:
        """Reset the connection."""
        self.writer.transport.abort()


def answering(data: bytes) -> Script:
    """Read the whole request, then send `data`."""

    async def script(exchange: Exchange) -> None:
        await exchange.read_body()
        await exchange.send(data)

    return script


def ok(body: bytes = b"ok", extra: bytes = b"") -> bytes:
    return b"HTTP/1.1 200 OK\r\n%bContent-Length: %d\r\n\r\n%b" % (extra, len(body), body)


@dataclass
class Side:
    """A server that plays `script` for each request; `seen` has the exchanges in order of their heads."""

    script: Script = field(default_factory=lambda: answering(ok()))
    seen: list[Exchange] = field(default_factory=list)
    connections: int = 0
    open_now: int = 0
    raw: list[bytearray] = field(default_factory=list)  # per connection, all bytes that came
    _server: asyncio.Server | None = None
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    port: int = 0
    tls: ssl.SSLContext | None = None  # what it shows; None: nothing, unless all peers speak TLS

    async def start(self, port: int = 0) -> int:
        self._server = await asyncio.start_server(
            self._serve,
            "127.0.0.1",
            port or self.port,
            limit=1 << 20,
            backlog=1024,
            ssl=self.tls or pki.switch.server(),
        )
        self.port = self._server.sockets[0].getsockname()[1]
        return self.port

    async def stop(self) -> None:
        """Stop listening and cut all connections, as a killed process would."""
        if self._server is not None:
            self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def lines(self) -> list[bytes]:
        return [exchange.line for exchange in self.seen]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.raw.append(_recorded(reader))
        number, self.connections = self.connections, self.connections + 1
        self.open_now += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                exchange = Exchange(head, reader, writer, number)
                self.seen.append(exchange)
                await self.script(exchange)
                if writer.is_closing():
                    return
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            self.open_now -= 1
            with suppress(Exception):
                writer.transport.abort()


def _recorded(reader: asyncio.StreamReader) -> bytearray:
    """Return what will hold every byte that is fed to `reader`."""
    received, feed = bytearray(), reader.feed_data

    def recording(data: bytes) -> None:
        received.extend(data)
        feed(data)

    reader.feed_data = recording  # type: ignore[method-assign]
    return received


@dataclass
class Answer:
    """One answer as a client saw it; `raw` is everything of it."""

    status: int
    head: bytes
    body: bytes
    raw: bytes

    def value(self, name: bytes) -> bytes | None:
        found = re.search(rb"(?im)^" + re.escape(name) + rb":[ ]*(.*?)\r$", self.head)
        return found[1] if found else None


async def open_connection(
    port: int, limit: int, tls: ssl.SSLContext | None = None
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Connect to a listener: in plain, unless `tls` is given or all peers speak it."""
    if tls is None and pki.switch.on:
        return await pki.opened(port, limit)
    return await asyncio.open_connection("127.0.0.1", port, limit=limit, ssl=tls)


class RawClient:
    """A client that sends exactly what it is told to and parses answers strictly."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def connect(cls, port: int, tls: ssl.SSLContext | None = None) -> RawClient:
        return cls(*await open_connection(port, 1 << 20, tls))

    async def send(self, *parts: bytes) -> None:
        """Send each part in a segment of its own."""
        for part in parts:
            self.writer.write(part)
            await self.writer.drain()
            for _ in range(3):
                await asyncio.sleep(0)

    async def answer(self, head_only: bool = False, within_s: float = 20.0) -> Answer:
        """Read one answer by its framing; raises IncompleteReadError when it is torn."""
        async with asyncio.timeout(within_s):
            head = await self.reader.readuntil(b"\r\n\r\n")
            status = int(head[9:12])
            answer = Answer(status, head, b"", head)
            if status < 200 or status in (204, 304) or head_only:
                return answer
            if (length := answer.value(b"content-length")) is not None:
                answer.body = await self.reader.readexactly(int(length))
            elif answer.value(b"transfer-encoding") is not None:
                while True:
                    size = int(await self.reader.readuntil(b"\r\n"), 16)
                    block = await self.reader.readexactly(size + 2)
                    if not size:
                        break
                    answer.body += block[:-2]
            else:
                answer.body = await self.reader.read()
            return answer

    async def rest(self, within_s: float = 20.0) -> bytes:
        """Read until the connection ends; a reset counts as an end."""
        data = b""
        async with asyncio.timeout(within_s):
            with suppress(ConnectionError):
                while block := await self.reader.read(65_536):
                    data += block
        return data

    def close(self) -> None:
        self.writer.transport.abort()

    def reset(self) -> None:
        """Leave with a reset instead of an orderly end."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


async def asked(port: int, *parts: bytes, head_only: bool = False) -> Answer:
    """Send one request on a connection of its own and return its answer."""
    client = await RawClient.connect(port)
    try:
        await client.send(*parts)
        return await client.answer(head_only)
    finally:
        client.close()
