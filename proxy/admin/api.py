"""
The operator's listener: where things stand as JSON, and the few changes that may be made, each with a reason.

Looks at the house and the store, and hands changes to `workers.changes`; decides nothing itself. Who may come in is
the guard's business.
"""

from __future__ import annotations

import asyncio
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import orjson
from aiohttp import web

from proxy.addresses import host_port, is_loopback
from proxy.admin import bodies
from proxy.admin.answers import Refused, said
from proxy.admin.asking import asked, explained
from proxy.admin.guard import WHO, Door, add_fields, guarded, worded
from proxy.admin.house import House
from proxy.admin.openapi import openapi_document
from proxy.admin.probes import add_probes
from proxy.admin.tokens import Token
from proxy.core.changes import phase_of, side_of
from proxy.core.claims import BUSIEST, busiest, claims_of
from proxy.core.errors import ConfigError, Position, Problem, StoreError
from proxy.core.rules import dump_rule_set
from proxy.core.status import Facts, status_document
from proxy.settings import Admin
from proxy.workers.changes import By, Done
from proxy.workers.clusters import document_of

if TYPE_CHECKING:
    from proxy.admin.gathering import Gathering  # only several processes need it

MOST_ENTRIES = 1000


def build_admin(house: House, gathering: Gathering | None = None) -> web.Application:
    """
    Return the application of the admin listener; `gathering` is there for a process that is one of several.

    Raises ConfigError if others could reach it without a token.
    """
    door = door_of(house.settings.admin)
    app = web.Application(middlewares=[worded, guarded(door)], client_max_size=bodies.BODY_BYTES)
    app.on_response_prepare.append(add_fields)
    add_probes(app, house, gathering)
    api = Api(house, gathering)
    for name in ("status", "rules", "explain", "routes", "history", "events"):
        app.router.add_get(f"/api/v1/{name}", getattr(api, name))
    app.router.add_get("/api/v1/openapi.json", api.openapi)
    app.router.add_get("/api/v1/mismatches", api.mismatches)
    app.router.add_get("/api/v1/mismatches/{id}", api.mismatch)
    app.router.add_post("/api/v1/mismatches/{id}/close", api.close)
    for name in ("weight", "phase", "rollback", "emergency"):
        app.router.add_post(f"/api/v1/components/{{component}}/{name}", getattr(api, name))
    return app


def door_of(settings: Admin) -> Door:
    """Return what the guard goes by; the settings were checked, and this is checked once more all the same."""
    host = host_port(settings.listen)[0]
    local = is_loopback(host)
    if not local and not settings.tokens:
        what = f"{settings.listen} is open to others and there are no tokens"
        raise ConfigError([Problem(Position("admin"), "listen", what)])
    return Door(
        tokens=tuple(Token.of(token.name, token.role, token.secret) for token in settings.tokens),
        hosts=frozenset({host.lower(), *(name.lower() for name in settings.hosts)}),
        any_address=not local,
    )


