"""Tests of the gateway run on uvloop, as the product does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import uvloop


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Name the one loop that these tests run on."""
    return {"uvloop": uvloop.new_event_loop}
