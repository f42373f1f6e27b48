from __future__ import annotations

import contextlib
import json
import string

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.allowances import WORDS as MEANINGS
from proxy.core.errors import ConfigError, NewerSchema, Position, StoreError, Unreadable
from proxy.core.model import MOST_COMPONENTS, MOST_ROUTES, MOST_VALUES, Phase, Side
from proxy.core.problems import KEY, MOST_PROBLEMS
from proxy.core.rules import (
    FileRecord,
    Origin,
    RuleSet,
    dump_rule_set,
    parse_component,
    parse_rule_set,
    record_of,
)

USERS = {"component": "users", "weight": 25, "routes": {"/api/users": {}, "/api/users/{id}": {"weight": 12.5}}}
PUBLISHED = RuleSet(
    epoch="e1",
    version=7,
    who="ana@host",
    why="first step",
    at="2026-01-02T03:04:05Z",
    files={"users": record_of("0f", USERS)},
    components={"users": parse_component(USERS, file="users.yaml")},
    origins={"users": {"weight": Origin(who="ana@host", at="2026-01-02T03:04:05Z", version=7, why="first step")}},
)
GOLDEN = {
    "schema": "1.0",
    "epoch": "e1",
    "version": 7,
    "seed": False,
    "who": "ana@host",
    "why": "first step",
    "at": "2026-01-02T03:04:05Z",
    "accepts": [],
    "files": {"users": {"hash": "0f", "values": USERS, "hashes": ["0f"]}},
    "components": {
        "users": {
            "component": "users",
            "kind": "plain",
            "owner": None,
            "after": [],
            "phase": None,
            "weight": 25,
            "cohort": "users",
            "sticky": ["header:x-user-id", "client"],
            "pin": [],
            "shadow": 10,
            "routes": {
                "/api/users": {
                    "kind": None, "entity": None, "list": None, "follow": None, "affects": [], "weight": None,
                    "shadow": None, "compare": None, "fallback": None, "timeouts": None,
                },
                "/api/users/{id}": {
                    "kind": None, "entity": None, "list": None, "follow": None, "affects": [], "weight": 12.5,
                    "shadow": None, "compare": None, "fallback": None, "timeouts": None,
                },
            },
            "shadow_headers": {"drop": []},
            "noise": {"sample": None},
            "entity": None,
            "compare": {
                "ignore": [], "unordered": {}, "tolerance": {}, "equal_if": {}, "headers": ["content-type"],
                "status": "exact", "reveal": [],
            },
            "fallback": {"on": ["connect", "timeout", "reset", "5xx"], "budget_pct": 20, "to_modern": False},
            "breaker": {
                "window_s": 10, "min_requests": 20, "error_pct": 50, "slow_ms": 2000, "consecutive": 5, "open_s": 5,
                "observe_only": False,
            },
            "timeouts": None,
        }
    },
    "origins": {
        "users": {"weight": {"who": "ana@host", "at": "2026-01-02T03:04:05Z", "version": 7, "why": "first step"}}
    },
}  # fmt: skip

FULL = {
    "component": "conversations",
    "kind": "entity",
    "owner": "team-chat",
    "after": ["users"],
    "phase": "shadow",
    "weight": 25,
    "cohort": "journey",
    "sticky": ["header:x-user-id", "jwt:sub", "cookie:session", "entity", "client"],
    "pin": [{"header": "x-tenant", "in": ["acme"], "side": "modern"}],
    "routes": {
        "/api/conversations": {"list": {"items": "$.data", "key": "$.id"}},
        "/api/conversations/{id}": {"entity": "{id}"},
        "/api/conversations/{id}/{more...}": {"entity": "{id}"},
        "GET /api/conversations/{id}/form": {"follow": "writes"},
        "POST /rpc/GetConversation": {"kind": "read", "entity": "body:$.id"},
        "POST /api/conversations/import": {"affects": ["users"]},
        "/api/conversations/export": {
            "weight": 0, "shadow": 0, "fallback": {"budget_pct": 5},
            "compare": {"ignore": ["$.made"], "unordered": {"$.a": {"why": "a set"}}, "status": "exact"},
        },
    },
    "shadow": 25,
    "shadow_headers": {"drop": ["x-trace"]},
    "compare": {
        "ignore": ["$.updated_at", {"path": "$.etag", "why": "made anew each time", "until": "2027-01-31"}],
        "unordered": {"$.roles": None, "$.items": {"by": "$.id", "why": "no order by"}},
        "tolerance": {"$.score": 1e-09, "$.share": "1%", "$.sum": {"absolute": 0.5, "relative": "0.5 %"}},
        "equal_if": {"$.created_at": "same-instant", "$.owner": {"as": "uuid", "until": "2027-01-31T12:00:00+01:00"}},
        "headers": ["content-type", "location"],
        "status": "class",
        "reveal": ["$.kind"],
    },
    "entity": {
        "read": "GET /api/conversations/{id}",
        "upsert": "PUT /api/conversations/{id}",
        "delete": "DELETE /api/conversations/{id}",
        "created_key": "$.id",
    },
    "fallback": {"on": ["connect", "timeout", "reset", "5xx", 429], "budget_pct": 20},
    "breaker": {
        "window_s": 10, "min_requests": 20, "error_pct": 50, "slow_ms": 2000, "consecutive": 5, "open_s": 5,
        "observe_only": False,
    },
    "timeouts": {"head_s": 2.5},
}  # fmt: skip


