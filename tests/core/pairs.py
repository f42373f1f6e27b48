"""Confirmed mismatches as the workers hand them on, for tests."""

from __future__ import annotations

import json
from typing import Any

from proxy.core.clusters import Pair
from proxy.core.compare import Answer, compare
from proxy.core.comparerules import CompareRules
from proxy.core.messages import field
from proxy.core.model import Compare
from proxy.core.rules import Side

AT_S = 1_767_261_600.0  # 2026-01-01T10:00:00Z
JSON = field(b"content-type", b"application/json")


def answer(document: Any = None, status: int = 200, fields: bytes = JSON) -> Answer:
    """Return an answer with a document as its body; bytes go as they are."""
    if not isinstance(document, bytes):
        document = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
    return Answer(status, fields, document)


def pair(first: Any, second: Any, **values: Any) -> Pair:
    """Return the pair of two documents or answers, compared by `rules` (`compare` of a rule file)."""
    one, other = (each if isinstance(each, Answer) else answer(each) for each in (first, second))
    rules = CompareRules(Compare.model_validate(values.pop("rules", {})))
    known: dict[str, Any] = {
        "component": "users",
        "route": "GET /api/users/{id}",
        "method": b"GET",
        "target": b"/api/users/42?page=2",
        "request_fields": field(b"accept", b"application/json"),
        "entity": b"42",
        "primary": Side.LEGACY,
        "version": 7,
        "at_s": AT_S,
    }
    return Pair(first=one, second=other, comparison=compare(one, other, rules), **known | values)
