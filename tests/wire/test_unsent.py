"""What a peer has not taken is counted on both sides of the kernel's border."""

from __future__ import annotations

import asyncio
import socket

import pytest

from proxy.wire.unsent import reset, unsent_bytes
from tests.waiting import until


async def connected() -> tuple[asyncio.Transport, socket.socket]:
    """Return a transport of ours, and the socket of its peer, which reads when it is told to."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        peer = socket.create_connection(server.getsockname())
        accepted, _ = server.accept()
    accepted.setblocking(False)
    peer.setblocking(False)
    transport, _ = await asyncio.get_running_loop().create_connection(asyncio.Protocol, sock=accepted)
    return transport, peer


async def test_what_the_kernel_holds_counts_and_what_was_taken_does_not():
    transport, peer = await connected()
    assert unsent_bytes(transport) == 0
    transport.write(b"x" * (32 << 20))
    written = 32 << 20
    await until(lambda: transport.get_write_buffer_size() < unsent_bytes(transport) <= written)
    taken = 0
    while taken < written:
        taken += len(await asyncio.get_running_loop().sock_recv(peer, 1 << 20))
        assert unsent_bytes(transport) >= 0
    await until(lambda: unsent_bytes(transport) == 0)
    transport.abort()
    peer.close()


async def test_a_transport_that_is_gone_has_nothing_in_the_kernel():
    transport, peer = await connected()
    transport.abort()
    await until(transport.is_closing)
    assert unsent_bytes(transport) == 0
    peer.close()


async def test_a_reset_is_no_end_and_leaves_nothing_to_the_kernel():
    transport, peer = await connected()
    transport.write(b"x" * (32 << 20))
    reset(transport)
    with pytest.raises(ConnectionResetError):
        while await asyncio.get_running_loop().sock_recv(peer, 1 << 20):
            pass
    peer.close()