def refused(values, file="users.yaml", positions=None):
    with pytest.raises(ConfigError) as error:
        parse_component(values, file=file, positions=positions)
    return [str(problem) for problem in error.value.problems]


def altered(**values):
    return orjson.dumps({**GOLDEN, **values})


def test_a_component_with_every_key_is_read():
    conversations = parse_component(FULL, file="conversations.yaml")

    assert conversations.phase is Phase.SHADOW
    assert conversations.pin[0].side is Side.MODERN
    assert conversations.routes["POST /rpc/GetConversation"].entity == "body:$.id"
    assert conversations.fallback.on == ("connect", "timeout", "reset", "5xx", 429)


def test_a_bad_file_is_refused_with_every_problem_at_once_each_at_its_place():
    positions = {
        ("weight",): Position("users.yaml", 2, 9),
        ("phaze", KEY): Position("users.yaml", 3, 1),
        ("routes", "/a", "entity"): Position("users.yaml", 5, 17),
    }
    values = {"component": "users", "weight": 140, "phaze": "canary"}

    assert refused(values, positions=positions) == [
        "users.yaml:2:9: weight: should be 0 to 100, is 140",
        "users.yaml:3:1: phaze: unknown key; did you mean `phase`?",
    ]


def test_what_does_not_fit_together_or_is_not_built_is_refused_in_the_same_breath():
    positions = {
        ("phase",): Position("users.yaml", 2, 8),
        ("sticky", 1): Position("users.yaml", 3, 9),
        ("routes", "/a/{id}", "entity"): Position("users.yaml", 5, 21),
    }
    values = {
        "component": "users",
        "phase": "cutover",
        "sticky": ["client"] * 2,
        "routes": {"/a/{id}": {"entity": "{key}"}},
    }

    assert refused(values, positions=positions) == [
        "users.yaml:2:8: phase: should be off, shadow, canary or retired for a component of kind plain, is `cutover`; "
        "only `kind: entity` is copied",
        "users.yaml:3:9: sticky.1: `client` stands here twice",
        "users.yaml:5:21: routes./a/{id}.entity: should name a parameter of the path, is `{key}`; the path has `{id}`",
    ]


@pytest.mark.parametrize(
    ("values", "problem"),
    [(None, "has no rules"), ([], "should be a mapping, is a list"), ("users", "should be a mapping, is `users`")],
)
def test_a_file_that_is_no_mapping_is_refused(values, problem):
    assert refused(values) == [f"users.yaml: {problem}"]


def test_the_published_document_spells_out_every_default():
    """Golden value: other tools read this document."""
    assert json.loads(dump_rule_set(PUBLISHED)) == GOLDEN


def test_the_published_document_keeps_its_order():
    assert list(json.loads(dump_rule_set(PUBLISHED))) == list(GOLDEN)


@pytest.mark.parametrize("values", [USERS, FULL])
def test_a_rule_set_survives_the_way_there_and_back(values):
    users = parse_component(USERS, file="users.yaml")
    component = parse_component(values, file="x.yaml")
    rules = PUBLISHED.model_copy(update={"components": {"users": users, component.component: component}})

    assert parse_rule_set(dump_rule_set(rules), "redis:rules") == rules
    assert dump_rule_set(parse_rule_set(dump_rule_set(rules), "redis:rules")) == dump_rule_set(rules)


