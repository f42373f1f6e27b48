"""
The tables of the modern application: their schema, and how an entity goes into them and comes out again.

Pure: SQL and values. Who runs the SQL is another room.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from proxy.demo.entities import Document, instant, rank

_ENTITY = "id TEXT PRIMARY KEY, rank TEXT NOT NULL UNIQUE, created_ms INTEGER NOT NULL, updated_ms INTEGER NOT NULL"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _owned(key: str, owner: str) -> str:
    return f"{key} TEXT NOT NULL REFERENCES {owner} (id) ON DELETE CASCADE"


SCHEMA = f"""
CREATE TABLE IF NOT EXISTS counters (component TEXT PRIMARY KEY, last INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS users ({_ENTITY}, name TEXT NOT NULL, email TEXT NOT NULL, active INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS roles (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE IF NOT EXISTS user_roles ({_owned("user_id", "users")}, position INTEGER NOT NULL,
    role_id INTEGER NOT NULL REFERENCES roles (id), PRIMARY KEY (user_id, position)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS user_settings ({_owned("user_id", "users")}, key TEXT NOT NULL, value TEXT NOT NULL,
    PRIMARY KEY (user_id, key)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS entries ({_ENTITY}, scope TEXT NOT NULL, description TEXT NOT NULL, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS overrides ({_owned("entry_id", "entries")}, tenant TEXT NOT NULL, value TEXT NOT NULL,
    PRIMARY KEY (entry_id, tenant)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS conversations ({_ENTITY}, title TEXT NOT NULL, status TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS participants ({_owned("conversation_id", "conversations")}, position INTEGER NOT NULL,
    name TEXT NOT NULL, PRIMARY KEY (conversation_id, position)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS messages ({_owned("conversation_id", "conversations")}, position INTEGER NOT NULL,
    author TEXT NOT NULL, text TEXT NOT NULL, at_ms INTEGER NOT NULL, read INTEGER NOT NULL,
    PRIMARY KEY (conversation_id, position)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS events ({_ENTITY}, name TEXT NOT NULL, user TEXT NOT NULL, at_ms INTEGER NOT NULL,
    value REAL NOT NULL);
CREATE TABLE IF NOT EXISTS tags (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE IF NOT EXISTS event_tags ({_owned("event_id", "events")}, position INTEGER NOT NULL,
    tag_id INTEGER NOT NULL REFERENCES tags (id), PRIMARY KEY (event_id, position)) WITHOUT ROWID;
"""

Row = sqlite3.Row
Statement = tuple[str, tuple[Any, ...]]
Children = Mapping[str, Sequence[Row]]  # by the name of the part; what an entity has none of is an empty list


@dataclass(frozen=True, slots=True)
class Part:
    """Rows that belong to an entity: `sql` selects them for owners `IN ({owners})`, owner first, in order."""

    name: str
    sql: str
    in_lists: bool = True


@dataclass(frozen=True, slots=True)
class Table:
    """One component's main table, its parts, and both directions of the mapping."""

    name: str
    columns: str  # beyond those of every entity; `e` is the main table
    matches: str  # whether an entity has the words (?1, folded) in it
    parts: tuple[Part, ...]
    document: Callable[[Row, Children], Document]
    statements: Callable[[Document], Iterator[Statement]]

    def select(self, where: str) -> str:
        """Return the query for main rows, by rank; `where` is SQL over `e`."""
        return (
            f"SELECT e.id, e.created_ms, e.updated_ms, {self.columns} FROM {self.name} e WHERE {where} ORDER BY e.rank"
        )


def milliseconds(text: str) -> int:
    """Return a canonical instant as milliseconds since 1970."""
    return (datetime.fromisoformat(text) - _EPOCH) // timedelta(milliseconds=1)


def instant_of(ms: int) -> str:
    """Return milliseconds since 1970 as a canonical instant."""
    return instant(_EPOCH + timedelta(milliseconds=ms))


def _head(row: Row) -> Document:
    return {
        "id": row["id"],
        "created_at": instant_of(row["created_ms"]),
        "updated_at": instant_of(row["updated_ms"]),
    }


def _upsert(table: str, document: Document, **columns: object) -> Statement:
    values = {
        "id": document["id"],
        "rank": rank(document["id"]),
        "created_ms": milliseconds(document["created_at"]),
        "updated_ms": milliseconds(document["updated_at"]),
        **columns,
    }
    changed = ", ".join(f"{name} = excluded.{name}" for name in values if name != "id")
    places = ", ".join("?" * len(values))
    sql = f"INSERT INTO {table} ({', '.join(values)}) VALUES ({places}) ON CONFLICT (id) DO UPDATE SET {changed}"
    return sql, tuple(values.values())


def _user(row: Row, children: Children) -> Document:
    return {
        **_head(row),
        "name": row["name"],
        "email": row["email"],
        "active": bool(row["active"]),
        "roles": [role["name"] for role in children["roles"]],
        "settings": {setting["key"]: setting["value"] for setting in children["settings"]},
    }


def _user_statements(document: Document) -> Iterator[Statement]:
    key = document["id"]
    yield _upsert("users", document, **{name: document[name] for name in ("name", "email", "active")})
    yield "DELETE FROM user_roles WHERE user_id = ?", (key,)
    yield "DELETE FROM user_settings WHERE user_id = ?", (key,)
    for position, role in enumerate(document["roles"]):
        yield "INSERT INTO roles (name) VALUES (?) ON CONFLICT (name) DO NOTHING", (role,)
        yield "INSERT INTO user_roles SELECT ?, ?, id FROM roles WHERE name = ?", (key, position, role)
    for name, value in document["settings"].items():
        yield "INSERT INTO user_settings VALUES (?, ?, ?)", (key, name, value)


def _entry(row: Row, children: Children) -> Document:
    return {
        **_head(row),
        "scope": row["scope"],
        "description": row["description"],
        "value": orjson.loads(row["value"]),
        "overrides": {override["tenant"]: orjson.loads(override["value"]) for override in children["overrides"]},
    }


def _entry_statements(document: Document) -> Iterator[Statement]:
    key = document["id"]
    fields = {name: document[name] for name in ("scope", "description")}
    yield _upsert("entries", document, **fields, value=_scalar(document["value"]))
    yield "DELETE FROM overrides WHERE entry_id = ?", (key,)
    for tenant, value in document["overrides"].items():
        yield "INSERT INTO overrides VALUES (?, ?, ?)", (key, tenant, _scalar(value))


def _scalar(value: object) -> str:
    return orjson.dumps(value).decode()


def _conversation(row: Row, children: Children) -> Document:
    document = {
        **_head(row),
        "title": row["title"],
        "status": row["status"],
        "participants": [person["name"] for person in children["participants"]],
    }
    if "messages" in children:
        document["messages"] = [
            {
                "author": message["author"],
                "text": message["text"],
                "at": instant_of(message["at_ms"]),
                "read": bool(message["read"]),
            }
            for message in children["messages"]
        ]
    last = row["last_ms"]
    derived = {"message_count": row["message_count"], "unread": row["unread"]}
    return {**document, **derived, "last_message_at": None if last is None else instant_of(last)}


def _conversation_statements(document: Document) -> Iterator[Statement]:
    key = document["id"]
    yield _upsert("conversations", document, title=document["title"], status=document["status"])
    yield "DELETE FROM participants WHERE conversation_id = ?", (key,)
    yield "DELETE FROM messages WHERE conversation_id = ?", (key,)
    for position, name in enumerate(document["participants"]):
        yield "INSERT INTO participants VALUES (?, ?, ?)", (key, position, name)
    for position, message in enumerate(document["messages"]):
        values = (message["author"], message["text"], milliseconds(message["at"]), message["read"])
        yield "INSERT INTO messages VALUES (?, ?, ?, ?, ?, ?)", (key, position, *values)


def _event(row: Row, children: Children) -> Document:
    return {
        **_head(row),
        "name": row["name"],
        "user": row["user"],
        "at": instant_of(row["at_ms"]),
        "value": row["value"],
        "tags": [tag["name"] for tag in children["tags"]],
    }


def _event_statements(document: Document) -> Iterator[Statement]:
    key = document["id"]
    fields = {name: document[name] for name in ("name", "user", "value")}
    yield _upsert("events", document, **fields, at_ms=milliseconds(document["at"]))
    yield "DELETE FROM event_tags WHERE event_id = ?", (key,)
    for position, tag in enumerate(document["tags"]):
        yield "INSERT INTO tags (name) VALUES (?) ON CONFLICT (name) DO NOTHING", (tag,)
        yield "INSERT INTO event_tags SELECT ?, ?, id FROM tags WHERE name = ?", (key, position, tag)


_USER_ROLES = "FROM user_roles p JOIN roles r ON r.id = p.role_id WHERE p.user_id"
_EVENT_TAGS = "FROM event_tags p JOIN tags t ON t.id = p.tag_id WHERE p.event_id"
_MESSAGES = "FROM messages m WHERE m.conversation_id = e.id"

TABLES: dict[str, Table] = {
    "users": Table(
        "users",
        "e.name, e.email, e.active",
        "instr(fold(e.name), ?1) OR instr(fold(e.email), ?1)"
        f" OR EXISTS (SELECT 1 {_USER_ROLES} = e.id AND instr(fold(r.name), ?1))",
        (
            Part("roles", f"SELECT p.user_id AS owner, r.name {_USER_ROLES} IN ({{owners}}) ORDER BY 1, p.position"),
            Part(
                "settings", "SELECT user_id AS owner, * FROM user_settings WHERE user_id IN ({owners}) ORDER BY 1, key"
            ),
        ),
        _user,
        _user_statements,
    ),
    "configuration": Table(
        "entries",
        "e.scope, e.description, e.value",
        "instr(fold(e.id), ?1) OR instr(fold(e.description), ?1)",
        (
            Part(
                "overrides",
                "SELECT entry_id AS owner, * FROM overrides WHERE entry_id IN ({owners}) ORDER BY 1, tenant",
            ),
        ),
        _entry,
        _entry_statements,
    ),
    "conversations": Table(
        "conversations",
        f"e.title, e.status, (SELECT COUNT(*) {_MESSAGES}) AS message_count,"
        f" (SELECT COUNT(*) {_MESSAGES} AND NOT m.read) AS unread, (SELECT MAX(m.at_ms) {_MESSAGES}) AS last_ms",
        f"instr(fold(e.title), ?1) OR EXISTS (SELECT 1 {_MESSAGES} AND instr(fold(m.text), ?1))",
        (
            Part(
                "participants",
                "SELECT conversation_id AS owner, * FROM participants WHERE owner IN ({owners}) ORDER BY 1, position",
            ),
            Part(
                "messages",
                "SELECT conversation_id AS owner, * FROM messages WHERE owner IN ({owners}) ORDER BY 1, position",
                in_lists=False,
            ),
        ),
        _conversation,
        _conversation_statements,
    ),
    "analytics": Table(
        "events",
        "e.name, e.user, e.at_ms, e.value",
        "instr(fold(e.name), ?1) OR instr(fold(e.user), ?1)"
        f" OR EXISTS (SELECT 1 {_EVENT_TAGS} = e.id AND instr(fold(t.name), ?1))",
        (Part("tags", f"SELECT p.event_id AS owner, t.name {_EVENT_TAGS} IN ({{owners}}) ORDER BY 1, p.position"),),
        _event,
        _event_statements,
    ),
}
