"""A secret in every place of a message where a client or a side may put one, and where it must not be found again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from proxy.core.clusters import Pair
from proxy.core.messages import field
from tests.core.pairs import answer, pair

SECRET = "tok_51HqXtYbZkR9mN3vPw4d"


def traces_of_it(text: str) -> list[str]:
    """Return the parts of the secret that stand in a text, in whatever case."""
    parts = [SECRET, SECRET[8:16], SECRET[-8:]]
    return [part for part in parts if part.lower() in text.lower()]


def secretive() -> Iterator[Pair]:
    """Yield pairs with the secret in each place of a message where somebody may have put it."""
    secret = SECRET.encode()
    fields = b"".join(
        (
            field(b"authorization", b"Bearer " + secret),
            field(b"cookie", b"session=" + secret),
            field(secret.lower(), b"1"),
            field(b"x-api-key", secret),
        )
    )
    request = {
        "route": "GET /api/users/{token}",
        "target": b"/api/users/" + secret + b"?q=" + secret + b"&" + secret + b"=1",
        "request_fields": fields,
        "entity": secret,
    }
    yield pair({"profile": SECRET}, {"profile": SECRET + "x"}, **request)
    yield pair({"profile": {SECRET: 1}}, {"profile": {SECRET: 2}}, **request)
    yield pair({"profile": {SECRET: {"a": 1}}}, {"profile": {}}, **request)
    yield pair({"profile": [SECRET, "b"]}, {"profile": ["b", SECRET]}, **request)
    yield pair({"profile": 1, SECRET: SECRET}, {"profile": "1", "extra": SECRET}, **request)
    yield pair(answer({"a": 1}), answer(b"<h1>error " + secret, 500), **request)
    yield pair(answer(b"plain " + secret), answer({"error": SECRET}), **request)
    yield pair(
        answer({"a": 1}, fields=field(b"content-type", b"text/plain; x=" + secret) + field(b"set-cookie", secret)),
        answer({"a": 1}, fields=field(b"content-type", b"text/html; x=" + secret)),
        **request,
    )
    yield pair({"profile": SECRET}, {"profile": SECRET + "x"}, reveal=("$.other",), method=secret, **request)


async def dumped(redis: Any) -> str:
    """Return every key and every value of a server as one text."""
    found = []
    for name in await redis.keys("*"):
        kind = await redis.type(name)
        raw = {
            "string": lambda name: redis.execute_command("GETRANGE", name, 0, -1, NEVER_DECODE=True),
            "hash": redis.hgetall,
            "list": lambda name: redis.lrange(name, 0, -1),
            "zset": lambda name: redis.zrange(name, 0, -1, withscores=True),
            "stream": lambda name: redis.xrange(name),
            "set": redis.smembers,
        }[kind]
        found.append(f"{name} {await raw(name)}")
    return "\n".join(found)
