"""
A gateway that only pretends: it answers readers on loopback as a script of the test says, without any side behind it.

So a test can let the scenes of the demo meet a gateway that does right, and one that does wrong.
"""

from __future__ import annotations

import io
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import web
from aiohttp.test_utils import TestServer
from rich.console import Console

from proxy.core.assign import bucket_of
from proxy.demo.play import Play
from proxy.demo.stage import Ports
from proxy.demo.tally import Tally
from proxy.demo.telling import Teller
from proxy.demo.traffic import Traffic
from proxy.demo.web import Web

Answering = Callable[["PretendStage", str, str], tuple[int, str, str]]


def rightly(stage: PretendStage, component: str, user: str) -> tuple[int, str, str]:
    """Answer by weight, emergency and fault: (status, side, fallback)."""
    moved = bucket_of(user.encode(), component.encode()) < 100 * stage.weights.get(component, 0)
    if not moved or stage.emergency:
        return 200, "legacy", ""
    if stage.faults:
        reason = "status" if stage.faults[-1] == "500" else "reset"
        stage.counted += 1
        return 200, "legacy", f"modern;{reason}"
    return 200, "modern", ""


class PretendStage:
    """Has the handles of a Stage; what is done with them is remembered and decides the answers."""

    def __init__(self, folder: Path, answering: Answering) -> None:
        self.ports = Ports()
        self.weights: dict[str, float] = {}
        self.emergency = ""
        self.faults: list[str] = []
        self.counted = 0
        self.typed: list[tuple[str, ...]] = []
        self.store_socket = "/run/store.sock"
        self._folder = folder
        self._answering = answering

    def rule_file(self, component: str) -> Path:
        return self._folder / f"{component}.yaml"

    def raise_if_ended(self) -> None:
        pass

    async def banyan(self, *words: str) -> str:
        self.typed.append(words)
        self.weights[words[1]] = float(words[2]) if words[0] == "weight" else 0.0
        return ""

    async def redis(self, *words: str) -> str:
        self.typed.append(words)
        self.emergency = words[2] if words[0] == "SET" else ""
        return "+OK"

    async def fault(self, kind: str, for_s: float) -> None:
        self.faults.append(kind)

    async def metric(self, name: str, **labels: str) -> float:
        if name == "banyan_weight_percent":
            self._read_rule_file(labels["component"])
            return self.weights.get(labels["component"], 0.0)
        if name == "banyan_breaker_open":
            is_open = self.faults[-1:] == ["close"]
            if is_open:
                self.faults.clear()  # it was seen, and modern is well from now on
            return float(is_open)
        return float(self.counted)

    def _read_rule_file(self, component: str) -> None:
        if self.rule_file(component).exists():
            weight = self.rule_file(component).read_text().partition("weight: ")[2].split()[0]
            self.weights[component] = float(weight)

    async def answer(self, request: web.Request) -> web.Response:
        component = request.path.split("/")[2]
        status, side, fallback = self._answering(self, component, request.headers["x-user-id"])
        fields = {"X-Banyan-Side": side, "X-Banyan-Component": component}
        return web.Response(status=status, headers={**fields, **({"X-Banyan-Fallback": fallback} if fallback else {})})


@asynccontextmanager
async def pretend(folder: Path, answering: Answering = rightly) -> AsyncIterator[Play]:
    stage = PretendStage(folder, answering)
    app = web.Application()
    app.router.add_route("*", "/api/{rest:.*}", stage.answer)
    async with TestServer(app) as server, Web() as client:
        traffic = Traffic(client, str(server.make_url("")).rstrip("/"), Tally())
        yield Play(stage, traffic, Teller(Console(file=io.StringIO(), width=200)))  # type: ignore[arg-type]
