"""
Making an application of the demo fail on purpose, for a while: `POST /_demo/fault {"kind": "500", "for_s": 3}`.

Outside /api, so that no gateway leads there unless asked to. A fault ends by its time or by DELETE; what is
wrong with an answer is decided in one place, `failing`, before any record is read.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from enum import StrEnum

import orjson
from aiohttp import web
from aiohttp.typedefs import Handler

LONGEST_S = 3600.0


class FaultKind(StrEnum):
    ERROR = "500"  # every answer is a 500
    HANG = "hang"  # nothing is answered before the fault has ended
    CLOSE = "close"  # the connection is reset instead of an answer
    TEAR = "tear"  # half of an answer, then the end of the connection


@dataclass(frozen=True, slots=True)
class Fault:
    kind: FaultKind
    until: float  # in the time of the event loop
    component: str  # empty: all


class Faults:
    """The fault an application has been told to show, if any; one at a time."""

    def __init__(self) -> None:
        self._fault: Fault | None = None
        self._ended = asyncio.Event()

    def set(self, kind: FaultKind, for_s: float, component: str, now: float) -> None:
        self.clear()
        self._fault = Fault(kind, now + for_s, component)

    def clear(self) -> None:
        """End what is going on; whoever hangs is answered."""
        self._fault = None
        self._ended.set()
        self._ended = asyncio.Event()

    def active(self, component: str, now: float) -> Fault | None:
        """Return the fault that holds for `component` at `now`."""
        fault = self._fault
        if fault is None or now >= fault.until or fault.component not in ("", component):
            return None
        return fault

    async def end_of(self, fault: Fault) -> None:
        """Wait until `fault` is over, by its time or because it was cleared."""
        ended = self._ended
        now = asyncio.get_running_loop().time()
        try:
            await asyncio.wait_for(ended.wait(), max(0.0, fault.until - now))
        except TimeoutError:
            return


FAULTS = web.AppKey("faults", Faults)


def fault_routes() -> list[web.RouteDef]:
    return [web.post("/_demo/fault", _set), web.delete("/_demo/fault", _clear)]


async def _set(request: web.Request) -> web.Response:
    try:
        asked = orjson.loads(await request.read())
        kind, for_s = FaultKind(str(asked["kind"])), float(asked.get("for_s", 3))
        component = str(asked.get("component", ""))
    except (ValueError, KeyError, TypeError, AttributeError) as exc:
        kinds = ", ".join(FaultKind)
        raise web.HTTPBadRequest(text=f'should be {{"kind": one of {kinds}, "for_s": seconds}}: {exc}') from None
    if not 0 < for_s <= LONGEST_S:
        raise web.HTTPBadRequest(text=f"for_s should be above 0 and at most {LONGEST_S:g}")
    request.app[FAULTS].set(kind, for_s, component, asyncio.get_running_loop().time())
    return web.Response(status=204)


async def _clear(request: web.Request) -> web.Response:
    request.app[FAULTS].clear()
    return web.Response(status=204)


@web.middleware
async def failing(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer as the fault in force says; requests outside /api never fail."""
    faults = request.app[FAULTS]
    fault = faults.active(request.match_info.get("component", ""), asyncio.get_running_loop().time())
    if fault is None or not request.path.startswith("/api/"):
        return await handler(request)
    if fault.kind is FaultKind.ERROR:
        raise web.HTTPInternalServerError(text="failing on purpose")
    if fault.kind is FaultKind.HANG:
        await faults.end_of(fault)
        return await handler(request)
    return await (_torn(request) if fault.kind is FaultKind.TEAR else _reset(request))


async def _reset(request: web.Request) -> web.StreamResponse:
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=500)  # written to nobody


async def _torn(request: web.Request) -> web.StreamResponse:
    half = b'{"data":['
    answer = web.StreamResponse(headers={"Content-Type": "application/json", "Content-Length": str(2 * len(half))})
    await answer.prepare(request)
    await answer.write(half)
    if request.transport is not None:
        request.transport.close()
    return answer
