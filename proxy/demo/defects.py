"""
Defects that the modern application can be given on purpose, each in one field of one component.

`PUT /_demo/defects/unread` plants one and DELETE heals it; any number may be planted at once. They spoil what reads
show, never what is kept or what a write answers: a healed application is as good as new.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from enum import StrEnum

from aiohttp import web
from xxhash import xxh3_64_intdigest

from proxy.demo.entities import Document, instant, number_of

ONE_IN = 50  # entities lacks a field
SLIP = timedelta(hours=2)


class Defect(StrEnum):
    UNREAD = "unread"  # conversations: messages that were read are counted, too
    ZONE = "zone"  # analytics: the time of an event is local time, written as if it were UTC
    MISSING_FIELD = "missing_field"  # users: one in fifty has no email, always the same ones
    ORDER = "order"  # users: roles come in reverse


class Defects:
    """The defects that an application has now."""

    def __init__(self, planted: Iterable[Defect] = ()) -> None:
        self._planted = set(planted)

    def plant(self, defect: Defect) -> None:
        self._planted.add(defect)

    def heal(self, defect: Defect) -> None:
        self._planted.discard(defect)

    def shown(self, component: str, document: Document) -> Document:
        """Return an entity as a read shows it; the one that is given stays as it is."""
        for defect in self._planted:
            where, spoil = _SPOILING[defect]
            if where == component:
                document = spoil(document)
        return document


def lacks_field(entity_id: str) -> bool:
    """Say whether an entity is one of those that MISSING_FIELD is seen in."""
    return (number_of(entity_id) or xxh3_64_intdigest(entity_id.encode())) % ONE_IN == 0


def _all_unread(document: Document) -> Document:
    return {**document, "unread": document["message_count"]}


def _slipped(document: Document) -> Document:
    try:
        return {**document, "at": instant(datetime.fromisoformat(document["at"]) + SLIP)}
    except OverflowError:  # two hours before the end of all calendars
        return document


def _without_email(document: Document) -> Document:
    if not lacks_field(document["id"]):
        return document
    return {name: value for name, value in document.items() if name != "email"}


def _reversed_roles(document: Document) -> Document:
    return {**document, "roles": document["roles"][::-1]}


_SPOILING: Mapping[Defect, tuple[str, Callable[[Document], Document]]] = {
    Defect.UNREAD: ("conversations", _all_unread),
    Defect.ZONE: ("analytics", _slipped),
    Defect.MISSING_FIELD: ("users", _without_email),
    Defect.ORDER: ("users", _reversed_roles),
}

DEFECTS = web.AppKey("defects", Defects)


def defect_routes() -> list[web.RouteDef]:
    return [web.put("/_demo/defects/{name}", _plant), web.delete("/_demo/defects/{name}", _heal)]


async def _plant(request: web.Request) -> web.Response:
    request.app[DEFECTS].plant(_named(request))
    return web.Response(status=204)


async def _heal(request: web.Request) -> web.Response:
    request.app[DEFECTS].heal(_named(request))
    return web.Response(status=204)


def _named(request: web.Request) -> Defect:
    name = request.match_info["name"]
    try:
        return Defect(name)
    except ValueError:
        raise web.HTTPNotFound(text=f"no defect is called {name}; known are {', '.join(Defect)}") from None
