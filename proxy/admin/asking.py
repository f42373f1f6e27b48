"""
A request that somebody asks about, for `explain`: read by the same code as one that comes over the wire.

So an answer holds for the real request as well, refusals and method-override fields included. Sends nothing.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import SecretStr

from proxy.core.changes import BadWish
from proxy.core.explain import explain
from proxy.core.headers import loops
from proxy.core.limits import WireLimits
from proxy.core.messages import RequestHead, Saw, values_of
from proxy.core.plan import Situation, Table
from proxy.core.rules import Side
from proxy.settings import Settings
from proxy.wire.heads import Refused, read_request

CLIENT = "127.0.0.1"
FIELD_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110 section 5.1
METHOD = re.compile(r"[A-Z][A-Z-]*")


@dataclass(frozen=True, slots=True)
class Question:
    """A request, and the side that it forces with the right secret."""

    head: RequestHead
    forced: Side | None = None


def asked(method: str, target: str, fields: Iterable[str], client: str, settings: Settings) -> Question:
    """Return the request of a method, a path with its query, and fields such as `x-user-id: 7`; raises BadWish."""
    verb = method.strip().upper()
    if not METHOD.fullmatch(verb):
        raise BadWish(f"should be a method such as GET, is {method!r}")
    if not target.startswith("/") or any(c <= " " or c == "\x7f" for c in target):
        raise BadWish(f"should be a path such as /api/users/42, is {target!r}")
    lines = [f"{name}: {value}" for name, value in map(field, fields)]
    hosts = [] if any(line.lower().startswith("host:") for line in lines) else ["host: banyan"]
    text = "\r\n".join((f"{verb} {target} HTTP/1.1", *hosts, *lines, "", ""))
    try:
        head = read_request(text.encode(), WireLimits())
    except Refused as exc:
        raise BadWish(f"the gateway refuses this request with {exc.status}: {exc}") from None
    if head.saw & Saw.VIA and loops(values_of(head.fields, b"via"), settings.via_name.encode()):
        own = f"its Via has `{settings.via_name}`, which is the name of this gateway"
        raise BadWish(f"the gateway refuses this request with 508: it has passed here before, as {own}")
    head.peer = (client or CLIENT).encode()
    return Question(head, forced_by(head, settings.force_secret))


def field(word: str) -> tuple[str, str]:
    """Return name and value of one header field; raises BadWish."""
    name, colon, value = word.partition(":")
    if not colon or not FIELD_NAME.fullmatch(name.strip()) or any(c in value for c in "\r\n\0"):
        raise BadWish(f"should be a header field such as 'x-user-id: 7', is {word!r}")
    return name.strip(), value.strip()


def forced_by(head: RequestHead, secret: SecretStr | None) -> Side | None:
    """Return the side of `X-Banyan-Force: <side>;<secret>` if the secret is right."""
    side, _, given = head.force.partition(b";")
    known = secret is not None and hmac.compare_digest(given.strip(), secret.get_secret_value().encode())
    word = side.strip().lower().decode("latin-1")
    return Side(word) if known and word in list(Side) else None


def explained(table: Table, situations: Sequence[Situation], question: Question) -> dict[str, Any]:
    """Return the plan's fields and the three steps to it, ready for JSON."""
    return explain(table, question.head, situations, question.forced).document()
