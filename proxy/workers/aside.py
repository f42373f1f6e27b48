"""
Work that is too long for the event loop: in one thread, one piece after the other.

One, because all threads share the interpreter: with several at work the loop would wait for its turn behind each. The
collector rests meanwhile: a document of a megabyte has so many parts that it would go over all of them again and again,
in one go each time, and let nobody else on (measured: the loop late by up to 37 ms instead of 19).
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

Work = ParamSpec("Work")
Result = TypeVar("Result")


class Aside:
    """The thread; it starts with the first piece of work, and ends with `close`."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="aside")

    async def do(self, work: Callable[Work, Result], *args: Work.args, **kwargs: Work.kwargs) -> Result:
        """Return what `work` returns, or raise what it raises."""
        return await asyncio.get_running_loop().run_in_executor(
            self._thread, lambda: _undisturbed(work, *args, **kwargs)
        )

    def close(self) -> None:
        """Let go of what has not begun; what has begun is not waited for."""
        self._thread.shutdown(wait=False, cancel_futures=True)


def _undisturbed(work: Callable[Work, Result], *args: Work.args, **kwargs: Work.kwargs) -> Result:
    was_on = gc.isenabled()
    gc.disable()
    try:
        return work(*args, **kwargs)
    finally:
        if was_on:
            gc.enable()
