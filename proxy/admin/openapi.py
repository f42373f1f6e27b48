"""
The OpenAPI document of the admin listener, made from the models of its bodies.
"""

from __future__ import annotations

from typing import Any

from proxy.admin import bodies
from proxy.core.frozen import Frozen

_COUNT = ("count", "How many entries", False, {"type": "integer", "minimum": 1, "maximum": 1000, "default": 50})
_ASK = (
    ("path", "Path and query of the request", True, {"type": "string"}),
    ("method", "Its method", False, {"type": "string", "default": "GET"}),
    (
        "header",
        "A header field such as x-user-id:7; more than once",
        False,
        {"type": "array", "items": {"type": "string"}},
    ),
    ("client", "The client's address", False, {"type": "string"}),
)
_ONE_COMPONENT = (("component", "Of this component alone", False, {"type": "string"}),)
_PAGES: dict[str, tuple[str, tuple[Any, ...]]] = {
    "status": ("Where every component stands, who set what, and what is wrong", ()),
    "rules": ("The rule set in force, as it is published", ()),
    "explain": ("Why a request would be answered by whom", _ASK),
    "routes": ("Which component claims what, and what nobody claims", ()),
    "history": ("The last publications, the newest first", (_COUNT,)),
    "events": ("The last events, the newest last", (_COUNT,)),
    "mismatches": ("The clusters of mismatches, those seen last first", _ONE_COMPONENT),
}
_ID = {"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}
_VERBS: dict[str, tuple[str, type[Frozen]]] = {
    "weight": ("Give modern another share of a component's reads", bodies.Weight),
    "phase": ("Move a component to another phase", bodies.Phase),
    "rollback": ("Take a component back, for all replicas", bodies.Reason),
    "emergency": ("Send all reads of a component, or of `all`, to one side at once, or end that", bodies.Emergency),
}
_PROBLEM = {
    "type": "object",
    "description": "RFC 9457",
    "required": ["title", "status", "detail"],
    "properties": {
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "problems": {"type": "array", "items": {"type": "string"}},
    },
}
_DONE = {
    "type": "object",
    "required": ["version", "changed", "what", "warnings"],
    "properties": {
        "version": {"type": "integer", "description": "of the rules in force now"},
        "changed": {"type": "boolean"},
        "what": {"type": "array", "items": {"type": "string"}},
        "warnings": {"type": "array", "items": {"type": "string"}},
    },
}
_REFUSALS = {
    "400": "the request makes no sense",
    "401": "no token, or none that is known",
    "403": "the token's role is not enough",
    "404": "no such component",
    "409": "`expect` is not live any more",
    "415": "not application/json",
    "422": "refused as things stand",
    "503": "the store is away; nothing was changed",
}


def openapi_document(build: str) -> dict[str, Any]:
    """Return the document: every page, every verb, every refusal."""
    paths: dict[str, Any] = {f"/api/v1/{name}": {"get": _page(name)} for name in _PAGES}
    paths |= {f"/api/v1/components/{{component}}/{name}": {"post": _verb(name)} for name in _VERBS}
    paths["/api/v1/mismatches/{id}"] = {"get": _mismatch()}
    paths["/api/v1/mismatches/{id}/close"] = {"post": _close()}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Banyan", "version": build, "description": "The operator's listener of one replica."},
        "security": [{"bearer": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
            "schemas": {"done": _DONE, "problem": _PROBLEM}
            | {"close": bodies.Close.model_json_schema()}
            | {name: model.model_json_schema() for name, (_, model) in _VERBS.items()},
        },
    }


def _page(name: str) -> dict[str, Any]:
    text, parameters = _PAGES[name]
    listed = [
        {"name": word, "in": "query", "description": said, "required": required, "schema": schema}
        for word, said, required, schema in parameters
    ]
    answers: dict[str, Any] = {"200": _content(text, "application/json", {}), "401": _refusal(_REFUSALS["401"])}
    return {"operationId": name, "summary": text, "parameters": listed, "responses": answers}


def _verb(name: str) -> dict[str, Any]:
    text = _VERBS[name][0]
    body = _content(text, "application/json", {"$ref": f"#/components/schemas/{name}"})
    done = _content("What became of it", "application/json", {"$ref": "#/components/schemas/done"})
    return {
        "operationId": f"set_{name}",
        "summary": text,
        "parameters": [{"name": "component", "in": "path", "required": True, "schema": {"type": "string"}}],
        "requestBody": {"required": True, "content": body["content"]},
        "responses": {"200": done} | {code: _refusal(text) for code, text in _REFUSALS.items()},
    }


def _mismatch() -> dict[str, Any]:
    text = "One cluster of mismatches with its examples, the newest first"
    answers = {"200": _content(text, "application/json", {}), "401": _refusal(_REFUSALS["401"])}
    answers["404"] = _refusal("no such mismatch")
    return {"operationId": "mismatch", "summary": text, "parameters": [_ID], "responses": answers}


def _close() -> dict[str, Any]:
    body = _content("Why", "application/json", {"$ref": "#/components/schemas/close"})
    refusals = {code: text for code, text in _REFUSALS.items() if code not in ("409", "422")}
    return {
        "operationId": "close_mismatch",
        "summary": "Close a cluster of mismatches until it is seen again",
        "parameters": [_ID],
        "requestBody": {"required": True, "content": body["content"]},
        "responses": {"200": _content("The cluster, and whether it was open", "application/json", {})}
        | {code: _refusal(text) for code, text in (refusals | {"404": "no such mismatch"}).items()},
    }


def _refusal(text: str) -> dict[str, Any]:
    return _content(text, "application/problem+json", {"$ref": "#/components/schemas/problem"})


def _content(text: str, kind: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": text, "content": {kind: {"schema": schema}}}
