"""Which reads are wanted, and what they are about."""

from __future__ import annotations

import pytest

from proxy.core.evidence import Outcome
from proxy.core.messages import AnswerHead, RequestHead, Saw, SawAnswer
from proxy.core.plan import CALM, plan
from proxy.core.rules import Side
from proxy.gateway.copies import Copy
from proxy.workers.looking import NOISE, SHADOW, Looker, Route, why_not
from proxy.workers.tallies import Tally
from tests.core.planning import component, head, table


class Taking:
    """Has room for so many reads of each side."""

    def __init__(self, **room: int) -> None:
        self.room = {Side(name): count for name, count in room.items()}

    def refuses(self, side: Side, now_s: float) -> str:
        left = self.room.get(side, 1_000)
        self.room[side] = left - 1
        return "" if left > 0 else "cap"

    def take(self, copy: Copy, looker: Looker) -> None:
        raise AssertionError("nothing is handed over here")


def looker(asked: RequestHead, taking: Taking | None = None, **values: object) -> Looker:
    defaults = {"phase": "shadow", "shadow": 100, "noise": {"sample": 0}}
    planned = plan(table(component(**{**defaults, **values})), asked, [CALM])
    assert planned.plan.watch is not None
    route = Route(Tally("users", planned.plan.route), Tally("users", planned.plan.route))
    route.follow(planned.plan, 60.0, 0.0)
    return Looker(taking or Taking(), planned.plan, route, 1_000)


READ = head("GET", "/api/users/42?x=1", x_user_id="1")
FINE = AnswerHead(200, b"", 10)


@pytest.mark.parametrize(
    ("shadow", "sample", "wanted"), [(100, 0, SHADOW), (0, 100, NOISE), (100, 100, SHADOW | NOISE)]
)
def test_a_read_is_wanted_for_what_the_rules_say(shadow, sample, wanted):
    assert looker(READ, shadow=shadow, noise={"sample": sample}).wants(READ, FINE, 0.0) == wanted


def test_what_there_is_no_room_for_is_counted():
    found = looker(READ, Taking(modern=1))

    assert [found.wants(READ, FINE, 0.0), found.wants(READ, FINE, 0.0)] == [SHADOW, 0]
    assert found.route.tally.total == {"dropped": 1, "dropped:cap": 1}


def test_a_side_without_room_for_noise_still_gets_shadows():
    found = looker(READ, Taking(legacy=0), noise={"sample": 100})

    assert found.wants(READ, FINE, 0.0) == SHADOW


def answered(status: int = 200, saw: int = 0, length: int = 10) -> AnswerHead:
    made = AnswerHead(status, b"", length)
    made.saw = saw
    return made


@pytest.mark.parametrize(
    ("request_head", "answer", "expected"),
    [
        (READ, answered(), (Outcome.SKIPPED, "")),
        (READ, answered(404), (Outcome.SKIPPED, "")),
        (head("GET", "/", saw=Saw.RANGE), answered(206), (Outcome.SKIPPED, "range")),
        (READ, answered(saw=SawAnswer.STREAM), (Outcome.SKIPPED, "stream")),
        (READ, answered(304), (Outcome.APART, "not_modified")),
        (READ, answered(502), (Outcome.SKIPPED, "primary_failed")),
        (READ, answered(429), (Outcome.SKIPPED, "primary_failed")),
        (READ, answered(length=1_001), (Outcome.SKIPPED, "too_long")),
        (head("HEAD", "/"), answered(length=1_001), (Outcome.SKIPPED, "")),
    ],
)
def test_what_cannot_be_compared_has_its_reason(request_head, answer, expected):
    assert why_not(request_head, answer, 1_000) == expected


def copy_of(asked: RequestHead, body: bytes = b"", **values: object) -> tuple[Looker, Copy]:
    found = looker(asked, **values)
    planned = plan(table(component(**{"phase": "shadow", **values})), asked, [CALM])
    copy = Copy(found, SHADOW, asked, b"", planned, FINE)
    copy.body = [body] if body else []
    return found, copy


@pytest.mark.parametrize(
    ("routes", "asked", "body", "key", "about"),
    [
        ({"/api/users/{id}": {"entity": "{id}"}}, READ, b"", b"42", b"42"),
        ({"/api/users/{id}": {}}, READ, b"", b"", b"/api/users/42?x=1"),
        ({"POST /rpc": {"kind": "read", "entity": "body:$.id"}}, head("POST", "/rpc"), b'{"id":7}', b"7", b"7"),
        ({"POST /rpc": {"kind": "read", "entity": "body:$.id"}}, head("POST", "/rpc"), b"{}", b"", b"/rpc{}"),
    ],
)
def test_a_read_is_about_its_entity_or_all_that_it_asks_for(routes, asked, body, key, about):
    found, copy = copy_of(asked, body, routes=routes)

    assert (found.key_of(copy), found.entity_of(copy)) == (key, about)


def test_rules_are_compiled_anew_only_when_they_change():
    found = looker(READ)
    before = found.route.rules
    found.route.follow(found.plan, 60.0, 0.0)
    assert found.route.rules is before

    found.route.follow(looker(READ, compare={"ignore": ["$.at"]}).plan, 60.0, 0.0)
    assert found.route.rules is not before


def test_evidence_rests_on_what_is_compared_how_and_not_on_what_is_shown_of_it():
    found = looker(READ)
    route = found.route
    route.heed(0.0, "1", "")
    basis = route.tally.basis
    assert (basis.phase, basis.legacy, basis.modern, basis.version) == ("shadow", "1", "", 41)

    for shown in ({"reveal": ["$.id"]}, {"headers": ["content-type"]}):
        route.follow(looker(READ, compare=shown).plan, 60.0, 0.0)
        route.heed(0.0, "1", "")
        assert route.tally.basis == basis
    route.follow(looker(READ, compare={"ignore": ["$.id"]}).plan, 60.0, 0.0)
    route.heed(0.0, "1", "")
    assert route.tally.basis.rules != basis.rules


def test_a_rule_that_expires_works_no_more_and_evidence_rests_on_something_else():
    rule = {"path": "$.at", "until": "1970-01-01T00:01:00Z"}
    route = looker(READ, compare={"ignore": [rule]}).route
    route.heed(59.0, "", "")
    rules, basis = route.rules, route.tally.basis
    assert rules.expired == ()

    route.heed(60.0, "", "")
    assert route.rules.expired == ("ignore $.at",)
    assert route.tally.basis.rules != basis.rules


def test_new_rules_are_tested_with_their_first_pair():
    """Else a rule that swallows everything stays green for a hundred comparisons, on a quiet route for hours."""
    route = looker(READ).route
    due = [route.is_due_for_test() for _ in range(10)]
    route.follow(looker(READ, compare={"ignore": ["$..*"]}).plan, 60.0, 0.0)

    assert due == [True, *[False] * 9]
    assert [route.is_due_for_test() for _ in range(3)] == [True, False, False]
