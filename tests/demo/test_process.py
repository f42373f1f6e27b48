from __future__ import annotations

import asyncio
import re
import signal
import socket
import sys

import orjson
import pytest

from proxy.demo.seed import everything
from proxy.demo.web import NoAnswer, Web


async def start(module, *options):
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", module, *options, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )


@pytest.mark.parametrize("name", ["legacy", "modern"])
async def test_an_application_runs_by_itself_and_ends_when_told(name, tmp_path):
    process = await start(f"proxy.demo.{name}", "--port", "0", "--data", str(tmp_path / "data"))
    try:
        line = (await asyncio.wait_for(process.stdout.readline(), 20)).decode()
        url = re.search(r"http://127\.0\.0\.1:\d+", line)[0]

        async with Web() as web:
            assert (await web.ask("GET", f"{url}/api/users/42")).status == 200
            process.send_signal(signal.SIGTERM)
            assert await asyncio.wait_for(process.wait(), 10) == 0
            with pytest.raises(NoAnswer):
                await web.ask("GET", f"{url}/healthz")
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_version_noise_and_defects_are_options(tmp_path):
    options = ("--app-version", "2.7", "--noise", "--defect", "unread", "--defect", "order")
    process = await start("proxy.demo.modern", "--port", "0", "--data", str(tmp_path / "data"), *options)
    try:
        line = (await asyncio.wait_for(process.stdout.readline(), 20)).decode()
        url = re.search(r"http://127\.0\.0\.1:\d+", line)[0]
        async with Web() as web:
            found = await web.ask("GET", f"{url}/api/conversations/search?q=invoice&limit=1")
            user = orjson.loads((await web.ask("GET", f"{url}/api/users/1")).body)
    finally:
        process.kill()
        await process.wait()

    document = orjson.loads(found.body)
    assert found.headers["x-app-version"] == "2.7"
    assert {"generated_at", "request_id"} < set(document)
    assert document["data"][0]["unread"] == document["data"][0]["message_count"]
    seeded = next(each for each in everything()["conversations"] if each["id"] == document["data"][0]["id"])
    assert any(message["read"] for message in seeded["messages"]), "so that it is wrong"
    assert user["roles"] == list(reversed(everything()["users"][0]["roles"]))


@pytest.mark.parametrize(
    ("name", "options"),
    [("modern", ("--defect", "bad_luck")), ("legacy", ("--defect", "unread"))],
    ids=["unknown", "legacy has none"],
)
async def test_a_defect_that_cannot_be_had_is_refused(name, options, tmp_path):
    process = await start(f"proxy.demo.{name}", "--port", "0", "--data", str(tmp_path / "data"), *options)
    said, _ = await asyncio.wait_for(process.communicate(), 20)

    assert process.returncode == 2
    assert options[-1] in said.decode()


async def test_a_taken_port_is_one_clear_line(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        process = await start("proxy.demo.legacy", "--port", str(port), "--data", str(tmp_path))
        said, _ = await asyncio.wait_for(process.communicate(), 20)

    assert process.returncode == 1
    assert said.decode().splitlines() == [f"legacy cannot listen on 127.0.0.1:{port}: Address already in use"] or (
        len(said.splitlines()) == 1 and str(port) in said.decode()
    )
