"""
The door of the admin listener: what every request has to pass before any page or verb sees it.

In this order: the Host allow-list (DNS rebinding, 421), what a browser says about where the request comes from
(cross-site, 403), JSON only for changes (415), the bearer token and its role (401, 403, delays for wrong ones).
Every answer, an error too, leaves with the security fields. There is no CORS: no other origin may read anything.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from time import monotonic

import structlog
from aiohttp import web
from aiohttp.typedefs import Middleware

from proxy.admin.answers import FIELDS, Refused, problem, refusal_of
from proxy.admin.tokens import Role, Throttle, Token, bearer_of, match
from proxy.core.errors import GatewayError

Next = Callable[[web.Request], Awaitable[web.StreamResponse]]

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
OPEN = frozenset({"/livez", "/readyz"})  # carry no data: also without a token
WHO = web.RequestKey("who", str)
log = structlog.get_logger("banyan.admin")


@dataclass(frozen=True, slots=True)
class Door:
    """
    What the guard goes by.

    `hosts` are names (lower case, no port) that the listener is reached by, beside the loopback's; with `any_address`
    a Host that is an address passes as well: rebinding needs a name. Without `tokens` everyone is an operator.
    """

    tokens: tuple[Token, ...] = ()
    hosts: frozenset[str] = frozenset()
    any_address: bool = False
    throttle: Throttle = field(default_factory=Throttle)


LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})


def is_known_host(door: Door, host: str) -> bool:
    """Say whether a Host field names this listener; its port is not looked at, for port-forwards change it."""
    name = host.strip().lower()
    if not name.endswith("]"):
        head, colon, port = name.rpartition(":")
        name = head if colon and port.isdigit() else name
    if name in LOOPBACK_NAMES or name.rstrip(".") in door.hosts:
        return True
    return door.any_address and is_address(name)


def is_address(name: str) -> bool:
    """Say whether a Host field's name is an IPv4 address or an IPv6 one in brackets."""
    try:
        ipaddress.ip_address(name[1:-1] if name.startswith("[") else name)
    except ValueError:
        return False
    return name.startswith("[") or ":" not in name


def is_cross_site(request: web.Request) -> bool:
    """Say whether a browser sends this on behalf of another site (fetch metadata; else Origin against Host)."""
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        return site not in ("same-origin", "none")
    origin = request.headers.get("Origin")
    return origin is not None and origin.partition("://")[2].lower() != request.headers.get("Host", "").lower()


def source_of(request: web.Request) -> str:
    """Name who has to wait after wrong tokens: the peer's address, or `local` on a unix socket."""
    return request.remote or "local"


async def let_in(door: Door, request: web.Request) -> str:
    """Return who is asking; raises Refused at the first thing that is wrong."""
    host = request.headers.get("Host", "")
    if not is_known_host(door, host):
        raise Refused(421, f"this listener is not {host!r}; it answers to the names it listens on")
    if request.method not in SAFE:
        if is_cross_site(request):
            raise Refused(403, "a page of another site may not change anything here")
        if request.content_type != "application/json":
            raise Refused(415, "a change is a POST of application/json", {"Accept": "application/json"})
    if not door.tokens or request.path in OPEN:
        return "admin" if request.remote is None else f"admin@{request.remote}"
    token = await known_token(door, request)
    needed = Role.VIEWER if request.method in SAFE else Role.OPERATOR
    if not token.role.covers(needed):
        raise Refused(403, f"token {token.name!r} is a {token.role}; this takes an {needed}")
    return token.name


async def known_token(door: Door, request: web.Request) -> Token:
    """Return the token of a request; a wrong one is answered 401 after a delay that grows, or 429 at once."""
    secret = bearer_of(request.headers.get("Authorization"))
    if secret is None:
        raise Refused(401, "this takes a bearer token", {"WWW-Authenticate": 'Bearer realm="banyan"'})
    source = source_of(request)
    if door.throttle.is_full(source):
        raise Refused(429, "too many wrong tokens", {"Retry-After": "10"})
    token = match(door.tokens, secret)
    if token is not None:
        return token
    delay_s = door.throttle.delay_s(source, monotonic())
    try:
        await asyncio.sleep(delay_s)
    finally:
        door.throttle.done(source)
    log.warning("admin_token_refused", source=source, delay_s=delay_s)
    raise Refused(
        401, "this token is not known here", {"WWW-Authenticate": 'Bearer realm="banyan", error="invalid_token"'}
    )


def guarded(door: Door) -> Middleware:
    """Return the middleware that asks `door` before anything else happens; `worded` stands before it."""

    @web.middleware
    async def guard(request: web.Request, handler: Next) -> web.StreamResponse:
        request[WHO] = await let_in(door, request)
        return await handler(request)

    return guard


@web.middleware
async def worded(request: web.Request, handler: Next) -> web.StreamResponse:
    """Turn every refusal and every error on purpose into a problem document."""
    try:
        return await handler(request)
    except Refused as refused:
        return problem(refused)
    except GatewayError as error:
        return problem(refusal_of(error))
    except web.HTTPException as error:
        return problem(refused_by_router(error))


async def add_fields(request: web.Request, answer: web.StreamResponse) -> None:
    """Put the security fields on every answer (a signal, for aiohttp's own errors pass no middleware)."""
    answer.headers.update(FIELDS)
    answer.headers.popall("Server", None)


def refused_by_router(error: web.HTTPException) -> Refused:
    """Say in a problem document what aiohttp refused: 404, 405 with its Allow, 413."""
    details = {
        404: "there is nothing here; /api/v1/openapi.json says what there is",
        405: "not with this method; a change is a POST",
        413: "the body is larger than anything asked for here",
    }
    fields = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}
    return Refused(error.status, details.get(error.status, error.reason), fields)
