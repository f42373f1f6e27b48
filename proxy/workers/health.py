"""
Health checks: each instance of a side is asked for a path again and again, over the same wire as everything else.

What an answer means is decided by `core.instances`; here it is asked for and passed on. A check has a connection of
its own, so that a side whose connections are all in use is not taken for a dead one.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence

from proxy.core.errors import UpstreamError
from proxy.core.instances import HealthCheck, is_healthy
from proxy.core.limits import PoolLimits
from proxy.wire.asking import head_of_answer
from proxy.wire.instances import Instance
from proxy.wire.pool import Pool, Waits

JITTER = 0.1  # of the interval, so that replicas and processes do not ask in step


def check_message(path: str, authority: bytes, added: bytes) -> bytes:
    """Return the request of a check, whole; `added` are ready-joined header fields, in lower case."""
    head = b"GET %b HTTP/1.1\r\nhost: %b\r\nconnection: close\r\n" % (path.encode("ascii"), authority)
    named = b"" if b"user-agent:" in added else b"user-agent: banyan-health-check\r\n"
    return head + named + added + b"\r\n"


async def keep_checking(pool: Pool, messages: Sequence[bytes], rules: HealthCheck) -> None:
    """Ask every instance of `pool`, each with the message of its index, until cancelled; tell the pool what came."""
    async with asyncio.TaskGroup() as group:
        for instance, message in zip(pool.instances, messages, strict=True):
            group.create_task(_keep_checking(pool, instance, message, rules))


async def _keep_checking(pool: Pool, instance: Instance, message: bytes, rules: HealthCheck) -> None:
    own = Pool(pool.name, [instance.place], pool.wheel, pool.limits, PoolLimits(connections=1, pending_requests=0))
    try:
        while True:
            passed, says = await outcome(own, message, rules.timeout_s)
            if passed is not None:
                pool.check(instance, passed, says)
            await asyncio.sleep(rules.interval_s * random.uniform(1 - JITTER, 1 + JITTER))
    finally:
        await own.close()


async def outcome(own: Pool, message: bytes, timeout_s: float) -> tuple[bool | None, str]:
    """Return whether a check was passed, None if it could not be made, and what came back."""
    try:
        async with asyncio.timeout(timeout_s):
            head = await head_of_answer(own, message, Waits(timeout_s, timeout_s, timeout_s))
    except TimeoutError:
        return False, f"no answer within {timeout_s:g} s"
    except UpstreamError as error:
        return (None if error.is_ours else False), error.detail
    return is_healthy(head.status), f"it answers {head.status}"
