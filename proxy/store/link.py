"""
The link to Redis: connections, scripts and pushes; the only room that imports redis.

Everything that goes wrong here leaves as a StoreError and within our own deadlines, so that a store which hangs
costs its caller seconds and never more. Knows keys and bytes, nothing of rules or emergencies.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any

from redis.asyncio.client import Redis
from redis.asyncio.connection import ConnectionPool, parse_url
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel, SentinelConnectionPool
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, RedisError, ResponseError
from redis.maint_notifications import MaintNotificationsConfig

from proxy.core.errors import StoreError
from proxy.store.address import Address, parse_address
from proxy.store.scripts import Script

CONNECT_S = 0.5
READ_S = 1.0
CONNECTIONS = 16
SCAN_COUNT = 5_000
CANNOT_SAVE = "MISCONF"  # the code of a refusal because the disk is full or broken


class Refused(StoreError):
    """
    The store answered, and said no; `code` is the first word of its answer: READONLY, OOM, NOPERM, WRONGTYPE.

    One that cannot save says CANNOT_SAVE to each write, and to a PING, and still answers every read.
    """

    def __init__(self, doing: str, code: str, text: str) -> None:
        cannot_save = code == CANNOT_SAVE
        super().__init__(_why_not_saved(text) if cannot_save else f"{doing}: the store refuses: {text}")
        self.code = code


class Link:
    """
    A few pooled connections to one store, and the names that its keys have there.

    Opens nothing before it is used and needs no restart when the store comes back; `close` gives the connections
    back. Raises ConfigError for an address that cannot be one. No call is ever repeated by itself: a publication
    that timed out may have been carried out.
    """

    def __init__(
        self, url: str, namespace: str = "banyan", *, connect_s: float = CONNECT_S, read_s: float = READ_S
    ) -> None:
        self.namespace = namespace
        self.address: Address = parse_address(url)
        self.read_s = read_s
        self._limit_s = connect_s + 2 * read_s  # the handshake of a new connection is one more answer to wait for
        self._sentinel = _sentinel(self.address, connect_s, read_s)
        self._pool = _pool(self.address, self._sentinel, connect_s, read_s, protocol=2)
        self._push_pool = _pool(self.address, self._sentinel, connect_s, read_s, protocol=3)
        self._redis: Any = Redis(connection_pool=self._pool)  # redis-py's types stop half-way, here as below
        self._redis.response_callbacks.clear()  # answers as the server gives them

    def key(self, name: str) -> str:
        """Return the full name of a key: `rules` is `banyan:rules`."""
        return f"{self.namespace}:{name}"

    async def call(self, *words: str | bytes | int) -> Any:
        """Send one command and return the answer as RESP2 has it: bytes, ints, lists, None."""
        async with self._asking(str(words[0])):
            return await self._redis.execute_command(*words)

    async def run(self, script: Script, keys: Sequence[str], args: Sequence[str | bytes | int]) -> Any:
        """Run a Lua script, by its hash if the server knows it; the keys are full names."""
        words = (len(keys), *keys, *args)
        async with self._asking(script.name):
            try:
                return await self._redis.execute_command("EVALSHA", script.sha, *words)
            except NoScriptError:
                return await self._redis.execute_command("EVAL", script.text, *words)

    async def names(self, beginning: str) -> list[str]:
        """Return every key whose full name starts with `beginning`, each once, in no order."""
        found: dict[str, None] = {}
        cursor = b"0"
        while True:
            cursor, keys = await self.call("SCAN", cursor, "MATCH", any_after(beginning), "COUNT", SCAN_COUNT)
            found.update((key.decode(errors="replace"), None) for key in keys)
            if cursor == b"0":
                return list(found)

    async def append(self, name: str, fields: Mapping[str, str | bytes], keep: int) -> None:
        """Append an entry to a stream that keeps about its last `keep` entries."""
        flat = [part for pair in fields.items() for part in pair]
        await self.call("XADD", self.key(name), "MAXLEN", "~", keep, "*", *flat)

    async def last(self, name: str, count: int) -> list[dict[str, str]]:
        """Return the newest `count` entries of a stream, newest first, each with its `id` among its fields."""
        entries = await self.call("XREVRANGE", self.key(name), "+", "-", "COUNT", count)
        return [{"id": text_of(entry), **paired(fields)} for entry, fields in entries or ()]

    async def info(self, section: str) -> dict[str, str]:
        """Return one section of INFO, values as text."""
        return info_fields(await self.call("INFO", section))

    async def run_id(self) -> str:
        """Return the name that the server gave itself when it started."""
        return (await self.info("server")).get("run_id", "")

    async def clock_skew_s(self, samples: int = 3) -> float:
        """Return how far the server's clock is ahead of ours, as seen in the quickest of `samples` calls."""
        best = (math.inf, 0.0)
        for _ in range(samples):
            before = time.time()
            seconds, micros = await self.call("TIME")
            after = time.time()
            best = min(best, (after - before, int(seconds) + int(micros) / 1e6 - (before + after) / 2))
        return best[1]

    @asynccontextmanager
    async def pushes(self, *prefixes: str) -> AsyncIterator[Pushes]:
        """
        Have the server tell which keys under `prefixes` (full names) change, until the block ends.

        Raises Refused when the server cannot or may not do it (then polling is all there is), StoreError when it
        is away. What changed before the block began is not told: look once inside it.
        """
        connection = self._push_pool.make_connection()
        pushes = Pushes(connection, self.read_s)
        try:
            async with self._asking("CLIENT TRACKING"):
                await pushes.open(prefixes)
            yield pushes
        finally:
            with suppress(RedisError, OSError):
                await connection.disconnect(nowait=True)

    @asynccontextmanager
    async def _asking(self, doing: str) -> AsyncIterator[None]:
        with _translated(doing), _cancellable():
            async with asyncio.timeout(self._limit_s):
                yield

    async def drop(self) -> None:
        """Close idle connections, so that behind sentinels the next call asks anew who the master is."""
        with suppress(RedisError, OSError):
            await self._pool.disconnect(inuse_connections=False)

    async def close(self) -> None:
        """Give every connection back; the link may be used again afterwards."""
        with suppress(RedisError, OSError):
            await self._pool.disconnect()
            if self._sentinel is not None:
                await self._sentinel.aclose()


