from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys

import pytest

from tests.peers import asked
from tests.replicas import fetch
from tests.waiting import until

CODE = """\
import os, sys
from proxy.cli.streams import open_closed_streams
open_closed_streams()
told = [os.readlink(f"/proc/self/fd/{number}") == os.devnull for number in range(3)]
print("out"), print("err", file=sys.stderr), sys.stdin.read()
with open(sys.argv[1], "w") as report:
    report.write(repr((told, [os.get_inheritable(number) for number in range(3)])))
"""


@pytest.mark.parametrize("closed", [(), (0,), (1,), (2,), (0, 2), (0, 1, 2)])
def test_what_is_closed_is_opened_on_nothing_and_the_rest_stays(tmp_path, closed):
    redirects = " ".join(f"{number}>&-" for number in closed)
    script, report = tmp_path / "script.py", tmp_path / "report"
    script.write_text(CODE)

    said = subprocess.run(
        ["sh", "-c", f'exec "$0" "$1" "$2" {redirects}', sys.executable, str(script), str(report)],
        input=b"", capture_output=True, env={**os.environ, "PYTHONPATH": os.getcwd()},
    )  # fmt: skip

    assert said.returncode == 0
    assert report.read_text() == repr(([number in closed for number in range(3)], [True] * 3))
    assert (said.stdout, said.stderr) == (b"" if 1 in closed else b"out\n", b"" if 2 in closed else b"err\n")


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@pytest.mark.parametrize("closed", [0, 1, 2])
async def test_a_gateway_runs_with_a_closed_stream(tmp_path, closed):
    data, probes = free_port(), free_port()
    env = os.environ | {
        "BANYAN_LISTEN": f"127.0.0.1:{data}",
        "BANYAN_PROBES__LISTEN": f"127.0.0.1:{probes}",
        "BANYAN_ADMIN__LISTEN": "127.0.0.1:0",
        "BANYAN_STORE": "redis://127.0.0.1:1/0",
        "BANYAN_SIDES__LEGACY__URL": "http://127.0.0.1:1",
        "PYTHONPATH": os.getcwd(),
    }
    run = "from proxy.cli import main; raise SystemExit(main())"
    with (tmp_path / "out").open("wb") as out, (tmp_path / "err").open("wb") as err:
        process = await asyncio.create_subprocess_exec(
            "sh", "-c", f'exec "$0" -c "$1" run {closed}>&-', sys.executable, run,
            cwd=tmp_path, env=env, stdin=subprocess.DEVNULL, stdout=out, stderr=err,
        )  # fmt: skip

    async def lives() -> bool:
        assert process.returncode is None, (tmp_path / "err").read_text()
        try:
            answer = await asked(data, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            return answer.status == 502 and (await fetch(probes, "/livez"))[0] == 200
        except OSError:
            return False

    try:
        await until(lives, 30)
        process.terminate()
        async with asyncio.timeout(30):
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    out_text, err_text = (tmp_path / "out").read_text(), (tmp_path / "err").read_text()
    assert "Traceback" not in err_text and "AttributeError" not in err_text
    assert ("stopped" in err_text) is (closed != 2)
    assert "stopped" not in out_text
    assert ("502" in out_text) is (closed != 1)
