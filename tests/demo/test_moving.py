from __future__ import annotations

import pytest

from proxy.core.assign import bucket_of
from proxy.demo.moving import STEPS_PCT, pass_through, roll_back, shift
from proxy.demo.names import READERS
from tests.demo.pretend import pretend, rightly


def held(play):
    return [claim.held for claim in play.teller.claims]


@pytest.mark.parametrize(("component", "steps"), [("users", STEPS_PCT), ("configuration", (40,))])
def test_at_the_steps_of_the_story_as_many_readers_move_as_the_weight_says(component, steps):
    for weight_pct in steps:
        moved = [name for name in READERS if bucket_of(name.encode(), component.encode()) < 100 * weight_pct]
        assert len(moved) == weight_pct


async def test_a_gateway_that_moves_by_weight_bears_out_every_claim(tmp_path):
    async with pretend(tmp_path) as play, play.burst("users", READERS):
        await shift(play)
        await roll_back(play)

    assert held(play) == [True] * 7
    assert [words[:3] for words in play.stage.typed] == [
        ("weight", "users", "5"),
        ("weight", "users", "25"),
        ("weight", "users", "50"),
        ("rollback", "users", "--why"),
    ]


async def test_readers_that_are_sent_to_and_fro_are_noticed(tmp_path):
    turns = iter(range(1_000_000))

    def by_turn(stage, component, user):
        return 200, "modern" if next(turns) % 20 < stage.weights.get(component, 0) / 5 else "legacy", ""

    async with pretend(tmp_path, by_turn) as play, play.burst("users", READERS, readers=3):
        await shift(play)

    assert not play.teller.all_held


async def test_a_rollback_that_leaves_somebody_on_modern_is_noticed(tmp_path):
    def nearly(stage, component, user):
        return (200, "modern", "") if user == "zoe" else rightly(stage, component, user)

    async with pretend(tmp_path, nearly) as play:
        await roll_back(play)

    assert held(play) == [False]


@pytest.mark.parametrize("lost", ["", "analytics"])
async def test_pass_through_means_every_read_of_every_component(tmp_path, lost):
    def strayed(stage, component, user):
        return 200, "modern" if component == lost else "legacy", ""

    async with (
        pretend(tmp_path, strayed) as play,
        play.burst("users", READERS, 1),
        play.burst("configuration", READERS, 1),
        play.burst("conversations", READERS, 1),
        play.burst("analytics", READERS, 1),
    ):
        await pass_through(play)

    assert held(play) == [not lost]