class Api:
    """The pages and verbs of one house."""

    def __init__(self, house: House, gathering: Gathering | None = None) -> None:
        self._house = house
        self._gathering = gathering

    async def status(self, request: web.Request) -> web.Response:
        """The document of `banyan status`; with the store away, as far as this replica knows."""
        try:
            facts = await self._house.reader.facts()
        except StoreError as error:
            facts = self._own_facts(f"the store is away, this is what one replica knows: {error}")
        facts = replace(facts, live_changes=self._house.settings.live_changes)
        return said(await asyncio.to_thread(status_document, facts))  # large rule sets take their time

    async def rules(self, request: web.Request) -> web.Response:
        """The rule set in force in this replica, as it is published."""
        held = self._house.state.held
        if held is None:
            raise Refused(404, "no rules are in force: everything goes to legacy")
        return said(orjson.loads(dump_rule_set(held)))

    async def explain(self, request: web.Request) -> web.Response:
        """Why a request would be answered by whom: ?method=GET&path=/api/users/42&header=x-user-id:7."""
        query = request.query
        if "path" not in query:
            raise Refused(400, "this takes ?path=/…, and perhaps method=, header= (more than once) and client=")
        house = self._house
        question = asked(
            query.get("method", "GET"), query["path"], query.getall("header", []), query.get("client", ""),
            house.settings,
        )  # fmt: skip
        return said(explained(house.table, house.situations, question))

    async def routes(self, request: web.Request) -> web.Response:
        """Which component claims what, and what nobody claims, as this replica and its siblings counted it."""
        held = self._house.state.held
        if self._gathering is None:
            top = self._house.records.unclaimed.top(BUSIEST)
            unclaimed = busiest((path.decode("latin-1"), count) for path, count in top)
        else:
            told = await self._gathering.ask_all()
            unclaimed = busiest(each for process in told.serving for each in process.unclaimed)
        claims = claims_of(held.components if held is not None else {})
        return said({"version": self._house.table.version, "routes": claims, "unclaimed": unclaimed})

    async def history(self, request: web.Request) -> web.Response:
        """The last publications, the newest first."""
        entries = await self._house.reader.history(_count(request))
        return said([{**asdict(each), "changes": [str(change) for change in each.changes]} for each in entries])

    async def events(self, request: web.Request) -> web.Response:
        """The last events, the newest last."""
        return said([asdict(each) for each in await self._house.reader.events(_count(request))])

    async def mismatches(self, request: web.Request) -> web.Response:
        """The clusters of mismatches, those seen last first, of one component: ?component=users, or of all."""
        return said([document_of(each) for each in await self._house.clusters.of(request.query.get("component"))])

    async def mismatch(self, request: web.Request) -> web.Response:
        """One cluster with its examples, the newest first."""
        cluster = await self._house.clusters.one(request.match_info["id"])
        return said({**document_of(cluster), "examples": await self._house.clusters.examples(cluster)})

    async def close(self, request: web.Request) -> web.Response:
        """Close a cluster until it is seen again."""
        body = await self._body(request, bodies.Close)
        done = await self._house.clusters.close(request.match_info["id"], request[WHO], body.why)
        return said({"changed": done.changed, **document_of(done.cluster)})

    async def openapi(self, request: web.Request) -> web.Response:
        """What there is, for tools."""
        return said(openapi_document(self._house.build))

    async def weight(self, request: web.Request) -> web.Response:
        """Give modern another share of a component's reads."""
        body = await self._body(request, bodies.Weight)
        return _done(await self._house.changes.weight(_component(request), body.weight, _by(request, body)))

    async def phase(self, request: web.Request) -> web.Response:
        """Move a component to another phase."""
        body = await self._body(request, bodies.Phase)
        phase = None if body.phase is None else phase_of(body.phase)
        return _done(await self._house.changes.phase(_component(request), phase, _by(request, body)))

    async def rollback(self, request: web.Request) -> web.Response:
        """Take a component back, for all replicas."""
        body = await self._body(request, bodies.Reason)
        return _done(await self._house.changes.rollback(_component(request), _by(request, body)))

    async def emergency(self, request: web.Request) -> web.Response:
        """Send all reads of a component, or of `all`, to one side at once, or end that."""
        body = await self._body(request, bodies.Emergency)
        by = By(request[WHO], body.why)
        return _done(await self._house.changes.emergency(_component(request), side_of(body.to), by, body.for_s))

    async def _body(self, request: web.Request, model: type[bodies.Body]) -> bodies.Body:
        return await bodies.body_of(request, model, self._house.settings.timeouts.client_body_idle_s)

    def _own_facts(self, fault: str) -> Facts:
        beat = asdict(self._house.heartbeat())
        state = self._house.state
        lost = any(situation.store_lost for situation in self._house.situations)
        now = self._house.reader.clock()
        return Facts(state.held, state.emergencies, [beat], at_s=now, fault=fault, store_lost=lost)


def _component(request: web.Request) -> str:
    return request.match_info["component"]


def _by(request: web.Request, body: bodies.Reason) -> By:
    return By(request[WHO], body.why, body.expect)


def _done(done: Done) -> web.Response:
    document: dict[str, Any] = asdict(done)
    return said(document)


def _count(request: web.Request) -> int:
    """Return how many entries are asked for: ?count=, 50 unless told."""
    word = request.query.get("count", "50")
    if not word.isascii() or not word.isdecimal() or not 0 < int(word[:6]) <= MOST_ENTRIES:
        raise Refused(400, f"count should be 1 to {MOST_ENTRIES}, is {word!r}")
    return int(word)
