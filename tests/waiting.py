"""Waiting for a condition instead of sleeping: the only place of the tests that lets real time pass."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")


async def until(condition: Callable[[], T | Awaitable[T]], within_s: float = 10.0, every_s: float = 0.005) -> T:
    """Return the first truthy value of `condition` (sync or async); AssertionError when none came `within_s`."""
    deadline = time.monotonic() + within_s
    while True:
        value = condition()
        if inspect.isawaitable(value):
            value = await value
        if value:
            return value  # type: ignore[return-value]
        if time.monotonic() > deadline:
            raise AssertionError(f"not true within {within_s} s: {inspect.getsource(condition).strip()}")
        await asyncio.sleep(every_s)