class Pushes:
    """The connection on which the server tells of changed keys (RESP3, CLIENT TRACKING in broadcast mode)."""

    def __init__(self, connection: Any, read_s: float) -> None:
        self._connection = connection
        self._read_s = read_s
        self._arrived: list[tuple[str, ...]] = []
        self._asked = False  # a PING is on its way

    async def open(self, prefixes: Sequence[str]) -> None:
        """Connect and subscribe; raises redis-py's errors, which the link translates."""
        await self._connection.connect()
        self._connection._parser.set_invalidation_push_handler(self._on_push)
        words = [word for prefix in prefixes for word in ("PREFIX", prefix)]
        await self._connection.send_command("CLIENT", "TRACKING", "ON", "BCAST", *words)
        await self._connection.read_response()

    async def next(self, patience_s: float) -> tuple[str, ...] | None:
        """
        Return the keys that changed, () when the whole store was flushed, None when nothing came for `patience_s`.

        A connection that is silent for `patience_s` is asked with a PING; one that does not answer that within the
        read deadline is given up with StoreError, like one that the server closed.
        """
        with _translated("CLIENT TRACKING"), _cancellable():
            if not self._arrived:
                await self._read(patience_s)
        return self._arrived.pop(0) if self._arrived else None

    async def _read(self, patience_s: float) -> None:
        limit_s = self._read_s if self._asked else patience_s
        try:
            answer = await self._connection.read_response(timeout=limit_s, push_request=True)
        except ResponseError as exc:
            if _code_of(exc) != CANNOT_SAVE:
                raise
            answer = exc  # to our PING: it is there, and tells on
        if self._arrived:
            return
        if answer is None and self._asked:
            raise TimeoutError("no answer to PING")
        self._asked = answer is None
        if self._asked:
            await self._connection.send_command("PING", check_health=False)

    async def _on_push(self, message: list[Any]) -> list[Any]:
        keys = message[1] if len(message) > 1 else None
        self._arrived.append(tuple(key.decode(errors="replace") for key in keys or ()))
        return message


