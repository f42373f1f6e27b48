"""
Asking over HTTP, for the demo: kept-alive connections, and no request that is sent twice in silence.

The only room of the demo with an HTTP client.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, Self

import aiohttp
import orjson

TIMEOUT_S = 15.0


class NoAnswer(Exception):
    """There was no whole answer; the text says why."""


@dataclass(slots=True)
class _Sent:
    times: int = 0


@dataclass(frozen=True, slots=True)
class Reply:
    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


class Web:
    """An HTTP client; owns its connections until the end of its `async with`."""

    def __init__(self, connections: int = 64) -> None:
        self._connections = connections

    async def __aenter__(self) -> Self:
        counting = aiohttp.TraceConfig()
        counting.on_request_headers_sent.append(_count)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=self._connections),
            timeout=aiohttp.ClientTimeout(total=TIMEOUT_S),
            trace_configs=[counting],
        )
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._session.close()

    async def ask(self, method: str, url: str, body: object = None, **headers: str) -> Reply:
        """
        Return the answer; `x_user_id="ana"` becomes the field x-user-id.

        Raises NoAnswer for a connection that ended early, even where the library repeated the request
        and got an answer then: a reader with another library would have seen an error.
        """
        sent = _Sent()
        options: dict[str, Any] = {"headers": {name.replace("_", "-"): value for name, value in headers.items()}}
        if body is not None:
            options["data"] = orjson.dumps(body)
            options["headers"]["content-type"] = "application/json"
        try:
            async with self._session.request(method, url, trace_request_ctx=sent, **options) as response:
                reply = Reply(response.status, await response.read(), response.headers)
        except (TimeoutError, aiohttp.ClientError, OSError) as exc:
            raise NoAnswer(str(exc) or type(exc).__name__) from exc
        if sent.times > 1:
            raise NoAnswer("the connection was closed before the answer; a repetition was answered")
        return reply


async def _count(session: aiohttp.ClientSession, context: SimpleNamespace, params: object) -> None:
    context.trace_request_ctx.times += 1
