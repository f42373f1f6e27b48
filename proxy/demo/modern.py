"""
The modern application of the demo: the same entities in SQLite, in normalised tables.

Write-ahead log, one connection that writes and one that reads; each answer is read in one transaction,
so it never shows half of a change.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from itertools import groupby
from pathlib import Path
from typing import Any

import aiosqlite
from aiohttp import web

from proxy.demo import process
from proxy.demo.api import Clock, build_application
from proxy.demo.defects import Defect, Defects
from proxy.demo.entities import COMPONENTS, Document, number_of, rank
from proxy.demo.manner import Manner
from proxy.demo.seed import Seed, everything
from proxy.demo.tables import SCHEMA, TABLES, Children, Part, Row, Statement, Table

PORT = 9002
_FILE = "modern.sqlite3"
_COUNT_ON = "INSERT INTO counters VALUES (?, ?) ON CONFLICT (component) DO UPDATE SET last = max(last, excluded.last)"


async def build(data: Path, clock: Clock, seed: Seed | None = None, manner: Manner | None = None) -> web.Application:
    """Return the application over the database in the folder `data`, which is seeded when it is new."""
    records = await SqliteTables.open(data, seed or everything())
    manner = manner or Manner()
    return build_application("modern", records, clock, manner, Defects(manner.defects))


class SqliteTables:
    """Keeps entities in one SQLite database; owns both connections until `close`."""

    def __init__(self, writing: aiosqlite.Connection, reading: aiosqlite.Connection) -> None:
        self._writing, self._reading = writing, reading
        self._one_writes, self._one_reads = asyncio.Lock(), asyncio.Lock()

    @classmethod
    async def open(cls, data: Path, seed: Seed) -> SqliteTables:
        await asyncio.to_thread(data.mkdir, parents=True, exist_ok=True)
        writing = await _connect(data / _FILE)
        await writing.executescript(SCHEMA)
        tables = cls(writing, await _connect(data / _FILE))
        if not await _rows(writing, "SELECT 1 FROM counters", ()):
            await tables._sow(seed)
        return tables

    async def _sow(self, seed: Seed) -> None:
        async with self._change() as connection:
            for component in COMPONENTS:
                documents = seed[component]
                last = max((number_of(document["id"]) for document in documents), default=0)
                await _run(
                    connection, (row for document in documents for row in TABLES[component].statements(document))
                )
                await connection.execute(_COUNT_ON, (component, last))

    async def get(self, component: str, entity_id: str) -> Document | None:
        table = TABLES[component]
        found = await self._documents(table, table.select("e.id = ?"), (entity_id,), table.parts)
        return found[0] if found else None

    async def page(self, component: str, after: str, limit: int, words: str = "") -> list[Document]:
        table = TABLES[component]
        where = f"e.rank > ?2 AND ({table.matches})" if words else "?1 = '' AND e.rank > ?2"
        parts = [part for part in table.parts if part.in_lists]
        values = (words.casefold(), rank(after) if after else "", limit)
        return await self._documents(table, f"{table.select(where)} LIMIT ?3", values, parts)

    async def _documents(self, table: Table, sql: str, values: Sequence[Any], parts: Iterable[Part]) -> list[Document]:
        async with self._one_reads, _transaction(self._reading, "BEGIN"):
            rows = await _rows(self._reading, sql, values)
            owners = [row["id"] for row in rows]
            owned = {part.name: await _owned(self._reading, part, owners) for part in parts}
        return [table.document(row, _of(owned, row["id"])) for row in rows]

    async def save(self, component: str, document: Document) -> None:
        async with self._change() as connection:
            for sql, values in TABLES[component].statements(document):
                await connection.execute(sql, values)
            await connection.execute(_COUNT_ON, (component, number_of(document["id"])))

    async def remove(self, component: str, entity_id: str) -> bool:
        async with self._change() as connection:
            cursor = await connection.execute(f"DELETE FROM {TABLES[component].name} WHERE id = ?", (entity_id,))
            return cursor.rowcount > 0

    async def last_number(self, component: str) -> int:
        async with self._one_reads:
            found = await _rows(self._reading, "SELECT last FROM counters WHERE component = ?", (component,))
        return int(found[0]["last"])

    async def close(self) -> None:
        await self._reading.close()
        await self._writing.close()

    @asynccontextmanager
    async def _change(self) -> AsyncIterator[aiosqlite.Connection]:
        async with self._one_writes, _transaction(self._writing, "BEGIN IMMEDIATE"):
            yield self._writing


async def _connect(path: Path) -> aiosqlite.Connection:
    connection = await aiosqlite.connect(path, isolation_level=None)
    connection.row_factory = sqlite3.Row
    await connection.create_function("fold", 1, str.casefold, deterministic=True)
    for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON", "busy_timeout = 5000"):
        await connection.execute(f"PRAGMA {pragma}")
    return connection


@asynccontextmanager
async def _transaction(connection: aiosqlite.Connection, begin: str) -> AsyncIterator[None]:
    await connection.execute(begin)
    try:
        yield
    except BaseException:
        await connection.rollback()
        raise
    await connection.commit()


async def _rows(connection: aiosqlite.Connection, sql: str, values: Sequence[Any]) -> list[Row]:
    return list(await connection.execute_fetchall(sql, values))


async def _owned(connection: aiosqlite.Connection, part: Part, owners: list[str]) -> dict[str, list[Row]]:
    rows = await _rows(connection, part.sql.format(owners=", ".join("?" * len(owners))), owners)
    return {owner: list(group) for owner, group in groupby(rows, key=lambda row: str(row["owner"]))}


def _of(owned: dict[str, dict[str, list[Row]]], owner: str) -> Children:
    return {name: groups.get(owner, []) for name, groups in owned.items()}


async def _run(connection: aiosqlite.Connection, statements: Iterable[Statement]) -> None:
    """Run many statements with one call per kind of statement, kinds in the order in which they first come."""
    by_kind: dict[str, list[tuple[Any, ...]]] = {}
    for sql, values in statements:
        by_kind.setdefault(sql, []).append(values)
    for sql, rows in by_kind.items():
        await connection.executemany(sql, rows)


def main() -> int:
    return process.run("modern", PORT, build, may_have=tuple(Defect))


if __name__ == "__main__":
    raise SystemExit(main())
