"""The fuzzer runs on uvloop, as the product does."""

from __future__ import annotations

from tests.wire.conftest import pytest_asyncio_loop_factories

__all__ = ["pytest_asyncio_loop_factories"]
