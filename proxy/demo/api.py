"""
The HTTP API of the demo's applications, over whichever records they keep.

Both applications serve it, so that equal records give equal bytes, but for noise and defects that were asked for. It
knows neither files nor tables, and nothing of a gateway before it.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections import defaultdict
from collections.abc import Callable
from datetime import datetime
from typing import Any

import orjson
from aiohttp import web
from aiohttp.typedefs import Handler

from proxy.demo.defects import DEFECTS, Defects, defect_routes
from proxy.demo.entities import COMPONENTS, ID, Document, Invalid, checked, instant, patched, stamped
from proxy.demo.faults import FAULTS, Faults, failing, fault_routes
from proxy.demo.manner import VERSION_FIELD, Manner
from proxy.demo.records import Records

Clock = Callable[[], datetime]
BODY_LIMIT_BYTES = 1 << 20
PAGE, LARGEST_PAGE = 20, 200
_JSON = "application/json"
_PATCHES = (_JSON, "application/merge-patch+json")

_log = logging.getLogger("banyan.demo")


def build_application(
    name: str, records: Records, clock: Clock, manner: Manner, defects: Defects | None = None
) -> web.Application:
    """Return the application `name` over `records`, which it closes at its end; with `defects` it can be given some."""
    app = web.Application(client_max_size=BODY_LIMIT_BYTES, middlewares=[_errors_as_json, failing])
    app[FAULTS] = Faults()
    app[DEFECTS] = defects or Defects()
    api = _Api(records, clock, manner, app[DEFECTS])
    collection = f"/api/{{component:{'|'.join(COMPONENTS)}}}"

    async def health(request: web.Request) -> web.Response:
        return _answer({"status": "ok", "application": name})

    async def close(app: web.Application) -> None:
        await records.close()

    async def name_version(request: web.Request, answer: web.StreamResponse) -> None:
        answer.headers[VERSION_FIELD] = manner.version

    app.add_routes([
        web.get("/healthz", health),
        web.get(collection, api.page),
        web.post(collection, api.create),
        web.get(f"{collection}/search", api.search),
        web.get(f"{collection}/{{id}}", api.get),
        web.put(f"{collection}/{{id}}", api.put),
        web.patch(f"{collection}/{{id}}", api.patch),
        web.delete(f"{collection}/{{id}}", api.delete),
        *fault_routes(),
        *(defect_routes() if defects is not None else ()),
    ])  # fmt: skip
    app.on_response_prepare.append(name_version)
    app.on_cleanup.append(close)
    return app


class _Api:
    def __init__(self, records: Records, clock: Clock, manner: Manner, defects: Defects) -> None:
        self._records = records
        self._clock = clock
        self._manner = manner
        self._defects = defects
        self._changing: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)  # by component

    async def page(self, request: web.Request) -> web.Response:
        return await self._page(request, "")

    async def search(self, request: web.Request) -> web.Response:
        words = request.query.get("q", "").strip()
        if not words:
            raise Invalid("a search needs words", {"q": "should not be empty"})
        return await self._page(request, words)

    async def _page(self, request: web.Request, words: str) -> web.Response:
        component, limit = request.match_info["component"], _limit(request)
        after = request.query.get("cursor", "")
        if after and not ID.fullmatch(after):
            raise Invalid("the cursor is not one of ours", {"cursor": "should be the `next` of the page before"})
        found = await self._records.page(component, after, limit + 1, words)
        follows = found[limit - 1]["id"] if len(found) > limit else None
        shown = [self._defects.shown(component, document) for document in found[:limit]]
        return _answer({"data": shown, "next": follows, **self._noise(is_search=bool(words))})

    def _noise(self, is_search: bool) -> Document:
        if not self._manner.is_noisy:
            return {}
        made = {"generated_at": self._now()}
        return {**made, "request_id": self._manner.new_id()} if is_search else made

    async def get(self, request: web.Request) -> web.Response:
        component, entity_id = _named(request)
        return _answer(self._defects.shown(component, await self._known(component, entity_id)))

    async def create(self, request: web.Request) -> web.Response:
        component, body = request.match_info["component"], await _body(request)
        async with self._changing[component]:
            entity_id = body.get("id") or str(await self._records.last_number(component) + 1)
            document = checked(component, stamped(body, entity_id, self._now(), None))
            if await self._records.get(component, entity_id):
                raise web.HTTPConflict(text=f"{component}/{entity_id} exists already; PUT replaces it")
            return await self._save(component, document, created=True)

    async def put(self, request: web.Request) -> web.Response:
        (component, entity_id), body = _named(request), await _body(request)
        async with self._changing[component]:
            before = await self._records.get(component, entity_id)
            document = checked(component, stamped(body, entity_id, self._now(), before))
            return await self._save(component, document, created=before is None)

    async def patch(self, request: web.Request) -> web.Response:
        (component, entity_id), patch = _named(request), await _body(request, _PATCHES)
        async with self._changing[component]:
            before = await self._known(component, entity_id)
            return await self._save(component, checked(component, patched(before, patch, self._now())), created=False)

    async def delete(self, request: web.Request) -> web.Response:
        component, entity_id = _named(request)
        async with self._changing[component]:
            await self._known(component, entity_id)
            await self._records.remove(component, entity_id)
        return web.Response(status=204)

    async def _known(self, component: str, entity_id: str) -> Document:
        document = await self._records.get(component, entity_id)
        if document is None:
            raise web.HTTPNotFound(text=f"there is no {component}/{entity_id}")
        return document

    async def _save(self, component: str, document: Document, created: bool) -> web.Response:
        entity_id = document["id"]
        await self._records.save(component, document)
        kept = await self._known(component, entity_id)
        return _answer(kept, 201, Location=f"/api/{component}/{entity_id}") if created else _answer(kept)

    def _now(self) -> str:
        return instant(self._clock())


def _named(request: web.Request) -> tuple[str, str]:
    return request.match_info["component"], request.match_info["id"]


def _limit(request: web.Request) -> int:
    given = request.query.get("limit", str(PAGE))
    if not re.fullmatch("[0-9]{1,3}", given) or not 1 <= int(given) <= LARGEST_PAGE:
        raise Invalid("the page cannot be that long", {"limit": f"should be 1 to {LARGEST_PAGE}"})
    return int(given)


async def _body(request: web.Request, types: tuple[str, ...] = (_JSON,)) -> dict[str, Any]:
    if request.content_type not in types:
        raise web.HTTPUnsupportedMediaType(text=f"the body should be {' or '.join(types)}")
    try:
        body = orjson.loads(await request.read())
    except orjson.JSONDecodeError as exc:
        raise Invalid(f"the body is not JSON: {exc}") from None
    if not isinstance(body, dict):
        raise Invalid("the body should be one JSON object")
    if not isinstance(body.get("id", ""), str):
        raise Invalid("the entity is not valid", {"id": "should be a string"})
    return body


def _answer(document: Document, status: int = 200, **headers: str) -> web.Response:
    return web.Response(body=orjson.dumps(document), status=status, content_type=_JSON, headers=headers)


@web.middleware
async def _errors_as_json(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except Invalid as refused:
        return _answer(_error(400, refused.message, refused.problems), 400)
    except web.HTTPException as exc:
        allow = {"Allow": exc.headers["Allow"]} if "Allow" in exc.headers else {}
        return _answer(_error(exc.status, exc.text or exc.reason, {}), exc.status, **allow)
    except Exception:
        _log.exception("%s %s failed", request.method, request.path)
        return _answer(_error(500, "the application failed", {}), 500)


def _error(status: int, message: str, problems: dict[str, str]) -> Document:
    found = [{"at": at, "what": what} for at, what in problems.items()]
    return {"error": {"status": status, "message": message, **({"problems": found} if found else {})}}
