"""The demo itself, for real: applications, store, gateway and traffic. The whole story is `banyan demo --exit`."""

from __future__ import annotations

import asyncio
import io
import signal
import sys
from pathlib import Path

import pytest
from rich.console import Console

from proxy.demo.asks import Ask
from proxy.demo.moving import roll_back
from proxy.demo.play import Play
from proxy.demo.stage import Ports, StageError, free_ports
from proxy.demo.story import FAILED, INTERRUPTED, OK, exit_code, run_demo
from proxy.demo.tally import Answer, Tally
from proxy.demo.telling import Teller
from tests.waiting import until

DEMO = """
import sys
from rich.console import Console
from proxy.demo.stage import Ports, StageError, free_ports
from proxy.demo.stage import Ports, free_ports
from proxy.demo.story import SCENES, run_demo
sys.exit(run_demo(True, Console(), SCENES, free_ports(Ports(0, 0, 0, 0, 0))))
"""


async def half_way(play: Play) -> None:
    play.teller.scene("Half way", "A step without its claims.")
    await play.stage.banyan("weight", "users", "50", "--why", "a test")
    await play.weight_in_force("users", 50)


async def broken(play: Play) -> None:
    raise StageError("the ladder broke")


def tell(*scenes):
    said = io.StringIO()
    code = run_demo(True, Console(file=said, width=200), scenes, free_ports(Ports(0, 0, 0, 0, 0)))
    return code, said.getvalue()


def test_a_story_that_is_true_ends_with_0_and_a_table():
    code, said = tell(half_way, roll_back)

    assert code == OK, said
    assert "What was claimed, and what was measured" in said
    assert said.count("no reader saw an error") == 2


@pytest.mark.parametrize(("held", "status", "code"), [(True, 200, OK), (False, 200, FAILED), (True, 502, FAILED)])
def test_neither_an_untrue_claim_nor_an_error_of_a_reader_is_forgiven(held, status, code):
    teller, tally = Teller(Console(file=io.StringIO())), Tally()
    teller.claim("the moon", "is made of cheese", True)
    teller.claim("the earth", "is flat", held)
    tally.add(Answer(Ask("ana", "GET", "/api/users/1", "users"), 0.0, 0.1, status, "modern", "users"))

    assert exit_code(teller, tally) == code


def test_a_step_that_fails_ends_the_demo_with_its_reason():
    code, said = tell(broken)

    assert code == FAILED
    assert "The demo cannot go on: the ladder broke" in said


async def test_an_interrupted_demo_leaves_neither_processes_nor_folders(tmp_path):
    demo = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        DEMO,
        stdout=asyncio.subprocess.PIPE,
        env={"TMPDIR": str(tmp_path), "PATH": "/usr/bin:/bin"},
    )
    seen = b""
    while b"Everything runs" not in seen:
        line = await asyncio.wait_for(demo.stdout.readline(), 40)
        assert line, seen.decode()
        seen += line
    started = with_folder(tmp_path)
    assert len(started) >= 4

    demo.send_signal(signal.SIGINT)
    rest, _ = await asyncio.wait_for(demo.communicate(), 30)

    assert demo.returncode == INTERRUPTED, rest.decode()
    assert b"Traceback" not in rest
    await until(lambda: not with_folder(tmp_path))
    assert list(tmp_path.iterdir()) == []


def with_folder(folder: Path) -> list[int]:
    """Return the processes that run in a folder or name it."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            named = str(folder).encode() in (process / "cmdline").read_bytes()
            if named or str(folder) in str((process / "cwd").readlink()):
                found.append(int(process.name))
        except OSError:
            continue
    return found
