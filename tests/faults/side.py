"""
One of the two sides as a process of its own, so that it can be killed and stopped: answers, and records what it did.

`python -m tests.faults.side NAME PORT LOG`. A line in LOG for each request begun (`begun`) and for each whose body
came whole (`done`), written before the answer. A line on stdin changes its manner: `status 503`; `takes 0.03` (seconds
for each answer, one after the other); `learn scripts`.
"""

from __future__ import annotations

import asyncio
import os
import random
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tests.faults.pace import pause
from tests.faults.tokens import ID_FIELD, answer_message, digest_of
from tests.peers import Exchange
from tests.peers import Side as Server

SCRIPTED = b"x-fault-script"  # names a line of the corpus: the side answers with exactly those bytes
BETWEEN_S = 0.005


@dataclass(frozen=True, slots=True)
class Deed:
    """One request as a side saw it; `digest` is None until its body was whole."""

    number: int
    method: str
    digest: str | None
    at: float  # of the clock that all processes share


class Recorder:
    """Answers what the load asks, and writes down what it was asked."""

    def __init__(self, name: str, log: Path) -> None:
        self.server = Server(self.serve)
        self.status = 200
        self.takes_s = 0.0  # for one answer after the other; 0: all at once
        self._turn = asyncio.Lock()
        self._name = name
        self._log = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self._scripts: dict[bytes, bytes] = {}
        self._chance = random.Random(name)

    async def serve(self, exchange: Exchange) -> None:
        method = exchange.line.split(b" ", 1)[0].decode("latin-1")
        number = int(exchange.value(ID_FIELD) or b"-1")
        self._write("begun", number, method, "-")
        digest = digest_of(await exchange.read_body())
        self._write("done", number, method, digest)
        self.server.seen.clear()
        self.server.raw.clear()
        if self.takes_s:
            async with self._turn:
                await pause(self.takes_s)
        if (script := exchange.value(SCRIPTED)) is not None:
            await self._play(exchange, script, method == "HEAD" or script.startswith(b"good"))
            if script.startswith(b"torn"):
                exchange.writer.close()
        else:
            message = answer_message(number, self._name, method, digest, self.status)
            await exchange.send(message if method != "HEAD" else message.partition(b"\r\n\r\n")[0] + b"\r\n\r\n")

    async def _play(self, exchange: Exchange, name: bytes, whole: bool) -> None:
        """
        Send exactly these bytes; what is no answer, or none to its end, in two pieces.

        What stands behind a whole answer comes with it. Were it late, it would be the answer to whoever is next on
        that connection, and nobody in between could tell: a side that answers twice has to be trusted not to.
        """
        data = self._scripts[name]
        cut = len(data) if whole else self._chance.randrange(len(data) + 1)
        await exchange.send(data[:cut])
        if not whole:
            await pause(BETWEEN_S)
            await exchange.send(data[cut:])

    def _write(self, what: str, number: int, method: str, digest: str) -> None:
        os.write(self._log, f"{what} {number} {method} {digest or '-'} {time.monotonic():.6f}\n".encode())

    def learn(self) -> None:
        """Learn the answers of the hostile corpus by name; it takes a second to read."""
        from tests.faults.hostile import scripts

        self._scripts = scripts()


def deeds(log: Path) -> Iterator[Deed]:
    """Read a log; a last line that a kill cut short is left out."""
    if not log.exists():
        return
    for line in log.read_text().splitlines(keepends=True):
        words = line.split()
        if len(words) == 5 and line.endswith("\n"):
            what, number, method, digest, at = words
            whole = None if what == "begun" else "" if digest == "-" else digest
            yield Deed(int(number), method, whole, float(at))


async def _obey(recorder: Recorder) -> None:
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        word, _, value = line.decode().strip().partition(" ")
        if word == "status":
            recorder.status = int(value)
        elif word == "takes":
            recorder.takes_s = float(value)
        elif word == "learn":
            recorder.learn()
        print(line.decode().strip(), flush=True)


async def main(name: str, port: int, log: Path) -> None:
    recorder = Recorder(name, log)
    await recorder.server.start(port)
    print("ready", flush=True)
    await _obey(recorder)  # until stdin ends, so that no side outlives whoever started it


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        asyncio.run(main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])))
