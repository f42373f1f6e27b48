"""
The hostile corpus: every odd request and answer of the wire's own case tables, and clients that send them.

A client of it never minds what it gets, with one exception: the answer to somebody else's request.
"""

from __future__ import annotations

import asyncio
import random
import re
from collections import Counter
from contextlib import suppress

from tests.faults.side import SCRIPTED
from tests.peers import RawClient
from tests.wire import test_cases as requests
from tests.wire import test_cases_answers as answers

LOOKS_S = 0.3  # how long one of them waits for what it gets
LEAVING = ("close", "reset", "wait")
FOREIGN = re.compile(rb"(?m)^[1-9][0-9]* (?:legacy|modern) (?:GET|POST|PUT) ")  # the token of a good client's answer


def corpus() -> dict[str, bytes]:
    """Return hostile messages by name: refused ones, odd ones, broken bodies, ambiguous paths, smuggled requests."""
    found = {f"refused {name}": request for name, (request, _) in requests.REFUSED.items()}
    found |= {f"odd {name}": request for name, (request, _) in requests.BODY.items()}
    found |= {f"broken {name}": requests.chunks(body) for name, body in requests.BROKEN_BODIES.items()}
    found |= {f"chunked {name}": requests.chunks(body) for name, (body, _) in requests.CHUNKED.items()}
    found |= {f"path {path!r}": requests.get(target=path) for path in requests.AMBIGUOUS}
    for name in scripts():
        for method in (b"GET", b"HEAD", b"POST"):
            field = SCRIPTED + b": " + name
            framing = (b"Content-Length: 2",) if method == b"POST" else ()
            found[f"answer {method!r} {name!r}"] = requests.post(
                field, *framing, method=method, target=b"/api/users/1", body=b"hi" if framing else b""
            )
    return found


def scripts() -> dict[bytes, bytes]:
    """Return what a side answers to a request that asks for it by name; after a torn one it closes."""
    found = {b"bad %d" % number: data for number, data in enumerate(answers.BAD.values())}
    found |= {b"good %d" % number: each[0] for number, each in enumerate(answers.GOOD_ANSWERS.values())}
    return found | {b"torn %d" % number: data for number, (data, _) in enumerate(answers.TORN.values())}


class Attackers:
    """So many clients that send the corpus at random, again and again, until they are stopped."""

    def __init__(self, port: int, count: int, seed: int = 0) -> None:
        self.port = port
        self.messages = 0
        self.statuses: Counter[str] = Counter()
        self.foreign: list[bytes] = []  # answers of others that one of them got
        self._cases = list(corpus().values())
        self._chance = random.Random(seed)
        self._count = count
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        self._tasks = [asyncio.create_task(self._attack()) for _ in range(self._count)]

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        for ended in await asyncio.gather(*self._tasks, return_exceptions=True):
            if isinstance(ended, Exception):
                raise ended

    async def _attack(self) -> None:
        while True:
            client = await RawClient.connect(self.port)
            try:
                got = await self._say(client)
            finally:
                client.close()
            self.statuses[got[9:12].decode("latin-1") if got.startswith(b"HTTP/1.1 ") else "none"] += 1
            if FOREIGN.search(got):
                self.foreign.append(got)

    async def _say(self, client: RawClient) -> bytes:
        """Send one to three messages, whole or in pieces, some with a good beginning or a request behind."""
        chance = self._chance
        said = [chance.choice(self._cases) for _ in range(chance.choice((1, 1, 2, 3)))]
        self.messages += len(said)
        data = b"".join(said) + chance.choice((b"", b"", requests.GOOD, b"G", b"GET /api/users/1 HTTP/1.1\r\nX: "))
        if chance.random() < 0.1:
            data = data[: chance.randrange(len(data))]
        cut = chance.randrange(1, len(data)) if len(data) > 1 and chance.random() < 0.5 else len(data)
        got = b""
        with suppress(ConnectionError, TimeoutError, asyncio.IncompleteReadError):
            await client.send(data[:cut], data[cut:])
            leaving = chance.choice(LEAVING)
            if leaving == "reset":
                client.reset()
            elif leaving == "wait":
                async with asyncio.timeout(LOOKS_S):
                    while block := await client.reader.read(65_536):
                        got += block
            else:
                async with asyncio.timeout(LOOKS_S):
                    got = await client.reader.read(65_536)
        return got
