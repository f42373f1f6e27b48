from __future__ import annotations

import shutil
from collections.abc import Callable

import pytest

from proxy.demo.comparing import compare, still_equal
from proxy.demo.entities import COMPONENTS
from proxy.demo.names import READERS
from proxy.demo.stage import RULES
from proxy.rulefiles import read_folder
from tests.demo.pretend import PROPOSED, SHOWN, PretendComparison, pretend, rightly

EQUAL = "two sides that are equal are found equal"
FOUND = "four defects are found, and nothing else"
NOISE = "what differs by itself is proposed as rules, and nothing else"
IN_FORCE = "the rules are in force without a restart"
CLOSED = "what is healed and closed stays closed"
BOUND = "what is known is a bound"
UNSEEN = "no reader was sent to modern for it"

Wrongly = Callable[[PretendComparison], None]


@pytest.fixture(autouse=True)
def rules(tmp_path, monkeypatch):
    for name, value in {"FOUND_S": 0.3, "WAIT_S": 0.3, "QUIET_S": 0.05, "EVERY_S": 0.01}.items():
        monkeypatch.setattr(f"proxy.demo.comparing.{name}", value)
    folder = tmp_path / "rules"
    shutil.copytree(RULES, folder)
    return folder


async def told(folder, wrongly: Wrongly = lambda comparison: None, answering=rightly):
    async with pretend(folder, answering) as play:
        wrongly(play.stage.comparison)
        async with play.burst("users", READERS):
            await play.collect("users", play.now(), lambda found: len(found) > 5)
            await compare(play)
    return play


def untrue(play) -> set[str]:
    return {claim.what for claim in play.teller.claims if not claim.held}


async def test_a_gateway_that_finds_the_defects_and_nothing_else_bears_out_every_claim(rules):
    play = await told(rules)
    said = play.teller.console.file.getvalue()

    assert [claim.what for claim in play.teller.claims] == [EQUAL, FOUND, NOISE, IN_FORCE, CLOSED, BOUND, UNSEEN]
    assert untrue(play) == set()
    assert {each["status"] for each in play.stage.comparison.found.values()} == {"closed"}
    assert len(play.stage.comparison.found) == sum(map(len, SHOWN.values())) == 10
    assert play.stage.comparison.planted == set()
    for text in (
        "zone: analytics $.at, value text≠text, 7 entities so far, by /api/analytics, /api/analytics/search, "
        "/api/analytics/{id}; hint: 2 h apart",
        "missing_field: users $.email, missing text≠text, 7 entities so far, by /api/users/{id}; hint",
        "users: compared: fewer than that",
        '- {path: $.request_id, why: "differed from itself in 5 of 5 reads since 2026-11-25"}',
    ):
        assert text in said, said


async def test_what_is_proposed_stands_in_the_rule_files_and_is_right(rules):
    await told(rules)
    folder = read_folder(rules)

    assert folder.problems == ()
    for name in COMPONENTS:
        component = folder.files[name].rules
        narrow = component.routes[f"/api/{name}/search"].compare
        assert [each.path for each in component.compare.ignore] == ["$.generated_at"]
        assert [each.path for each in narrow.ignore] == ["$.generated_at", "$.request_id"]
        assert component.routes[f"/api/{name}/{{id}}"].entity == "{id}"


async def test_every_component_is_compared_before_the_first_ones_go_on(rules):
    play = await told(rules)
    phases = [words[1:3] for words in play.stage.typed if words[0] == "phase"]

    assert phases == [
        ("users", "shadow"),
        ("configuration", "shadow"),
        ("conversations", "shadow"),
        ("analytics", "shadow"),
        ("users", "canary"),
        ("configuration", "canary"),
    ]


def misses(defect: str, from_: int = 0) -> Wrongly:
    def wrongly(comparison: PretendComparison) -> None:
        comparison.shown[defect] = comparison.shown[defect][:from_]

    return wrongly


def sees_ghosts(comparison: PretendComparison) -> None:
    comparison.imagined = [("users", "/api/users", "$.generated_at", "value")]


def sees_more(comparison: PretendComparison) -> None:
    comparison.shown["order"] = (*SHOWN["order"], ("users", "/api/users/{id}", "$.updated_at", "value"))


def sees_another_kind(comparison: PretendComparison) -> None:
    comparison.shown["order"] = tuple((*place[:3], "value") for place in SHOWN["order"])


def proposes_more(comparison: PretendComparison) -> None:
    comparison.proposed = PROPOSED.replace(
        "    # $.generated_at", '    - {{path: $.at, why: "no"}}\n    # $.generated_at', 1
    )


def proposes_another_way(comparison: PretendComparison) -> None:
    comparison.proposed = PROPOSED.replace(
        "compare:\n  ignore:", "compare:\n  unordered: {{$.data: null}}\n  ignore:", 1
    )


def remarks(comparison: PretendComparison) -> None:
    comparison.proposed = f"{PROPOSED}# $.x in /api/{{name}}: 9 of 9 reads: no rule helps\n"


def opens_again(comparison: PretendComparison) -> None:
    comparison.reopens = True


def differs_on(comparison: PretendComparison) -> None:
    comparison.mismatched = 1


def knows_little(comparison: PretendComparison) -> None:
    comparison.bound_pct = 2.1


@pytest.mark.parametrize(
    ("wrongly", "claims"),
    [
        *((misses(defect), {FOUND, CLOSED}) for defect in SHOWN),
        (misses("zone", 2), {FOUND, CLOSED}),
        (sees_ghosts, {EQUAL, FOUND, CLOSED}),
        (sees_more, {FOUND, CLOSED}),
        (sees_another_kind, {FOUND, CLOSED}),
        (proposes_more, {NOISE}),
        (proposes_another_way, {NOISE}),
        (remarks, {NOISE}),
        (opens_again, {CLOSED}),
        (differs_on, {CLOSED}),
        (knows_little, {BOUND}),
    ],
)
async def test_a_comparison_that_does_wrong_is_noticed(rules, wrongly, claims):
    assert untrue(await told(rules, wrongly)) == claims


async def test_noise_that_is_not_proposed_is_noticed_and_nothing_is_pasted(rules):
    def silent(comparison: PretendComparison) -> None:
        comparison.proposed = "nothing: 9 reads were answered twice by one side since then, and nothing differs often\n"

    assert untrue(await told(rules, silent)) == {NOISE, IN_FORCE}
    assert "compare:" not in (rules / "users.yaml").read_text()


async def test_a_reader_that_is_sent_to_modern_is_noticed(rules):
    def curious(stage, component, user):
        return 200, "modern" if user in READERS[::2] else "legacy", ""

    assert untrue(await told(rules, answering=curious)) == {UNSEEN}


@pytest.mark.parametrize(
    ("status", "imagined", "held"),
    [("closed", [], True), ("open", [], False), ("closed", [("users", "/api/users", "$", "value")], False)],
)
async def test_in_the_end_everything_found_is_a_defect_and_closed(rules, status, imagined, held):
    async with pretend(rules) as play:
        comparison = play.stage.comparison
        comparison.phases["users"] = "canary"
        comparison.planted = {"zone"}
        comparison.imagined = imagined
        for cluster in comparison.clusters():
            cluster["status"] = status
        comparison.planted = set()
        await still_equal(play)

    assert [claim.held for claim in play.teller.claims] == [held]


async def test_nothing_compared_is_no_good_end(rules):
    async with pretend(rules) as play:
        await still_equal(play)

    assert [claim.held for claim in play.teller.claims] == [False]
