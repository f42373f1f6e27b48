"""
A gateway that only pretends: it answers readers on loopback as a script of the test says, without any side behind it.

So a test can let the scenes of the demo meet a gateway that does right, and one that does wrong.
"""

from __future__ import annotations

import io
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer
from rich.console import Console

from proxy.core.assign import bucket_of
from proxy.demo.entities import COMPONENTS
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


# Where each defect of modern shows: component, route, path, kind.
SHOWN: dict[str, tuple[tuple[str, str, str, str], ...]] = {
    "unread": (
        ("conversations", "/api/conversations/{id}", "$.unread", "value"),
        ("conversations", "/api/conversations", "$.data[*].unread", "value"),
        ("conversations", "/api/conversations/search", "$.data[*].unread", "value"),
    ),
    "zone": (
        ("analytics", "/api/analytics/{id}", "$.at", "value"),
        ("analytics", "/api/analytics", "$.data[*].at", "value"),
        ("analytics", "/api/analytics/search", "$.data[*].at", "value"),
    ),
    "missing_field": (("users", "/api/users/{id}", "$.email", "missing"),),
    "order": (
        ("users", "/api/users/{id}", "$.roles", "order"),
        ("users", "/api/users", "$.data[*].roles", "order"),
        ("users", "/api/users/search", "$.data[*].roles", "order"),
    ),
}
PROPOSED = """\
# {name}: to be put in place of the same keys in its rule file
compare:
  ignore:
    # $.generated_at in /api/{name}, /api/{name}/search: 9 of 9 reads, 2026-11-25T18:52Z to 2026-11-25T18:53Z
    - {{path: $.generated_at, why: "differed from itself in 9 of 9 reads since 2026-11-25"}}
routes:
  /api/{name}/search:
    compare:
      ignore:
        - {{path: $.generated_at, why: "differed from itself in 9 of 9 reads since 2026-11-25"}}
        # $.request_id in /api/{name}/search: 5 of 5 reads, 2026-11-25T18:52Z to 2026-11-25T18:53Z
        - {{path: $.request_id, why: "differed from itself in 5 of 5 reads since 2026-11-25"}}
"""


class PretendComparison:
    """Finds what is planted where it shows, at once; what a test changes it does wrong."""

    def __init__(self) -> None:
        self.shown = dict(SHOWN)  # by defect
        self.imagined: list[tuple[str, str, str, str]] = []  # found without any reason
        self.proposed = PROPOSED
        self.bound_pct = 1.5
        self.mismatched = 0
        self.phases: dict[str, str] = {}
        self.planted: set[str] = set()
        self.found: dict[tuple[str, str, str, str], dict[str, Any]] = {}
        self.reopens = False

    def clusters(self) -> list[dict[str, Any]]:
        for place in [*self.imagined, *(place for defect in self.planted for place in self.shown[defect])]:
            component, route, path, kind = place
            cluster = {"component": component, "route": route, "path": path, "kind": kind, "shape": "text≠text"}
            counts = {"id": f"id{len(self.found)}", "count": 0, "entities": 7, "status": "open"}
            self.found.setdefault(place, {**cluster, **counts})["count"] += 1
        return list(self.found.values())

    def close(self, id: str) -> None:
        cluster = next(each for each in self.found.values() if each["id"] == id)
        cluster["status"] = "open" if self.reopens else "closed"

    def compared(self, component: str) -> dict[str, Any] | None:
        if component not in self.phases:
            return None
        return {"compared": 99, "mismatched": self.mismatched, "bound_pct": self.bound_pct, "said": "fewer than that"}


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
        self.comparison = PretendComparison()
        self._folder = folder
        self._answering = answering

    def rule_file(self, component: str) -> Path:
        return self._folder / f"{component}.yaml"

    def raise_if_ended(self) -> None:
        pass

    async def banyan(self, *words: str) -> str:
        self.typed.append(words)
        match words:
            case ("phase", component, phase, *_):
                self.comparison.phases[component] = phase
            case ("noise", "suggest", component):
                return self.comparison.proposed.format(name=component)
            case ("status",):
                return "users: compared: fewer than that\nall is well\n"
            case (verb, component, *rest):
                self.weights[component] = float(rest[0]) if verb == "weight" else 0.0
        return ""

    async def plant(self, defect: str) -> None:
        self.comparison.planted.add(defect)

    async def heal(self, defect: str) -> None:
        self.comparison.planted.discard(defect)

    async def admin(self, path: str, body: object = None) -> Any:
        if path == "/api/v1/rules":
            return {"components": {name: self._rules(name) for name in COMPONENTS}}
        if path == "/api/v1/status":
            return {"components": {name: {"compared": self.comparison.compared(name)} for name in COMPONENTS}}
        if path == "/api/v1/mismatches":
            return self.comparison.clusters()
        if body is None:
            return {"examples": [{"hints": ["2 h apart"]}]}
        assert body == {"why": "healed in modern"}
        self.comparison.close(path.split("/")[-2])
        return {}

    def _rules(self, component: str) -> dict[str, Any]:
        said = self.rule_file(component).read_text()
        return {"compare": {"ignore": ["something"] if "generated_at" in said else []}}

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
