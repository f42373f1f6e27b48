"""Real parents for the tests: `banyan run` with several processes, what became of them, and load that counts faults."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import ssl
from pathlib import Path
from typing import Any

from tests.peers import Answer, RawClient
from tests.replicas import Replica, fetch, scrape
from tests.waiting import until


class Parent(Replica):
    """A gateway of several processes."""

    def said(self, event: str) -> list[dict[str, Any]]:
        """Return what the parent and its processes logged under this name so far."""
        return [line for line in self.log if line.get("event") == event]

    @property
    def children(self) -> list[int]:
        """The pids of the processes that it started and that have not ended, the oldest first."""
        return [pid for line in self.said("process_started") if is_alive(pid := line["pid"])]

    @property
    def ledger(self) -> Path | None:
        """Where its processes write what they counted; None before it said so."""
        return next((Path(line["ledger"]) for line in self.said("starting") if "ledger" in line), None)

    def send(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    async def restart(self) -> None:
        """Restart hot, and wait until the new processes have taken over."""
        done = len(self.said("restarted"))
        self.send(signal.SIGUSR2)
        await until(lambda: len(self.said("restarted")) > done, 40)

    async def full(self, count: int = 2) -> None:
        """Wait until `count` processes serve, and no others are there."""

        async def serving() -> bool:
            states = await self.states()
            return states["ready"] == count and sum(states.values()) == count

        await until(serving, 40)

    async def states(self) -> dict[str, int]:
        """Return how many processes stand how, as the probes say."""
        states: dict[str, int] = (await fetch(self.probes, "/readyz"))[1]["processes"]
        return states

    async def total(self) -> float:
        """Return how many requests were answered, by the metrics."""
        return total(await scrape(self.probes))

    async def close(self) -> None:
        for pid in self.children:
            os.kill(pid, signal.SIGCONT)
            os.kill(pid, signal.SIGKILL)
        if self.ledger is not None:
            shutil.rmtree(self.ledger, ignore_errors=True)
        await super().close()


def is_alive(pid: int) -> bool:
    """Say whether a process runs; one that has ended and that nobody asked for yet does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def total(samples: dict[str, float]) -> float:
    return sum(value for name, value in samples.items() if name.startswith("banyan_requests_total"))


def get(user: str) -> bytes:
    return f"GET /api/users/42 HTTP/1.1\r\nHost: a\r\nX-User-Id: {user}\r\n\r\n".encode()


class Load:
    """
    Clients that ask again and again on connections that they keep, until told to stop.

    `faults` has every request that was not answered with a 200; a connection that is refused is no fault when
    `may_refuse`, and ends its client.
    """

    def __init__(
        self, port: int, clients: int = 16, may_refuse: bool = False, tls: ssl.SSLContext | None = None
    ) -> None:
        self.answered = 0
        self.faults: list[str] = []
        self._port = port
        self._tls = tls
        self._may_refuse = may_refuse
        self._stop = asyncio.Event()
        self._tasks = [asyncio.ensure_future(self._ask(f"u{number}")) for number in range(clients)]

    async def stop(self) -> None:
        """Let every request under way end."""
        self._stop.set()
        await asyncio.gather(*self._tasks)

    async def over(self) -> None:
        """Wait until every client was refused."""
        await asyncio.gather(*self._tasks)

    async def more(self, count: int) -> None:
        """Wait for so many further answers."""
        begun = self.answered
        await until(lambda: self.answered >= begun + count, 40)

    async def _ask(self, user: str) -> None:
        client: RawClient | None = None
        while not self._stop.is_set():
            try:
                client = client or await RawClient.connect(self._port, self._tls)
            except OSError as exc:
                if not self._may_refuse:
                    self.faults.append(repr(exc))
                return
            client = await self._asked(client, user)
        if client is not None:
            client.close()

    async def _asked(self, client: RawClient, user: str) -> RawClient | None:
        """Ask once; return the connection if it is kept."""
        try:
            await client.send(get(user))
            answer: Answer = await client.answer()
        except (OSError, asyncio.IncompleteReadError) as exc:
            self.faults.append(repr(exc))
            client.close()
            return None
        self.answered += answer.status == 200
        if answer.status != 200:
            self.faults.append(repr(answer))
        if answer.value(b"connection") == b"close":
            client.close()
            return None
        return client
