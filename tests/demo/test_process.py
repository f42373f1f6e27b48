from __future__ import annotations

import asyncio
import re
import signal
import socket
import sys

import pytest

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


async def test_a_taken_port_is_one_clear_line(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        process = await start("proxy.demo.legacy", "--port", str(port), "--data", str(tmp_path))
        said, _ = await asyncio.wait_for(process.communicate(), 20)

    assert process.returncode == 1
    assert said.decode().splitlines() == [f"legacy cannot listen on 127.0.0.1:{port}: Address already in use"] or (
        len(said.splitlines()) == 1 and str(port) in said.decode()
    )
