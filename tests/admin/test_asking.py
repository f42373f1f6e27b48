from __future__ import annotations

import pytest
from pydantic import SecretStr

from proxy.admin.asking import asked, explained, field
from proxy.core.changes import BadWish
from proxy.core.messages import Saw
from proxy.core.plan import CALM, compile_table
from proxy.core.rules import Side
from proxy.settings import Settings
from tests.admin.small import file

SECRET = SecretStr("s3cret")
SETTINGS = Settings(via_name="edge")


def test_a_question_is_read_like_a_request():
    question = asked("get", "/api/users/42?x=1", ["X-User-Id: 7", "x-http-method-override: PUT"], "10.0.0.7", SETTINGS)

    assert (question.head.method, question.head.path, question.head.peer) == (b"GET", b"/api/users/42", b"10.0.0.7")
    assert question.head.get(b"x-user-id") == b"7"
    assert question.head.saw & Saw.OVERRIDE


def test_a_host_of_its_own_is_kept():
    assert asked("GET", "/", ["Host: shop.example"], "", SETTINGS).head.host == b"shop.example"


@pytest.mark.parametrize(
    ("value", "side"),
    [
        ("modern;s3cret", Side.MODERN),
        ("legacy; s3cret", Side.LEGACY),
        ("modern;wrong", None),
        ("both;s3cret", None),
        ("modern;s3cr\u00e9t", None),
        ("", None),
    ],
)
def test_a_side_is_forced_only_with_the_secret(value, side):
    assert asked("GET", "/", [f"x-banyan-force: {value}"], "", Settings(force_secret=SECRET)).forced is side
    assert asked("GET", "/", [f"x-banyan-force: {value}"], "", SETTINGS).forced is None


def test_what_the_wire_refuses_is_refused_here():
    with pytest.raises(BadWish, match="refuses this request with 4"):
        asked("GET", "/", ["host: a", "host: b"], "", SETTINGS)


@pytest.mark.parametrize("via", ["1.1 edge", "1.1 other, HTTP/1.1 EDGE (x)"])
def test_a_request_that_has_passed_here_before_is_refused_here_too(via):
    with pytest.raises(BadWish, match=r"refuses this request with 508.*`edge`"):
        asked("GET", "/api/users/42", [f"via: {via}"], "", SETTINGS)


def test_a_request_that_came_through_others_is_not():
    assert asked("GET", "/api/users/42", ["via: 1.1 banyan"], "", SETTINGS).head.path == b"/api/users/42"


@pytest.mark.parametrize("word", ["x-user-id", ": 7", "x user: 7", "x: a\r\nb: c", ""])
def test_a_field_that_makes_no_sense_is_refused(word):
    with pytest.raises(BadWish, match="should be a header field"):
        field(word)


@pytest.mark.parametrize(
    ("method", "target"), [("", "/"), ("G T", "/"), ("GET", "users"), ("GET", "/a b"), ("GET", "")]
)
def test_a_request_that_makes_no_sense_is_refused(method, target):
    with pytest.raises(BadWish):
        asked(method, target, [], "", SETTINGS)


def test_the_answer_has_the_plan_and_its_steps():
    rules = file(weight=100).rules
    from proxy.core.rules import RuleSet

    table = compile_table(
        RuleSet(epoch="e", version=41, who="", why="", at="2026-01-01T00:00:00Z", components={"users": rules})
    )

    document = explained(table, [CALM], asked("GET", "/api/users/42", ["x-user-id: 7"], "", SETTINGS))

    assert (document["side"], document["reason"], document["version"]) == ("modern", "weight", 41)
    assert len(document["steps"]) == 3
