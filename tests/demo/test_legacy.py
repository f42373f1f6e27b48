from __future__ import annotations

import orjson

from proxy.demo.legacy import JsonFiles
from tests.demo.twins import few


async def test_an_entity_is_a_readable_file_of_its_own(tmp_path):
    files = JsonFiles(tmp_path, few())
    user = await files.get("users", "2")

    assert (tmp_path / "users" / "2.json").read_bytes() == orjson.dumps(user, option=orjson.OPT_INDENT_2)


async def test_what_a_crash_left_half_written_is_not_read(tmp_path):
    files = JsonFiles(tmp_path, few())
    before = await files.get("users", "2")
    (tmp_path / "users" / ".2.json.fresh").write_bytes(b'{"id": "2", "na')
    (tmp_path / ".analytics.growing").mkdir()

    again = JsonFiles(tmp_path, few())

    assert await again.get("users", "2") == before
    assert len(await again.page("users", "", 10)) == 3


async def test_a_change_leaves_no_temporary_file(tmp_path):
    files = JsonFiles(tmp_path, few())
    user = await files.get("users", "2")
    await files.save("users", {**user, "id": "12"})
    await files.remove("users", "1")

    assert sorted(path.name for path in (tmp_path / "users").iterdir()) == [
        "12.json",
        "2.json",
        "3.json",
        "last.number",
    ]
