"""
What a kubelet and Prometheus reach: /livez, /readyz and /metrics, read-only and without a token.

Carries no rules and no names of users: a version, one sentence per trouble, and counters with bounded labels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web
from prometheus_client import CollectorRegistry

from proxy.admin.answers import said
from proxy.admin.guard import add_fields, worded
from proxy.admin.house import House
from proxy.admin.metrics import exposition, registry_of
from proxy.admin.readiness import not_ready
from proxy.core.brief import told

if TYPE_CHECKING:
    from proxy.admin.gathering import Gathering  # only several processes need it


def build_probes(house: House, gathering: Gathering | None = None) -> web.Application:
    """Return the application of the probes' listener; `gathering` is there for a process that is one of several."""
    app = web.Application(middlewares=[worded], client_max_size=1024)
    app.on_response_prepare.append(add_fields)
    add_probes(app, house, gathering)
    return app


def add_probes(app: web.Application, house: House, gathering: Gathering | None) -> None:
    """Serve the probes from `app`, which may serve more."""
    probes = Probes(house, registry_of(house), gathering)
    app.router.add_get("/livez", probes.livez)
    app.router.add_get("/readyz", probes.readyz)
    app.router.add_get("/metrics", probes.metrics)


class Probes:
    """The three pages of one house, or of all processes of one parent."""

    def __init__(self, house: House, registry: CollectorRegistry, gathering: Gathering | None) -> None:
        self._house = house
        self._registry = registry
        self._gathering = gathering

    async def livez(self, request: web.Request) -> web.Response:
        """Say that the process runs; it can say nothing else, for a restart would help nobody."""
        return said({"status": "ok"})

    async def readyz(self, request: web.Request) -> web.Response:
        """Say 200 when traffic may come, 503 with the reasons when it should not; a lost store alone is `degraded`."""
        if self._gathering is None:
            return _readiness(not_ready(self._house), self._house.troubles(), self._house.table.version, {})
        all_of_them = await self._gathering.ask_all()
        found = all_of_them.not_ready(), all_of_them.troubles(), all_of_them.version
        return _readiness(*found, {"processes": all_of_them.states})

    async def metrics(self, request: web.Request) -> web.Response:
        """Return every counter in the format that the scraper accepts."""
        registry = self._registry if self._gathering is None else await self._gathering.registry()
        body, content_type = exposition(registry, request.headers.get("Accept", ""))
        return web.Response(body=body, headers={"Content-Type": content_type})


def _readiness(
    reasons: tuple[str, ...], troubles: tuple[str, ...], version: int, more: dict[str, object]
) -> web.Response:
    document = {
        "status": "not ready" if reasons else "ready",
        "degraded": bool(troubles),
        "version": version,
        "because": told([*reasons, *troubles]),
    }
    return said(document | more, 503 if reasons else 200)
