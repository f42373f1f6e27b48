"""
Letting time pass at a given pace: for the load, which keeps a rate, and for what is slow on purpose.

Not for tests to wait with: those await a condition (`tests.waiting`).
"""

from __future__ import annotations

import asyncio


async def moment(at: float) -> None:
    """Return at a moment of the loop's clock; at once when it has passed."""
    loop = asyncio.get_running_loop()
    if at <= loop.time():
        return
    reached = loop.create_future()
    timer = loop.call_at(at, reached.set_result, None)
    try:
        await reached
    finally:
        timer.cancel()


async def pause(seconds: float) -> None:
    """Return `seconds` from now."""
    await moment(asyncio.get_running_loop().time() + seconds)
