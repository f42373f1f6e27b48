"""
What a kubelet and Prometheus reach: /livez, /readyz and /metrics, read-only and without a token.

Carries no rules and no names of users: a version, one sentence per trouble, and counters with bounded labels.
"""

from __future__ import annotations

from aiohttp import web
from prometheus_client import CollectorRegistry

from proxy.admin.answers import said
from proxy.admin.guard import add_fields, worded
from proxy.admin.house import House
from proxy.admin.metrics import exposition, registry_of
from proxy.admin.readiness import not_ready


def build_probes(house: House) -> web.Application:
    """Return the application of the probes' listener."""
    app = web.Application(middlewares=[worded], client_max_size=1024)
    app.on_response_prepare.append(add_fields)
    add_probes(app, house)
    return app


def add_probes(app: web.Application, house: House) -> None:
    """Serve the probes from `app`, which may serve more."""
    probes = Probes(house, registry_of(house))
    app.router.add_get("/livez", probes.livez)
    app.router.add_get("/readyz", probes.readyz)
    app.router.add_get("/metrics", probes.metrics)


class Probes:
    """The three pages of one house."""

    def __init__(self, house: House, registry: CollectorRegistry) -> None:
        self._house = house
        self._registry = registry

    async def livez(self, request: web.Request) -> web.Response:
        """Say that the process runs; it can say nothing else, for a restart would help nobody."""
        return said({"status": "ok"})

    async def readyz(self, request: web.Request) -> web.Response:
        """Say 200 when traffic may come, 503 with the reasons when it should not; a lost store alone is `degraded`."""
        reasons = not_ready(self._house)
        troubles = self._house.troubles()
        document = {
            "status": "not ready" if reasons else "ready",
            "degraded": bool(troubles),
            "version": self._house.table.version,
            "because": [*reasons, *troubles],
        }
        return said(document, 503 if reasons else 200)

    async def metrics(self, request: web.Request) -> web.Response:
        """Return every counter in the format that the scraper accepts."""
        body, content_type = exposition(self._registry, request.headers.get("Accept", ""))
        return web.Response(body=body, headers={"Content-Type": content_type})