WEIGHTS = st.integers(0, 10_000).map(lambda steps: steps / 100)
WORDS = st.text(string.ascii_lowercase, min_size=1, max_size=8)
ROUTES = st.dictionaries(
    WORDS.map(lambda word: f"/api/{word}/{{id}}"),
    st.fixed_dictionaries(
        {},
        optional={
            "weight": WEIGHTS,
            "entity": st.sampled_from(["{id}", "body:$.id"]),
            "fallback": st.fixed_dictionaries({}, optional={"on": st.just([]), "budget_pct": WEIGHTS}),
            "timeouts": st.fixed_dictionaries({}, optional={"head_s": st.floats(0.001, 1000)}),
            "follow": st.just("writes"),
            "shadow": st.none() | WEIGHTS,
        },
    ),
    max_size=4,
)


BESIDE = {
    "why": st.text(st.characters(codec="utf-8"), min_size=1, max_size=20),
    "until": st.sampled_from(["2027-01-31", "2027-01-31T12:00:00Z", "1969-12-31t23:59:59.25+01:00"]),
}
PATHS = st.lists(WORDS, max_size=3).map(lambda names: ".".join(["$", *names])) | st.sampled_from(["$..a", "$[*].b"])
PLACES = WORDS.map(lambda name: f"$.{name}")
SHARES = st.sampled_from(["1%", "0.5 %", "100%", "1e-4%"])
NUMBERS = st.floats(0, 1e300) | st.integers(0, 2**53)


def allowance(short, required, optional=None):
    return short | st.fixed_dictionaries(required, optional={**(optional or {}), **BESIDE})


COMPARE = st.fixed_dictionaries(
    {},
    optional={
        "ignore": st.lists(allowance(PATHS, {"path": PATHS}), max_size=3),
        "unordered": st.dictionaries(
            PATHS, allowance(st.none() | PLACES, {}, {"by": PLACES}).filter(lambda rule: rule != {}), max_size=3
        ),
        "tolerance": st.dictionaries(
            PATHS,
            allowance(NUMBERS | SHARES, {"absolute": NUMBERS}, {"relative": SHARES})
            | allowance(SHARES, {"relative": SHARES}),
            max_size=3,
        ),
        "equal_if": st.dictionaries(
            PATHS, allowance(st.sampled_from(MEANINGS), {"as": st.sampled_from(MEANINGS)}), max_size=3
        ),
        "headers": st.lists(st.sampled_from(["content-type", "Location", "x-total"]), max_size=3),
        "status": st.sampled_from(["exact", "class"]),
        "reveal": st.lists(PATHS, max_size=2),
    },
)


@given(
    st.fixed_dictionaries(
        {"component": WORDS.filter(lambda word: word != "all"), "routes": ROUTES},
        optional={
            "weight": WEIGHTS,
            "phase": st.sampled_from(["off", "shadow", "canary"]),
            "kind": st.sampled_from(["plain", "readonly", "entity"]),
            "cohort": st.text(st.characters(codec="utf-8"), min_size=1, max_size=9),
            "owner": st.none() | WORDS,
            "shadow": WEIGHTS,
            "compare": COMPARE,
            "sticky": st.lists(st.sampled_from(["header:x", "jwt:sub", "entity", "client"]), unique=True),
        },
    )
)
def test_any_component_survives_the_way_there_and_back(values):
    component = parse_component(values, file="x.yaml")
    rules = RuleSet(epoch="e", version=1, who="", why="", at="", components={component.component: component})

    assert parse_rule_set(dump_rule_set(rules), "redis:rules") == rules


@given(COMPARE)
def test_rules_of_comparison_are_written_back_as_short_as_they_can_be(values):
    """What was said short stays short, so that a file and what is live differ in what they say and in nothing else."""
    route = {"/a": {"compare": values}}
    component = parse_component({"component": "users", "compare": values, "routes": route}, file="x.yaml")

    written = component.model_dump(mode="json", by_alias=True)
    said = json.loads(json.dumps(values).replace("Location", "location"))
    for name in ("ignore", "unordered", "tolerance", "equal_if"):
        for at, rule in _each(said.get(name)):
            kept = written["compare"][name][at]
            assert kept == rule or (isinstance(rule, dict) and rule == {**rule, **_long(name, kept)})
            assert written["routes"]["/a"]["compare"][name][at] == kept
    assert component.changed(compare=written["compare"]) == component


def _long(name, kept):
    """Return what a short rule means, as a file would say it."""
    if name == "tolerance":
        return {"relative" if isinstance(kept, str) else "absolute": kept}
    if kept is None:
        return {}
    return {{"ignore": "path", "unordered": "by", "equal_if": "as"}[name]: kept}


