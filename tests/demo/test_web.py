from __future__ import annotations

import asyncio

import orjson
import pytest

from proxy.demo.web import NoAnswer, Web

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Banyan-Side: modern\r\n\r\nok"


class Peer:
    """Answers each request of a connection by the next of its script; an empty one closes the connection."""

    def __init__(self, *script: bytes, closing: bool = False) -> None:
        self.script = list(script)
        self.closing = closing  # after each answer
        self.heard: list[bytes] = []

    async def __aenter__(self) -> str:
        self.server = await asyncio.start_server(self.serve, "127.0.0.1", 0)
        return f"http://127.0.0.1:{self.server.sockets[0].getsockname()[1]}/api/users"

    async def __aexit__(self, *exc_info: object) -> None:
        self.server.close()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                self.heard.append(await reader.readuntil(b"\r\n\r\n"))
                answer = self.script.pop(0)
                if not answer:
                    break
                writer.write(answer)
                if self.closing:
                    break
        except asyncio.IncompleteReadError:
            pass
        finally:
            writer.close()


async def test_one_connection_carries_many_requests():
    peer = Peer(OK, OK)
    async with peer as url, Web() as web:
        replies = [await web.ask("GET", url, x_user_id="ana") for _ in range(2)]

    assert [(reply.status, reply.body, reply.headers["x-banyan-side"]) for reply in replies] == [
        (200, b"ok", "modern")
    ] * 2
    assert all(b"\r\nx-user-id: ana\r\n" in head for head in peer.heard)


async def test_a_request_that_had_to_be_repeated_is_no_answer():
    async with Peer(OK, b"", OK) as url, Web() as web:
        await web.ask("GET", url)

        with pytest.raises(NoAnswer, match="closed before the answer"):
            await web.ask("GET", url)


async def test_a_torn_answer_is_none():
    async with Peer(OK[:-1], closing=True) as url, Web() as web:
        with pytest.raises(NoAnswer):
            await web.ask("DELETE", url)


async def test_nobody_there_is_no_answer():
    async with Peer() as url:
        pass
    async with Web() as web:
        with pytest.raises(NoAnswer):
            await web.ask("GET", url)


async def test_a_body_goes_out_as_json(tmp_path):
    peer = Peer(OK)
    async with peer as url, Web() as web:
        await web.ask("PUT", url, {"a": 1})

    assert b"content-type: application/json" in peer.heard[0].lower()
    assert b"content-length: %d" % len(orjson.dumps({"a": 1})) in peer.heard[0].lower()
