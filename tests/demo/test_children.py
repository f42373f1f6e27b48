from __future__ import annotations

import asyncio
import os
import signal
import sys

from proxy.demo.children import Child, clean_environment
from tests.waiting import until

STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"
PARENT = """
import asyncio, sys, time
from pathlib import Path
from proxy.demo.children import Child
async def main():
    child = await Child.start("orphan", ["-c", "import time; time.sleep(60)"], Path(sys.argv[1]))
    print(child.pid, flush=True)
    await asyncio.sleep(60)
asyncio.run(main())
"""


def is_running(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def test_a_child_ends_when_told_and_its_last_words_are_kept(tmp_path):
    child = await Child.start("speaker", ["-c", "print('hello', flush=True); import time; time.sleep(60)"], tmp_path)
    await until(lambda: child.last_words() == "hello")

    assert not child.ended
    assert await child.stop() == -signal.SIGTERM
    assert child.ended


async def test_a_child_that_does_not_listen_is_killed(tmp_path, monkeypatch):
    monkeypatch.setattr("proxy.demo.children.STOP_S", 0.2)
    child = await Child.start("stubborn", ["-c", STUBBORN], tmp_path)
    await until(lambda: child.last_words() == "up")

    assert await child.stop() == -signal.SIGKILL


async def test_a_child_does_not_outlive_a_parent_that_was_killed(tmp_path):
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PARENT, str(tmp_path), stdout=asyncio.subprocess.PIPE
    )
    pid = int(await asyncio.wait_for(parent.stdout.readline(), 20))
    await until(lambda: b"-I" not in arguments_of(pid))  # the launcher has become the child

    os.kill(parent.pid, signal.SIGKILL)
    await parent.wait()

    await until(lambda: not is_running(pid))


def arguments_of(pid: int) -> list[bytes]:
    with open(f"/proc/{pid}/cmdline", "rb") as file:
        return file.read().split(b"\0")


def test_no_variable_of_the_caller_reaches_the_gateway_of_the_demo():
    assert clean_environment({"BANYAN_LISTEN": "0.0.0.0:80", "PATH": "/bin"}) == {"PATH": "/bin"}
