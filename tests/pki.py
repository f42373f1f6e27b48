"""
Certificates for tests, made on the spot by the `openssl` command, and the switch that puts TLS below every peer.

While `spoken(...)` lasts, the sides, clients, listeners and pools that tests make speak TLS with each other: sides by
the TLS of the event loop, so that ours is tried against somebody else's, clients by ours, because they half-close.
"""

from __future__ import annotations

import asyncio
import functools
import ssl
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from proxy.wire.certificates import DialingFiles, ServingFiles
from proxy.wire.tls import Trust, dialled

CURVE = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
LOOPBACK = "IP:127.0.0.1,DNS:localhost"


def openssl(*words: str | Path) -> None:
    subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True)


@dataclass(frozen=True)
class Authority:
    """A root of trust with its folder; what it signs stands beside it as NAME.pem and NAME.key."""

    folder: Path

    @property
    def root(self) -> Path:
        return self.folder / "root.pem"

    @classmethod
    def made(cls, folder: Path, name: str = "test root") -> Authority:
        folder.mkdir(parents=True, exist_ok=True)
        openssl(
            "req", "-x509", *CURVE, "-days", "2", "-subj", f"/CN={name}",
            "-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign,cRLSign",
            "-keyout", folder / "root.key", "-out", folder / "root.pem",
        )  # fmt: skip
        return cls(folder)

    def signed(self, name: str, names: str = LOOPBACK, days: int = 2) -> Path:
        """Sign a certificate for `names`; negative `days` make one that has expired. Its key is `key_of` it."""
        cert = self.folder / f"{name}.pem"
        request, more = self.folder / f"{name}.csr", self.folder / f"{name}.ext"
        more.write_text(f"subjectAltName={names}\n")
        openssl("req", "-new", *CURVE, "-subj", f"/CN={name}", "-keyout", key_of(cert), "-out", request)
        openssl(
            "x509", "-req", "-in", request, "-CA", self.root, "-CAkey", self.folder / "root.key", "-CAcreateserial",
            "-days", str(days), "-extfile", more, "-out", cert,
        )  # fmt: skip
        return cert


def key_of(cert: Path) -> Path:
    return cert.with_suffix(".key")


@functools.cache
def authority() -> Authority:
    """Return the authority that tests of this process share."""
    return Authority.made(Path(tempfile.mkdtemp(prefix="bnt", dir="/tmp")))


@functools.cache
def server_cert() -> Path:
    """Return its certificate for whoever listens on loopback."""
    return authority().signed("server")


def serving(cert: Path | None = None, version: ssl.TLSVersion | None = None) -> ssl.SSLContext:
    """Return a context of the ssl module's own for a server of the tests; `version` for that one alone."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    cert = cert or server_cert()
    context.load_cert_chain(cert, key_of(cert))
    return _only(context, version)


def trusting(
    root: Path | None = None, cert: Path | None = None, version: ssl.TLSVersion | None = None
) -> ssl.SSLContext:
    """Return a context of the ssl module's own for a client of the tests; `cert` is what it shows."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(root or authority().root)
    if cert is not None:
        context.load_cert_chain(cert, key_of(cert))
    return _only(context, version)


def _only(context: ssl.SSLContext, version: ssl.TLSVersion | None) -> ssl.SSLContext:
    if version is not None:
        context.set_ciphers("ALL:@SECLEVEL=0")
        context.minimum_version = context.maximum_version = version
    return context


@functools.cache
def trust() -> Trust:
    """Return how a pool speaks to a side of the tests."""
    context = DialingFiles(ca=authority().root).context()
    return Trust(lambda: context, "127.0.0.1")


@functools.cache
def own_context() -> ssl.SSLContext:
    """Return what a listener of the tests shows."""
    return ServingFiles(server_cert(), key_of(server_cert())).context()


@dataclass
class _Switch:
    version: ssl.TLSVersion | None = None
    on: bool = False

    @property
    def scheme(self) -> bytes:
        """How clients and sides are spoken to."""
        return b"https" if self.on else b"http"

    def server(self) -> ssl.SSLContext | None:
        return serving(version=self.version) if self.on else None


switch = _Switch()


async def opened(port: int, limit: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Connect to a listener of the tests; what `asyncio.open_connection` returns, able to half-close."""
    reader = asyncio.StreamReader(limit=limit)
    protocol = asyncio.StreamReaderProtocol(reader)
    context = trusting(version=switch.version)
    secured = await dialled(protocol, Trust(lambda: context, "127.0.0.1"), "127.0.0.1", port)
    return reader, asyncio.StreamWriter(secured, protocol, reader, asyncio.get_running_loop())


@contextmanager
def spoken(version: ssl.TLSVersion | None = None) -> Iterator[None]:
    """Let every peer made meanwhile speak TLS."""
    switch.on, switch.version = True, version
    try:
        yield
    finally:
        switch.on, switch.version = False, None


class Manual:
    """One end of a TLS connection driven step by step over plain streams: what is sent, and when, is the test's."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, context: ssl.SSLContext, server: bool = False
    ) -> None:
        self.reader = reader
        self.writer = writer
        self.incoming = ssl.MemoryBIO()
        self.outgoing = ssl.MemoryBIO()
        self.tls = context.wrap_bio(
            self.incoming, self.outgoing, server_side=server, server_hostname=None if server else "127.0.0.1"
        )

    @classmethod
    async def connect(cls, port: int, context: ssl.SSLContext | None = None) -> Manual:
        """Connect to a listener, in plain so far."""
        return cls(*await asyncio.open_connection("127.0.0.1", port), context or trusting())

    async def shake(self) -> Manual:
        """Do the whole handshake."""
        while True:
            try:
                self.tls.do_handshake()
                await self.flush()
                return self
            except ssl.SSLWantReadError:
                await self.flush()
                await self.take()

    async def take(self) -> bytes:
        """Wait for bytes of the peer; returns what came, empty at its end."""
        data = await self.reader.read(65_536)
        self.incoming.write(data)
        return data

    async def flush(self) -> None:
        """Send what OpenSSL has to say."""
        self.writer.write(self.outgoing.read())
        await self.writer.drain()

    async def send(self, data: bytes) -> None:
        """Send plain bytes as records."""
        self.tls.write(data)
        await self.flush()

    def records(self, data: bytes) -> bytes:
        """Return plain bytes as records, not sent yet."""
        self.tls.write(data)
        return self.outgoing.read()

    async def read(self) -> bytes:
        """Return plain bytes, or nothing once the peer has said close_notify; EOFError when it ended without."""
        while True:
            try:
                return self.tls.read(65_536)
            except ssl.SSLWantReadError:
                await self.flush()
                if not await self.take():
                    raise EOFError from None
            except ssl.SSLZeroReturnError:
                return b""

    async def say_end(self) -> None:
        """Send close_notify, and leave the socket open."""
        with suppress(ssl.SSLError):
            self.tls.unwrap()
        await self.flush()

    def close(self) -> None:
        self.writer.transport.abort()