def _each(rules):
    return enumerate(rules or ()) if isinstance(rules, list) or rules is None else rules.items()


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"", "redis:rules is not JSON: "),
        (b"{half", "redis:rules is not JSON: "),
        (b"\xff\xfe", "redis:rules is not JSON: "),
        (b"NaN", "redis:rules is not JSON: "),
        (b"[" * 100_000, "redis:rules is not JSON: "),
        (b"[]", "redis:rules should be a JSON object, is a list"),
        (b"17", "redis:rules should be a JSON object, is 17"),
        (b"{}", "redis:rules should say its schema like `1.0`, says null"),
        (b'{"schema": true}', "redis:rules should say its schema like `1.0`, says true"),
        (b'{"schema": "new"}', "redis:rules should say its schema like `1.0`, says `new`"),
        (b'{"schema": "1.x"}', "redis:rules should say its schema like `1.0`, says `1.x`"),
        (b'{"schema": "-1"}', "redis:rules should say its schema like `1.0`, says `-1`"),
    ],
)
def test_what_is_no_document_of_ours_is_unreadable(raw, said):
    with pytest.raises(Unreadable) as error:
        parse_rule_set(raw, "redis:rules")

    assert str(error.value).startswith(said)
    assert isinstance(error.value, StoreError)


@pytest.mark.parametrize("schema", [2, "2", "2.0", "17.3"])
def test_a_newer_major_schema_is_refused_whole_whatever_else_it_says(schema):
    with pytest.raises(NewerSchema, match="upgrade before it can follow"):
        parse_rule_set(orjson.dumps({"schema": schema, "components": "in another shape"}), "redis:rules")


@pytest.mark.parametrize("schema", [1, "1", "1.0"])
def test_the_known_schema_may_be_said_in_three_ways(schema):
    assert parse_rule_set(altered(schema=schema), "redis:rules") == PUBLISHED


def test_unknown_keys_of_a_newer_minor_schema_are_left_out_everywhere():
    document = json.loads(dump_rule_set(PUBLISHED))
    document["schema"] = "1.7"
    document["added"] = {"by": "a newer build"}
    document["components"]["users"]["added"] = 1
    document["components"]["users"]["breaker"]["added"] = [1]
    document["components"]["users"]["routes"]["/api/users"]["added"] = None
    document["files"]["users"]["added"] = True

    assert parse_rule_set(orjson.dumps(document), "redis:rules") == PUBLISHED


def test_a_value_of_a_newer_minor_schema_that_is_not_understood_is_for_a_newer_build():
    users = {**GOLDEN["components"]["users"], "kind": "stream"}

    with pytest.raises(NewerSchema) as error:
        parse_rule_set(altered(schema="1.1", components={"users": users}), "redis:rules")

    assert str(error.value) == (
        "schema 1.1, this build knows 1.0: redis:rules: components.users.kind: "
        "should be plain, readonly or entity, is `stream`"
    )


def test_unknown_keys_of_the_known_schema_are_refused_with_a_suggestion():
    users = {**GOLDEN["components"]["users"], "phaze": "canary"}

    with pytest.raises(ConfigError) as error:
        parse_rule_set(altered(components={"users": users}, versio=3), "redis:rules")

    assert sorted(map(str, error.value.problems)) == [
        "redis:rules: components.users.phaze: unknown key; did you mean `phase`?",
        "redis:rules: versio: unknown key; did you mean `version`?",
    ]


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"version": 0}, "version: should be at least 1, is 0"),
        ({"version": "7"}, "version: should be a whole number, is `7`"),
        ({"epoch": ""}, "epoch: should be some text, is empty"),
        ({"components": []}, "components: should be a mapping, is a list"),
        ({"components": {"users": {**USERS, "weight": 300}}}, "components.users.weight: should be 0 to 100, is 300"),
        ({"components": {"user": USERS}}, "components.user.component: should be user, is `users`"),
        (
            {"components": {"users": {**USERS, "after": ["nobody"]}}},
            "components.users.after.0: no component is called `nobody`",
        ),
    ],
)
def test_a_poisoned_document_is_refused_with_the_place(values, problem):
    with pytest.raises(ConfigError) as error:
        parse_rule_set(altered(**values), "redis:rules")

    assert [str(each) for each in error.value.problems] == [f"redis:rules: {problem}"]


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        (
            {"components": {f"c{number}": {} for number in range(MOST_COMPONENTS + 1)}},
            f"components: should be at most {MOST_COMPONENTS}, are {MOST_COMPONENTS + 1}",
        ),
        (
            {"components": {"users": {**USERS, "routes": {f"/a/{number}": {} for number in range(MOST_ROUTES + 1)}}}},
            f"components: should have at most {MOST_ROUTES} routes, have {MOST_ROUTES + 1}",
        ),
        (
            {"components": {"users": {**USERS, "pin": [0] * MOST_VALUES}}},
            f"components.users: should have at most {MOST_VALUES} values",
        ),
        ({"origins": {"users": {"a": [0] * MOST_VALUES}}}, f"origins.users: should have at most {MOST_VALUES} values"),
        ({"accepts": ["e"] * MOST_VALUES}, f"should have at most {MOST_VALUES} values beside its components"),
        (
            {"components": {"users": {**USERS, "sticky": ["client"] * 21}}},
            "components.users.sticky: should be a list of at most 20, has 21",
        ),
    ],
)
def test_a_document_of_any_size_is_refused_before_it_is_looked_at_closely(values, problem, monkeypatch):
    monkeypatch.setattr("proxy.core.rules.check_components", lambda components: pytest.fail("looked at closely"))
    with pytest.raises(ConfigError) as error:
        parse_rule_set(altered(**values), "redis:rules")

    assert [str(each) for each in error.value.problems] == [f"redis:rules: {problem}"]


