"""
How many descriptors this process may have open, and for how many clients they do.

A process that has none left can neither take a client nor ask a side. So the limit is raised at the start, and where
that is not enough clients are turned away before the sides' connections fail. Knows settings, opens nothing.
"""

from __future__ import annotations

import resource
import sys
from contextlib import suppress

from proxy.core.limits import SECOND_LOOKS
from proxy.core.model import Side
from proxy.settings import Settings

OWN = 128  # listeners, the store, probes and admin, watched files, what the runtime has open


def raise_limit() -> int:
    """Let this process open as many descriptors as the system allows it; return how many that is."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    with suppress(OSError, ValueError):  # more than the kernel knows of: then it stays as it is
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return sys.maxsize if soft == resource.RLIM_INFINITY else soft


def needed(settings: Settings) -> int:
    """Return how many descriptors it takes to hold all that the limits allow."""
    return settings.limits.connections + _of_sides(settings) + OWN


def fitting(settings: Settings, descriptors: int) -> Settings:
    """
    Return settings that let in as many clients as `descriptors` do for; the same ones if they do for all.

    The sides' connections come first, but never take more than half: they are limits, and rarely all in use.
    """
    rest = descriptors - OWN
    connections = max(rest - _of_sides(settings), rest // 2, 1)
    if connections >= settings.limits.connections:
        return settings
    limits = settings.limits.model_copy(update={"connections": connections})
    return settings.model_copy(update={"limits": limits})


def _of_sides(settings: Settings) -> int:
    sides = [settings.side(side) for side in Side]
    checks = sum(len(each.origins) for each in sides if each.health_check.interval_s)
    shadows = sum(each.shadow.concurrency + SECOND_LOOKS for each in sides)
    return checks + shadows + sum(each.limits.connections for each in sides)
