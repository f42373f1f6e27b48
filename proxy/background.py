"""
Work behind the answers that must not end by accident: started by name, restarted when it fails, ended together.

Decides nothing about what the work is; whoever spawns it handles what it expects. What arrives here is a surprise:
it is logged with its traceback and tried again, more slowly each time.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import ParamSpec, Self

from structlog.typing import FilteringBoundLogger

from proxy.core.errors import GatewayError

Work = ParamSpec("Work")

CALM_S = 60.0  # work that ran this long before it failed begins again with the shortest pause
END_S = 5.0  # how long cancelled work may take to tidy up


class Background:
    """
    The supervised tasks of one process; `async with` ends them all.

    Work that returns is finished; work that raises is logged and started anew after a pause that doubles from
    `first_s` to `most_s`, with jitter so that replicas do not retry in step.
    """

    def __init__(self, log: FilteringBoundLogger, *, first_s: float = 0.1, most_s: float = 10.0) -> None:
        self._log = log
        self._first_s = first_s
        self._most_s = most_s
        self._tasks: dict[asyncio.Task[None], str] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """The work still under way, in the order in which it was spawned."""
        return tuple(self._tasks.values())

    def spawn(
        self, name: str, work: Callable[Work, Awaitable[None]], *args: Work.args, **kwargs: Work.kwargs
    ) -> asyncio.Task[None]:
        """Start `work(*args, **kwargs)` and keep it going; cancelling the task returned ends this work alone."""
        task = asyncio.create_task(self._keep_going(name, lambda: work(*args, **kwargs)), name=name)
        self._tasks[task] = name
        task.add_done_callback(self._forget)
        return task

    async def close(self) -> None:
        """Cancel all work at once and wait for it; work that will not end is named in the log and left behind."""
        tasks = dict(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            _, stuck = await asyncio.wait(tasks, timeout=END_S)
            if stuck:
                self._log.error("background_stuck", work=sorted(tasks[task] for task in stuck))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def _forget(self, task: asyncio.Task[None]) -> None:
        self._tasks.pop(task, None)

    async def _keep_going(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        failures = 0
        while True:
            began = time.monotonic()
            try:
                return await work()
            except asyncio.CancelledError as exc:
                if _is_being_cancelled():
                    raise
                error: BaseException = exc  # a library's cancellation that leaked out of the work: not ours to end by
            except Exception as exc:
                error = exc
            failures = 1 if time.monotonic() - began >= CALM_S else failures + 1
            pause_s = min(self._most_s, self._first_s * 2 ** min(failures - 1, 30)) * random.uniform(0.5, 1.0)
            self._tell(name, error, failures, pause_s)
            await asyncio.sleep(pause_s)

    def _tell(self, name: str, error: BaseException, failures: int, pause_s: float) -> None:
        expected = isinstance(error, GatewayError)  # says all there is to say: a traceback would only hide it
        self._log.error(
            "background_failed", work=name, error=f"{type(error).__name__}: {error}", failures=failures,
            again_in_s=round(pause_s, 2), exc_info=None if expected else error,
        )  # fmt: skip


def _is_being_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
