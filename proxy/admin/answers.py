"""
How the admin and probe listeners answer: JSON, problem documents, and the fields that every answer carries.

Knows nothing of rules. An error of ours becomes a status here, by whose fault it is, and nowhere else.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import orjson
from aiohttp import web

from proxy.core.changes import BadWish, Unknown
from proxy.core.clusters import NoSuchCluster
from proxy.core.errors import ConfigError, Conflict, GatewayError, NotAllowed, StoreError

PROBLEM = "application/problem+json"
FIELDS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


class Refused(Exception):
    """A request is answered with a problem document (RFC 9457) of `status` and nothing else happens."""

    def __init__(self, status: int, detail: str, fields: Mapping[str, str] | None = None, **more: Any) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.fields = dict(fields or {})
        self.more = more


def said(document: object, status: int = 200) -> web.Response:
    """Answer with a JSON document."""
    body = orjson.dumps(document, option=orjson.OPT_APPEND_NEWLINE | orjson.OPT_INDENT_2)
    return web.Response(status=status, body=body, content_type="application/json")


def problem(refused: Refused) -> web.Response:
    """Answer with a problem document."""
    document = {
        "type": "about:blank",
        "title": HTTPStatus(refused.status).phrase,
        "status": refused.status,
        "detail": refused.detail,
        **refused.more,
    }
    body = orjson.dumps(document, option=orjson.OPT_APPEND_NEWLINE)
    return web.Response(status=refused.status, body=body, content_type=PROBLEM, headers=refused.fields)


def refusal_of(error: GatewayError) -> Refused:
    """Say which status an error on purpose is: 409 look again, 422 not as things stand, 503 nothing was written."""
    match error:
        case Unknown() | NoSuchCluster():
            return Refused(404, str(error))
        case BadWish():
            return Refused(400, str(error))
        case Conflict():
            return Refused(409, str(error), expected=error.expected, version=error.actual)
        case ConfigError():
            return Refused(422, "the rules would not be valid", problems=[str(problem) for problem in error.problems])
        case NotAllowed():
            return Refused(422, str(error))
        case StoreError():
            what = f"{error}; nothing was changed, unless the store went away while it did so"
            return Refused(503, what, {"Retry-After": "2"})
        case _:
            return Refused(500, "this should not happen; the log says more")
