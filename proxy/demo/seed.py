"""
The data that both applications start from: the same to the last byte, on every machine and in every run.

Pure. Chosen by hash rather than by a random generator, whose sequence may change with the Python release.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from xxhash import xxh3_64_intdigest

from proxy.demo.entities import COMPONENTS, Document, checked, instant
from proxy.demo.names import FAMILIES, READERS

USERS, ENTRIES, CONVERSATIONS, EVENTS = 200, 60, 120, 300
Seed = Mapping[str, Sequence[Document]]

_START = datetime(2024, 3, 1, 9, 30, tzinfo=UTC)
_ROLES = ("reader", "editor", "admin", "billing", "auditor", "support")
_AREAS = ("mail", "search", "export", "login", "billing", "theme", "quota", "audit", "chat", "sync")
_KEYS = ("enabled", "limit", "sender", "timeout", "ratio", "region")
_TOPICS = ("Invoice", "Password", "Import", "Holiday plan", "Printer", "Contract", "Release", "Übergabe", "Café menu")
_TEXT = "please see the new draft it works thanks again tomorrow maybe ask anna later fine großartig déjà done"
_WORDS = _TEXT.split()
_ACTIONS = ("page_view", "sign_in", "search", "export", "purchase", "share")
_TAGS = ("web", "mobile", "beta", "internal", "campaign", "returning")


def everything() -> Seed:
    """Return all seeded entities by component, each list in the order of its ids."""
    made = {"users": _users, "configuration": _entries, "conversations": _conversations, "analytics": _events}
    return {name: tuple(checked(name, document) for document in made[name]()) for name in COMPONENTS}


def _pick(below: int, *salt: object) -> int:
    return xxh3_64_intdigest("\0".join(map(str, salt)).encode()) % below


def _some(words: Sequence[str], most: int, *salt: object) -> list[str]:
    count, first = _pick(most + 1, *salt, "count"), _pick(len(words), *salt, "first")
    return [words[(first + step * 5) % len(words)] for step in range(min(count, len(words)))]


def _times(*salt: object) -> dict[str, object]:
    created = _START + timedelta(milliseconds=_pick(300 * 86_400_000, *salt, "created"))
    updated = created + timedelta(milliseconds=_pick(60 * 86_400_000, *salt, "updated"))
    return {"created_at": instant(created), "updated_at": instant(updated)}


def _users() -> Iterator[Document]:
    for number in range(1, USERS + 1):
        reader = READERS[(number - 1) % len(READERS)]
        family = FAMILIES[_pick(len(FAMILIES), "users", number)]
        theme = ("light", "dark")[_pick(2, "theme", number)]
        yield {
            "id": str(number),
            "name": f"{reader.title()} {family}",
            "email": f"{reader}.{family.lower()}.{number}@example.org",
            "active": _pick(10, "active", number) > 0,
            "roles": _some(_ROLES, 3, "roles", number),
            "settings": {"theme": theme, "locale": ("en", "de", "fr")[_pick(3, "locale", number)]},
            **_times("users", number),
        }


def _entries() -> Iterator[Document]:
    for area in sorted(_AREAS):
        for key in sorted(_KEYS):
            values = (True, 250, "desk@example.org", 12.5, 0.75, None)
            yield {
                "id": f"{area}.{key}",
                "scope": ("system", "tenant", "user")[_pick(3, "scope", area, key)],
                "description": f"The {key} of {area}",
                "value": values[_KEYS.index(key)],
                "overrides": {
                    tenant: _pick(100, area, key, tenant) for tenant in _some(("acme", "globex"), 2, area, key)
                },
                **_times("configuration", area, key),
            }


def _conversations() -> Iterator[Document]:
    for number in range(1, CONVERSATIONS + 1):
        people = [READERS[_pick(len(READERS), number)], READERS[(_pick(len(READERS), number) + 1) % len(READERS)]]
        times = _times("conversations", number)
        yield {
            "id": str(number),
            "title": f"{_TOPICS[_pick(len(_TOPICS), 'topic', number)]} {number}",
            "status": ("open", "closed")[_pick(2, "status", number)],
            "participants": people,
            "messages": list(_messages(number, people, str(times["created_at"]))),
            **times,
        }


def _messages(number: int, people: Sequence[str], since: str) -> Iterator[Document]:
    first = datetime.fromisoformat(since)
    for place in range(_pick(7, "messages", number)):
        start = _pick(len(_WORDS), "text", number, place)
        yield {
            "author": people[place % len(people)],
            "text": " ".join((_WORDS[start:] + _WORDS)[: 3 + place]),
            "at": instant(first + timedelta(minutes=7 * place + 1)),
            "read": _pick(3, "read", number, place) > 0,
        }


def _events() -> Iterator[Document]:
    for number in range(1, EVENTS + 1):
        times = _times("analytics", number)
        yield {
            "id": str(number),
            "name": _ACTIONS[_pick(len(_ACTIONS), "action", number)],
            "user": READERS[_pick(len(READERS), "who", number)],
            "at": times["created_at"],
            "value": _pick(10_000, "value", number) / 8,
            "tags": _some(_TAGS, 4, "tags", number),
            **times,
        }
