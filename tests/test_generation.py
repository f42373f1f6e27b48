"""Processes as their parent sees them: real children, which do what a script says."""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable

import pytest
import structlog
from structlog.testing import capture_logs

from proxy.config import Config
from proxy.core.gathering import Family
from proxy.generation import Estate, Generation
from proxy.ledger import ENDED, Ledger
from proxy.settings import Settings
from tests.parents import is_alive
from tests.waiting import until

PROCESS = """
import asyncio, os, sys
from proxy.core.gathering import Family
from proxy.process import Handover, Process
handover = Handover.taken(os.environ)
process = Process(handover)
async def main():
    await process.until_told()
    return 7 if process.is_orphan else 0
"""
SERVES = PROCESS + "process.say_ready(); sys.exit(asyncio.run(main()))"
NEVER_READY = PROCESS + "sys.exit(asyncio.run(main()))"
COUNTS = (
    PROCESS
    + """
process.ledger.enter(process.name, [Family("n", "counter", "", (("n_total", {}, 1.0),))])
process.say_ready()
sys.exit(asyncio.run(main()))
"""
)


class Nest:
    """A generation, and what its supervisor would do."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.stirred = 0
        self.generations: list[Generation] = []

    def start(self, code: str, processes: int = 2, succeeds: bool = False) -> Generation:
        settings = Settings(processes=processes)
        estate = Estate("p", (sys.executable, "-c", code), {"data": socket.socket()}, self.ledger)
        log = structlog.get_logger("banyan.test")
        generation = Generation(1, Config(None, None, settings), estate, self._stir, log)
        self.generations.append(generation)
        generation.start(None, succeeds)
        return generation

    def _stir(self) -> None:
        self.stirred += 1

    async def until(self, condition: Callable[[], object]) -> None:
        def looked() -> bool:
            for generation in self.generations:
                generation.look()
            return bool(condition())

        await until(looked, 40)


@pytest.fixture
async def nest() -> AsyncIterator[Nest]:
    ledger = Ledger.create()
    made = Nest(ledger)
    yield made
    for generation in made.generations:
        generation.leave(signal.SIGKILL)
    await made.until(lambda: all(generation.gone for generation in made.generations))
    ledger.remove()


def pids(logs: list[dict[str, object]]) -> list[int]:
    return [int(str(line["pid"])) for line in logs if line["event"] == "process_started"]


async def test_it_is_complete_when_all_were_ready_and_gone_when_all_have_left(nest):
    generation = nest.start(SERVES, 3)
    assert not generation.complete and not generation.gone
    await nest.until(lambda: generation.complete)
    assert nest.stirred >= 3
    with capture_logs() as logs:
        generation.leave()
        await nest.until(lambda: generation.gone)
    assert [line["status"] for line in logs if line["event"] == "process_ended"] == [0, 0, 0]
    assert generation.failed is None


async def test_one_that_dies_is_started_again_and_its_counts_stay(nest):
    with capture_logs() as logs:
        generation = nest.start(COUNTS)
        await nest.until(lambda: generation.complete)
        generation.tell(signal.SIGKILL)
        await nest.until(lambda: len(pids(logs)) == 4)
    ended = [line for line in logs if line["event"] == "process_ended"]
    assert [(line["status"], line["failures"]) for line in ended] == [(-9, 1), (-9, 1)]
    counted = nest.ledger.entries()[ENDED]
    assert counted == [Family("n", "counter", "", (("n_total", {}, 2.0),))]
    assert generation.complete and generation.failed is None


async def test_a_disk_that_is_full_keeps_nobody_from_coming_back(nest):
    with capture_logs() as logs:
        generation = nest.start(SERVES, 1)
        await nest.until(lambda: generation.complete)
        nest.ledger.remove()
        nest.ledger.folder.write_text("a file where a folder is needed")
        generation.tell(signal.SIGKILL)
        await nest.until(lambda: len(pids(logs)) == 2)
    nest.ledger.folder.unlink()
    assert [line["event"] for line in logs].count("counts_lost") == 1


@pytest.mark.parametrize("code", [1, 4, 5])
async def test_a_first_start_that_can_never_work_has_failed(nest, code):
    generation = nest.start(f"raise SystemExit({code})", 1)
    await nest.until(lambda: generation.failed)
    assert generation.failed == code
    assert generation.gone


async def test_a_first_start_that_crashes_is_tried_again(nest):
    with capture_logs() as logs:
        generation = nest.start("import os; os.abort()", 1)
        await nest.until(lambda: len(pids(logs)) == 3)
    assert generation.failed is None
    assert [line["failures"] for line in logs if line["event"] == "process_ended"] == [1, 2]


async def test_successors_are_not_tried_for_long(nest):
    generation = nest.start("import os; os.abort()", 1, succeeds=True)
    await nest.until(lambda: generation.failed)
    assert generation.failed == -signal.SIGABRT


async def test_a_command_that_cannot_be_run_has_failed(nest, monkeypatch):
    monkeypatch.setattr("sys.executable", "/no/such/python")
    generation = nest.start(SERVES, 1)
    assert generation.failed == 1 and generation.gone


async def test_nobody_comes_back_who_was_told_to_leave(nest, monkeypatch):
    monkeypatch.setattr("proxy.generation.pause_s", lambda failures, chance: 60.0)
    with capture_logs() as logs:
        generation = nest.start(SERVES)
        await nest.until(lambda: generation.complete)
        generation.tell(signal.SIGKILL)
        await nest.until(lambda: len([line for line in logs if line["event"] == "process_ended"]) == 2)
        generation.leave()  # during the pause before the next start
        assert generation.gone
        for _ in range(5):
            await asyncio.sleep(0)
    assert not any(map(is_alive, pids(logs)))


async def test_signals_for_those_that_are_ready_spare_the_others(nest):
    with capture_logs() as logs:
        generation = nest.start(NEVER_READY)
        generation.tell(signal.SIGHUP, ready_only=True)
        generation.look()
        assert len(pids(logs)) == 2 and all(map(is_alive, pids(logs)))
    generation.kill()
    await nest.until(lambda: not any(map(is_alive, pids(logs))))