def test_of_very_many_problems_the_first_are_told_and_the_others_counted():
    """Wording a problem takes a while, and nobody reads the thousandth."""
    keys = {f"k{number}": 1 for number in range(5_000)}
    for values in ({"users": {**USERS, **keys}}, {f"c{number}": {"component": "X!"} for number in range(1_000)}):
        with pytest.raises(ConfigError) as error:
            parse_rule_set(altered(components=values), "redis:rules")
        assert len(error.value.problems) <= 2 * MOST_PROBLEMS
        assert "more" in str(error.value.problems[-1])


def test_values_of_files_and_origins_are_told_with_their_place():
    with pytest.raises(ConfigError) as error:
        parse_rule_set(
            altered(files={"users": {"hash": 1}}, origins={"users": {"weight": 1}, "chat": 5}), "redis:rules"
        )

    assert sorted(map(str, error.value.problems)) == [
        "redis:rules: files.users.hash: should be text (quote it), is 1",
        "redis:rules: files.users.hashes: is missing",
        "redis:rules: files.users.values: is missing",
        "redis:rules: origins.chat: should be a mapping, is 5",
        "redis:rules: origins.users.weight: should be a mapping, is 1",
    ]


def test_routes_that_clash_are_refused_in_the_document_too():
    other = {"component": "people", "routes": {"/api/users/{key}": {}}}

    with pytest.raises(ConfigError) as error:
        parse_rule_set(altered(components={"users": USERS, "people": other}), "redis:rules")

    assert [str(each) for each in error.value.problems] == [
        "redis:rules: components.people.routes./api/users/{key}: cannot be told apart from `/api/users/{id}` of users"
    ]


def test_a_document_that_asks_for_what_this_build_has_not_is_for_a_newer_one():
    users = {**USERS, "kind": "entity", "phase": "cutover"}

    with pytest.raises(NewerSchema, match=r"components\.users\.phase: `cutover` is not built yet"):
        parse_rule_set(altered(components={"users": users}), "redis:rules")


KEYS = st.sampled_from(["schema", "epoch", "version", "components", "users", "weight"])
SCALARS = st.none() | st.booleans() | st.integers() | st.text(max_size=5)
ANYTHING = st.recursive(SCALARS, lambda each: st.lists(each, max_size=3) | st.dictionaries(KEYS, each), max_leaves=8)


@given(ANYTHING)
def test_no_value_at_all_raises_anything_else(value):
    document = {**GOLDEN, **value} if isinstance(value, dict) else {**GOLDEN, "components": value}
    with contextlib.suppress(ConfigError, StoreError):
        parse_rule_set(json.dumps(document).encode("utf-8", "replace"), "redis:rules")


def test_the_record_of_a_file_keeps_the_values_as_they_were_parsed():
    rules = parse_rule_set(dump_rule_set(PUBLISHED), "redis:rules")

    assert rules.files == {"users": FileRecord(hash="0f", values=USERS, hashes=("0f",))}


def test_what_a_file_said_is_refused_when_it_is_nested_so_deeply_that_it_could_not_be_written_back():
    nested: object = 1
    for _ in range(200):
        nested = {"a": nested}
    record = {"hash": "h", "values": {"component": "users", "x": nested}, "hashes": []}
    published = orjson.loads(dump_rule_set(RuleSet(epoch="e", version=1, who="", why="", at="")))

    with pytest.raises(ConfigError, match="should be nested at most 64 levels deep"):
        parse_rule_set(orjson.dumps({**published, "files": {"users": record}}), "store")
