"""What is found behind the answers, where it is not to be believed, and what needs no second look."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import pytest

from proxy.core.clusters import MOST_EXAMPLES, Sighting
from proxy.workers.aside import Aside
from proxy.workers.findings import NOISE_SEEN, SAMPLED, Findings
from tests.waiting import until
from tests.workers.shadowing import USERS, Stage, says, shadowing

AGAIN = {**USERS, "shadow": 0, "noise": {"sample": 100}}
A, B = {"id": 42, "unread": 3}, {"id": 42, "unread": 4}


@dataclass
class Keeping:
    """Keeps what it is given."""

    found: list[Sighting] = field(default_factory=list)
    closed: frozenset[str] = frozenset()

    def add(self, component: str, sightings: Iterable[Sighting]) -> None:
        self.found += sightings


def learned(stage: Stage) -> dict[str, int]:
    found: dict[str, int] = {}
    for tally in stage.shadows.self_tallies:
        found |= tally.total
    return found


def findings_of(stage: Stage) -> tuple[Findings, Keeping]:
    """Let a stage's findings be real ones."""
    keeping = Keeping()
    findings = Findings(stage.rig.gateway.settling, keeping, Aside())
    stage.sandwiches._found = findings
    stage.shadows.on_noise = findings.noisy
    return findings, keeping


async def test_in_what_a_side_differs_from_itself_is_counted_by_place():
    async with shadowing(AGAIN) as stage:
        findings_of(stage)
        stage.rig.legacy.script = says(*({"at": at, "items": [{"n": at}, {"n": at}]} for at in range(9)))
        await stage.get()
        await stage.get()
        await until(lambda: learned(stage).get("compared") == 2)

        assert learned(stage) == {"compared": 2, "value $.at": 2, "value $.items[*].n": 2}


async def test_it_is_counted_in_which_ways_all_of_it_means_the_same():
    zones = ["2026-11-25T10:00:00Z", "2026-11-25T11:00:00+01:00"]
    async with shadowing(AGAIN) as stage:
        findings_of(stage)
        stage.rig.legacy.script = says(*({"at": at} for at in zones))
        await stage.get()
        await until(lambda: learned(stage).get("compared") == 1)

        assert learned(stage) == {"compared": 1, "value $.at": 1, "value $.at as same-instant": 1}


async def test_nothing_is_learned_while_somebody_writes():
    async with shadowing(AGAIN) as stage:
        findings_of(stage)
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
        findings_of(stage)
        stage.rig.legacy.script = says(*({"at": at} for at in range(9)))
        stage.rig.modern.script = says({"at": 99})
        await stage.get()
        await stage.counted(noise=1)

        assert learned(stage) == {"compared": 1, "value $.at": 1}


async def test_a_mismatch_is_one_sighting_for_each_cluster_without_the_noise_beside_it():
    async with shadowing() as stage:
        _, keeping = findings_of(stage)
        stage.rig.legacy.script = says(*({**A, "at": at} for at in range(9)))
        stage.rig.modern.script = says(*({**B, "at": at, "new": True} for at in range(10, 19)))
        await stage.get()
        await stage.counted(mismatched=1)

        assert sorted((each.of.kind, each.of.path) for each in keeping.found) == [
            ("extra", "$.new"), ("value", "$.unread"),
        ]  # fmt: skip
        assert all(each.example["statuses"] == [200, 200] for each in keeping.found)


async def many_mismatches(stage: Stage, count: int) -> None:
    for number in range(count):
        await stage.get()
        await stage.counted(mismatched=number + 1)


async def test_what_was_found_often_is_counted_without_a_second_look_and_now_and_then_with_one():
    async with shadowing() as stage:
        _, keeping = findings_of(stage)
        stage.rig.legacy.script, stage.rig.modern.script = says(A), says(B)
        await many_mismatches(stage, MOST_EXAMPLES)
        seen = len(stage.rig.modern.seen)
        assert seen == 2 * MOST_EXAMPLES
        await many_mismatches_after(stage, SAMPLED)

        assert stage.counts["mismatched"] == MOST_EXAMPLES + SAMPLED
        assert stage.counts["mismatched:known"] == SAMPLED - 1
        assert len(stage.rig.modern.seen) == seen + SAMPLED + 1
        assert len(keeping.found) == MOST_EXAMPLES + SAMPLED
        assert len({each.id for each in keeping.found}) == 1
        assert sum(1 for each in keeping.found if each.example) == MOST_EXAMPLES + 1


