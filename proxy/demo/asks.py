"""
What the traffic of the demo asks: an endless, fixed sequence of reads and one of writes.

Pure. No dice: each component's readers come round in turn, so that a share of the reads is a share of the readers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count, cycle
from typing import Any

from proxy.demo.names import READERS
from proxy.demo.seed import CONVERSATIONS, EVENTS, USERS

# Two of three reads are of users, because that is the component whose share is measured most.
_ROUND = ("users", "users", "configuration", "users", "users", "conversations", "users", "users", "analytics")
WRITES_OF_ONE = 4  # POST, PATCH, PUT, DELETE
_ENTITIES = {"users": USERS, "conversations": CONVERSATIONS, "analytics": EVENTS}
_WORDS = {"users": "berg", "configuration": "limit", "conversations": "invoice", "analytics": "mobile"}
_NEW: Mapping[str, Mapping[str, Any]] = {
    "conversations": {"title": "Written by the demo", "participants": ["ana", "ben"]},
    "analytics": {"name": "demo", "user": "ana", "at": "2025-01-01T12:00:00Z", "value": 1.5, "tags": ["web"]},
}
_CHANGE: Mapping[str, Mapping[str, Any]] = {"conversations": {"status": "closed"}, "analytics": {"value": 2.5}}


@dataclass(frozen=True, slots=True)
class Ask:
    """One request: by whom, for what, and the status that the application owes."""

    user: str
    method: str
    path: str
    component: str
    owed: int = 200
    body: Mapping[str, Any] | None = None

    @property
    def is_read(self) -> bool:
        return self.method == "GET"


def reads() -> Iterator[Ask]:
    """Yield reads over all components: mostly single entities, some lists, some searches; all of what is there."""
    turns = {component: count() for component in _ROUND}
    for component in cycle(_ROUND):
        turn = next(turns[component])
        yield Ask(READERS[turn % len(READERS)], "GET", _path(component, turn), component)


def reads_of(component: str, users: Sequence[str]) -> Iterator[Ask]:
    """Yield reads of one component by some readers in turn."""
    for turn, user in enumerate(cycle(users)):
        yield Ask(user, "GET", _path(component, turn), component)


def writes(components: Sequence[str]) -> Iterator[Ask]:
    """Yield writes that leave nothing behind: an entity of its own is made, changed, replaced and removed, in order."""
    for number, component in zip(count(1), cycle(components)):
        user, path, new = READERS[number % len(READERS)], f"/api/{component}", _NEW[component]
        key = f"demo-{number}"
        yield Ask(user, "POST", path, component, 201, {**new, "id": key})
        yield Ask(user, "PATCH", f"{path}/{key}", component, 200, _CHANGE[component])
        yield Ask(user, "PUT", f"{path}/{key}", component, 200, new)
        yield Ask(user, "DELETE", f"{path}/{key}", component, 204)


def _path(component: str, turn: int) -> str:
    match turn % 10:
        case 3:
            return f"/api/{component}?limit=5"
        case 7:
            return f"/api/{component}/search?q={_WORDS[component]}&limit=5"
        case _ if component == "configuration":
            return f"/api/{component}/mail.{('enabled', 'limit', 'sender')[turn % 3]}"
        case _:
            return f"/api/{component}/{turn % _ENTITIES[component] + 1}"