def any_after(beginning: str) -> str:
    """Return the glob that matches every key whose name starts with `beginning`."""
    return "".join("\\" + char if char in "*?[]^\\" else char for char in beginning) + "*"


def text_of(value: Any) -> str:
    """Return bytes of the store as text; what is no UTF-8 stays visible."""
    return value.decode(errors="backslashreplace") if isinstance(value, bytes) else str(value)


def paired(flat: Sequence[Any]) -> dict[str, str]:
    """Return a flat list of names and values, as Redis answers, as a dict of text."""
    return {text_of(name): text_of(value) for name, value in zip(flat[::2], flat[1::2], strict=True)}


def info_fields(answer: bytes) -> dict[str, str]:
    """Return the fields of an INFO answer."""
    lines = text_of(answer).splitlines()
    return dict(line.split(":", 1) for line in lines if ":" in line and not line.startswith("#"))


def _code_of(answer: ResponseError) -> str:
    return answer.status_code or str(answer).partition(" ")[0]


def _why_not_saved(text: str) -> str:
    """Say in one sentence why a store cannot save, of an answer that begins with CANNOT_SAVE."""
    answer = text.partition(" script: ")[0]  # where a script writes, its name follows
    _, found, why = answer.partition("AOF file: ")
    return f"the store cannot save: {why if found else 'its last snapshot failed, its log says why'}"


def _sentinel(address: Address, connect_s: float, read_s: float) -> Any:
    if not address.sentinels:
        return None
    options = _options(connect_s, read_s, 2) | {"retry": Retry(NoBackoff(), 0)} | dict(address.sentinel_login)
    make: Any = Sentinel
    return make(address.sentinels, sentinel_kwargs=options)


def _pool(address: Address, sentinel: Any, connect_s: float, read_s: float, protocol: int) -> Any:
    options: dict[str, Any] = {**parse_url(address.url), **_options(connect_s, read_s, protocol)}
    if sentinel is None:
        return ConnectionPool(**options)
    secure = address.url.startswith("rediss")
    for name in ("host", "port", "connection_class"):
        options.pop(name, None)
    make: Any = SentinelConnectionPool
    return make(address.service, sentinel, is_master=True, ssl=secure, **options)


def _options(connect_s: float, read_s: float, protocol: int) -> dict[str, Any]:
    return {
        "socket_connect_timeout": connect_s,
        "socket_timeout": read_s,
        "protocol": protocol,
        "max_connections": CONNECTIONS,
        "driver_info": None,  # two commands less for each connection
        "maint_notifications_config": MaintNotificationsConfig(enabled=False),
    }


@contextmanager
def _cancellable() -> Iterator[None]:
    """Let no cancellation get lost: wait_for, as redis-py uses it for each send, swallows one in Python 3.11."""
    task = asyncio.current_task()
    before = task.cancelling() if task is not None else 0
    try:
        yield
    finally:
        if task is not None and task.cancelling() > before:
            raise asyncio.CancelledError


@contextmanager
def _translated(doing: str) -> Iterator[None]:
    """Turn what redis-py and the socket raise into the errors of this house."""
    try:
        yield
    except ResponseError as exc:
        raise Refused(doing, _code_of(exc), str(exc)) from exc
    except (RedisError, OSError) as exc:  # asyncio's TimeoutError is an OSError
        raise StoreError(f"{doing}: the store is away: {str(exc) or type(exc).__name__}") from exc
