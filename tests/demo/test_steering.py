from __future__ import annotations

import pytest

from proxy.demo.names import READERS
from proxy.demo.steering import edit_file, emergency
from tests.demo.pretend import pretend, rightly


@pytest.fixture(autouse=True)
def short_watch(monkeypatch):
    monkeypatch.setattr("proxy.demo.steering.EMERGENCY_S", 0.5)
    monkeypatch.setattr("proxy.demo.steering.WATCHED_S", 0.6)
    monkeypatch.setattr("proxy.demo.steering.WATCHED", 20)


@pytest.fixture
def rule_file(tmp_path):
    path = tmp_path / "configuration.yaml"
    path.write_text("component: configuration\nweight: 0   # a comment\n")
    return path


async def test_an_edit_that_takes_effect_is_seen_to(tmp_path, rule_file):
    async with pretend(tmp_path) as play:
        await edit_file(play)

    assert play.teller.all_held
    assert rule_file.read_text() == "component: configuration\nweight: 40   # a comment\n"


async def test_an_edit_without_effect_is_noticed(tmp_path, rule_file):
    def unmoved(stage, component, user):
        return 200, "legacy", ""

    async with pretend(tmp_path, unmoved) as play:
        await edit_file(play)

    assert [claim.held for claim in play.teller.claims] == [True, False]


async def test_an_emergency_that_is_heeded_and_lifted_is_seen_to(tmp_path):
    async with pretend(tmp_path) as play:
        play.stage.weights["users"] = 50.0
        await emergency(play)

    assert play.teller.all_held
    assert play.stage.typed == [("SET", "banyan:emergency:users", "legacy"), ("DEL", "banyan:emergency:users")]


async def test_an_emergency_that_nobody_lifts_is_noticed(tmp_path):
    def for_ever(stage, component, user):
        answer = rightly(stage, component, user)
        return (200, "legacy", "") if stage.typed else answer

    async with pretend(tmp_path, for_ever) as play:
        play.stage.weights["users"] = 50.0
        await emergency(play)

    assert [claim.held for claim in play.teller.claims] == [True, False]


async def test_an_emergency_that_is_not_heeded_is_noticed(tmp_path):
    def stubborn(stage, component, user):
        return 200, "modern" if user in READERS[:50] else "legacy", ""

    async with pretend(tmp_path, stubborn) as play:
        await emergency(play)

    assert play.teller.claims[0].held is False
