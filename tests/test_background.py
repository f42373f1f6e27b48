"""Background work: restarted when it fails, finished when it returns, ended together."""

from __future__ import annotations

import asyncio
from typing import Any

import structlog

from proxy.background import Background
from proxy.core.errors import StoreError
from tests.waiting import until


class Script:
    """Work that does what the next line says: raise it, return, or go on until it is cancelled."""

    def __init__(self, *lines: BaseException | str) -> None:
        self._lines = list(lines)
        self.runs = 0
        self.cancelled = False

    async def run(self) -> None:
        self.runs += 1
        line = self._lines.pop(0) if self._lines else "go on"
        if isinstance(line, BaseException):
            raise line
        if line == "go on":
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                self.cancelled = True
                raise


def background(log: Any = None) -> Background:
    return Background(log or structlog.get_logger("banyan"), first_s=0.001, most_s=0.01)


async def test_work_that_fails_is_started_again():
    script = Script(ValueError("one"), StoreError("two"), KeyError("three"))
    async with background() as work:
        work.spawn("files", script.run)
        await until(lambda: script.runs == 4)


async def test_each_failure_is_logged_with_the_name_of_the_work():
    script = Script(ValueError("one"), StoreError("two"))
    with structlog.testing.capture_logs() as lines:
        async with background(structlog.get_logger("banyan")) as work:
            work.spawn("files", script.run)
            await until(lambda: script.runs == 3)

    assert [(line["event"], line["work"], line["error"], line["failures"]) for line in lines] == [
        ("background_failed", "files", "ValueError: one", 1),
        ("background_failed", "files", "StoreError: two", 2),
    ]
    assert isinstance(lines[0]["exc_info"], ValueError)
    assert lines[1]["exc_info"] is None


async def test_work_that_returns_is_finished():
    script = Script("return")
    async with background() as work:
        task = work.spawn("once", script.run)
        await task
        assert script.runs == 1
        await until(lambda: work.names == ())


async def test_all_work_ends_together():
    scripts = [Script() for _ in range(3)]
    async with background() as work:
        for number, script in enumerate(scripts):
            work.spawn(f"work {number}", script.run)
        await until(lambda: all(script.runs for script in scripts))
        assert work.names == ("work 0", "work 1", "work 2")

    assert all(script.cancelled for script in scripts)
    assert work.names == ()


async def test_work_that_waits_to_be_tried_again_ends_too():
    script = Script(ValueError("one"))
    work = Background(structlog.get_logger("banyan"), first_s=3600, most_s=3600)
    work.spawn("files", script.run)
    await until(lambda: script.runs == 1)
    await asyncio.wait_for(work.close(), 1)

    assert script.runs == 1


async def test_a_cancellation_that_leaks_out_of_the_work_does_not_end_it():
    script = Script(asyncio.CancelledError())
    async with background() as work:
        work.spawn("leaky", script.run)
        await until(lambda: script.runs == 2)


async def test_one_work_may_be_ended_alone():
    ended, other = Script(), Script()
    async with background() as work:
        task = work.spawn("ended", ended.run)
        work.spawn("other", other.run)
        await until(lambda: ended.runs and other.runs)
        task.cancel()
        await until(lambda: ended.cancelled)

        assert work.names == ("other",)
        assert not other.cancelled


async def test_arguments_reach_the_work():
    seen: list[tuple[int, str]] = []

    async def note(number: int, *, word: str) -> None:
        seen.append((number, word))

    async with background() as work:
        await work.spawn("note", note, 7, word="x")

    assert seen == [(7, "x")]


async def test_nothing_to_end_is_no_error():
    async with background():
        pass
