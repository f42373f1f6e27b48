from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
import pytest

from tests.admin.small import SmallHouse, small_house


@pytest.fixture
async def house() -> AsyncIterator[SmallHouse]:
    async with small_house() as made:
        yield made


@pytest.fixture
async def client() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session
