from __future__ import annotations

import asyncio
import sqlite3

import pytest

from proxy.demo.modern import SqliteTables
from tests.demo.twins import few


@pytest.fixture
async def tables(tmp_path):
    records = await SqliteTables.open(tmp_path, few())
    yield records
    await records.close()


async def test_data_is_kept_in_rows_that_belong_together(tables, tmp_path):
    with sqlite3.connect(tmp_path / "modern.sqlite3") as database:
        joined = database.execute(
            "SELECT u.id, r.name FROM users u JOIN user_roles p ON p.user_id = u.id JOIN roles r ON r.id = p.role_id"
            " ORDER BY u.rank, p.position"
        ).fetchall()
        assert database.execute("PRAGMA journal_mode").fetchone() == ("wal",)

    assert joined == [(user["id"], role) for user in few()["users"] for role in user["roles"]]


async def test_parts_go_with_their_entity(tables, tmp_path):
    for number in ("1", "2", "3"):
        await tables.remove("conversations", number)

    with sqlite3.connect(tmp_path / "modern.sqlite3") as database:
        counts = [
            database.execute(f"SELECT COUNT(*) FROM {name}").fetchone()[0] for name in ("messages", "participants")
        ]
    assert counts == [0, 0]


async def test_a_change_that_fails_leaves_nothing(tables):
    user = await tables.get("users", "1")
    broken = {**user, "name": "Changed", "settings": {"theme": object()}}

    with pytest.raises(sqlite3.Error):
        await tables.save("users", broken)

    assert await tables.get("users", "1") == user


async def test_readers_never_see_half_of_a_change(tables):
    user = await tables.get("users", "1")
    versions = [{**user, "name": f"N{n}", "roles": [f"r{n}"], "settings": {"n": f"{n}"}} for n in range(30)]

    async def change():
        for version in versions:
            await tables.save("users", version)

    changing = asyncio.create_task(change())
    while not changing.done():
        assert await tables.get("users", "1") in [user, *versions]
    await changing
    assert await tables.get("users", "1") == versions[-1]
