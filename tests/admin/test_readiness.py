from __future__ import annotations

from proxy.admin.readiness import not_ready
from tests.admin.small import small_house


async def test_files_alone_are_not_enough_unless_they_are_trusted():
    async with small_house() as house:
        assert len(not_ready(house)) == 1
        await house.look()
        assert not_ready(house) == ()

    async with small_house(cold_start="trust-files") as house:
        assert not_ready(house) == ()
        house.draining = True
        assert not_ready(house) == ("it was told to end",)
