"""What is found behind the answers, and where it is not to be believed."""

from __future__ import annotations

from proxy.workers.findings import Findings
from tests.waiting import until
from tests.workers.shadowing import USERS, Stage, says, shadowing

AGAIN = {**USERS, "shadow": 0, "noise": {"sample": 100}}


def learned(stage: Stage) -> dict[str, int]:
    found: dict[str, int] = {}
    for tally in stage.shadows.self_tallies:
        found |= tally.total
    return found


async def test_in_what_a_side_differs_from_itself_is_counted_by_place():
    async with shadowing(AGAIN) as stage:
        stage.shadows.on_noise = Findings(stage.rig.gateway.settling).noisy
        stage.rig.legacy.script = says(*({"at": at, "items": [{"n": at}, {"n": at}]} for at in range(9)))
        await stage.get()
        await stage.get()
        await until(lambda: learned(stage).get("compared") == 2)

        assert learned(stage) == {"compared": 2, "value $.at": 2, "value $.items[*].n": 2}


async def test_nothing_is_learned_while_somebody_writes():
    async with shadowing(AGAIN) as stage:
        stage.shadows.on_noise = Findings(stage.rig.gateway.settling).noisy
        stage.rig.legacy.script = says(*({"at": at} for at in range(9)))
        stage.rig.gateway.settling.began("users", b"42")
        await stage.get()
        await until(lambda: len(stage.rig.legacy.seen) == 2)
        stage.clock.by_s = -10
        stage.rig.gateway.settling.ended("users", b"42")
        stage.clock.by_s = 0
        await stage.get()
        await until(lambda: learned(stage).get("compared") == 1)

        assert learned(stage) == {"compared": 1, "value $.at": 1}


async def test_what_is_noise_at_a_second_look_is_learned_too():
    async with shadowing() as stage:
        findings = Findings(stage.rig.gateway.settling)
        stage.sandwiches._found = findings
        stage.rig.legacy.script = says(*({"at": at} for at in range(9)))
        stage.rig.modern.script = says({"at": 99})
        await stage.get()
        await stage.counted(noise=1)

        assert learned(stage) == {"compared": 1, "value $.at": 1}