async def many_mismatches_after(stage: Stage, count: int) -> None:
    before = stage.counts["mismatched"]
    for number in range(count):
        await stage.get()
        await stage.counted(mismatched=before + number + 1)


async def test_another_difference_beside_a_known_one_is_looked_at():
    async with shadowing() as stage:
        _, keeping = findings_of(stage)
        stage.rig.legacy.script, stage.rig.modern.script = says(A), says(B)
        await many_mismatches(stage, MOST_EXAMPLES)

        stage.rig.modern.script = says({**B, "new": 1})
        await many_mismatches_after(stage, 1)
        assert "mismatched:known" not in stage.counts
        assert any(each.of.path == "$.new" for each in keeping.found)


async def test_a_known_difference_may_be_a_write_on_its_way():
    async with shadowing() as stage:
        findings_of(stage)
        stage.rig.legacy.script, stage.rig.modern.script = says(A), says(B)
        await many_mismatches(stage, MOST_EXAMPLES)

        stage.rig.gateway.settling.began("users", b"42")
        await stage.get()
        await until(lambda: stage.sandwiches.waiting == 1 and not stage.sandwiches.at_work)
        assert stage.counts["mismatched"] == MOST_EXAMPLES


async def test_of_a_cluster_that_is_not_open_any_more_examples_are_kept_anew():
    async with shadowing() as stage:
        findings, keeping = findings_of(stage)
        stage.rig.legacy.script, stage.rig.modern.script = says(A), says(B)
        await many_mismatches(stage, MOST_EXAMPLES)
        findings.seen_open(frozenset(each.id for each in keeping.found))
        await many_mismatches_after(stage, 1)
        assert stage.counts["mismatched:known"] == 1

        findings.seen_open(frozenset())  # closed, or the store was wiped
        await many_mismatches_after(stage, 1)
        assert stage.counts["mismatched:known"] == 1
        assert keeping.found[-1].example


async def test_a_cluster_that_was_closed_is_looked_at_again():
    async with shadowing() as stage:
        _, keeping = findings_of(stage)
        stage.rig.legacy.script, stage.rig.modern.script = says(A), says(B)
        await many_mismatches(stage, MOST_EXAMPLES)
        keeping.closed = frozenset(each.id for each in keeping.found)

        await many_mismatches_after(stage, 1)
        assert "mismatched:known" not in stage.counts


@pytest.mark.parametrize("steady", [True, False])
async def test_noise_that_is_always_there_is_counted_without_a_second_look(steady):
    async with shadowing() as stage:
        findings_of(stage)
        stage.rig.legacy.script = says(*({"at": at} for at in range(1_000)))
        stage.rig.modern.script = says(*({"at": at} for at in range(1_000, 2_000)))
        for number in range(NOISE_SEEN):
            await stage.get()
            await stage.counted(noise=number + 1)
        if not steady:
            for tally in stage.shadows.self_tallies:
                tally.total["compared"] *= 2  # in every second read it was the same
        await stage.get()
        await stage.counted(noise=NOISE_SEEN + 1)

        assert ("noise:known" in stage.counts) is steady


async def test_a_mismatch_beside_known_noise_is_found():
    async with shadowing() as stage:
        _, keeping = findings_of(stage)
        stage.rig.legacy.script = says(*({"at": at} for at in range(1_000)))
        stage.rig.modern.script = says(*({"at": at} for at in range(1_000, 2_000)))
        for number in range(NOISE_SEEN + 2):
            await stage.get()
            await stage.counted(noise=number + 1)

        stage.rig.modern.script = says(*({"at": at, "new": 1} for at in range(1_000, 2_000)))
        await stage.get()
        await stage.counted(mismatched=1)
        assert [each.of.path for each in keeping.found] == ["$.new"]
