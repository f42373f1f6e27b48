"""Live values written back into rule files: what differs changes, every comment stays, and nothing is half written."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy import yamlfile
from proxy.core.errors import ConfigError, NotAllowed
from proxy.core.merge import ABSENT, Edit, apply_edits, differences, values_of
from proxy.core.rules import Component, parse_component
from proxy.rulefiles import read_folder
from proxy.rulewriting import edited, write_back, write_new

FILE = """\
# Users of the shop.

component: users   # never rename

weight: 25         # raise it slowly
sticky: [header:x-user-id, client]  # who is who

# They come first.
after:
  - first   # because
  - second  # as well

# All that they own.
routes:
  /api/users: {}
  /api/users/{id}: {entity: "{id}"}  # one of them
  'GET /api/users/export': {weight: 5}
fallback:
  # what counts as a failure
  on:
  - connect
  - 5xx
  budget_pct: 20
breaker: {error_pct: 50, slow_ms: 2000}
"""


def after(*edits: Edit, text: str = FILE) -> str:
    return edited(text, edits, "users.yaml")


def edit(path: str, new: object, old: object = None) -> Edit:
    return Edit(tuple(path.split("|")), old, new)


def changed_lines(before: str, now: str) -> list[str]:
    """Return the lines that are not in both texts, as a diff shows them."""
    old, new = before.splitlines(), now.splitlines()
    return [f"-{line}" for line in old if line not in new] + [f"+{line}" for line in new if line not in old]


def test_one_value_is_one_line():
    assert changed_lines(FILE, after(edit("weight", 50.0))) == [
        "-weight: 25         # raise it slowly",
        "+weight: 50         # raise it slowly",
    ]


@pytest.mark.parametrize(
    ("change", "lines"),
    [
        (edit("weight", 12.5), ["-weight: 25         # raise it slowly", "+weight: 12.5       # raise it slowly"]),
        (
            edit("breaker|slow_ms", 500),
            ["-breaker: {error_pct: 50, slow_ms: 2000}", "+breaker: {error_pct: 50, slow_ms: 500}"],
        ),
        (edit("fallback|budget_pct", 5), ["-  budget_pct: 20", "+  budget_pct: 5"]),
        (edit("phase", "off"), ["+phase: off"]),
        (edit("owner", None), ["+owner: null"]),
        (edit("breaker|observe_only", True), [
            "-breaker: {error_pct: 50, slow_ms: 2000}",
            "+breaker: {error_pct: 50, slow_ms: 2000, observe_only: true}",
        ]),
        (edit("compare|ignore", ["$.a", "$.b"]), ["+compare:", "+  ignore: [$.a, $.b]"]),
        (edit("routes|/api/users/{id}/{more...}", {}), ["+  /api/users/{id}/{more...}: {}"]),
        (edit("routes|GET /api/users/export|weight", ABSENT), [
            "-  'GET /api/users/export': {weight: 5}",
            "+  'GET /api/users/export': {}",
        ]),
        (edit("routes|/api/users/{id}|weight", 3), [
            '-  /api/users/{id}: {entity: "{id}"}  # one of them',
            '+  /api/users/{id}: {entity: "{id}", weight: 3} # one of them',
        ]),
    ],
)  # fmt: skip
def test_only_what_differs_is_touched(change, lines):
    assert changed_lines(FILE, after(change)) == lines


def test_a_list_keeps_the_comments_of_its_items_and_of_what_follows():
    now = after(edit("after", ["zeroth", "second", "third"]))

    assert changed_lines(FILE, now) == ["-  - first   # because", "+  - zeroth", "+  - third"]
    assert "\n\n# All that they own.\nroutes:\n" in now


def test_what_goes_takes_no_comment_of_others_with_it():
    now = after(edit("after", ABSENT), edit("sticky", ABSENT))

    assert yamlfile.parse(now, "f").problems == ()
    assert changed_lines(FILE, now) == [
        "-sticky: [header:x-user-id, client]  # who is who",
        "-after:",
        "-  - first   # because",
        "-  - second  # as well",
    ]
    assert "# They come first.\n" in now
    assert "\n# All that they own.\nroutes:\n" in now


def test_a_mapping_goes_with_the_last_of_its_values():
    now = after(edit("breaker|error_pct", ABSENT), edit("breaker|slow_ms", ABSENT))

    assert changed_lines(FILE, now) == ["-breaker: {error_pct: 50, slow_ms: 2000}"]


def test_a_route_stays_though_nothing_is_left_in_it():
    now = after(edit("routes|GET /api/users/export|weight", ABSENT))

    assert "GET /api/users/export" in now


def test_nothing_to_change_changes_nothing():
    assert after() == FILE
    assert after(edit("weight", 25.0)) == FILE


@pytest.mark.parametrize(
    "word", ["on", "012", "12:30", "1_000", "null", "true", "1e3", "", " x", "a: b", "#", "- x", "*a"]
)
def test_words_are_read_back_as_words(word):
    assert yamlfile.parse(after(edit("owner", word)), "f").values["owner"] == word


def test_crlf_and_the_byte_order_mark_stay():
    now = after(edit("weight", 50), text="\ufeff" + FILE.replace("\n", "\r\n"))

    assert now == "\ufeff" + FILE.replace("25", "50").replace("\n", "\r\n")


def test_the_indentation_stays():
    text = "component: users\nbreaker:\n    slow_ms: 100   # ms\n    open_s: 5\nsticky:\n    -   client\n"

    assert after(edit("breaker|open_s", 9), text=text) == text.replace("open_s: 5", "open_s: 9")


def test_a_file_without_values_gets_them():
    assert after(edit("component", "users"), text="# to be done\n") == "# to be done\ncomponent: users\n"


def test_a_file_that_is_no_yaml_is_left_alone():
    with pytest.raises(ConfigError, match=r"users.yaml:2:9: weight: 012 is octal"):
        after(edit("weight", 50), text="component: users\nweight: 012\n")


def test_a_value_that_two_keys_share_is_not_changed_for_both():
    text = "component: users\ncompare: {ignore: &l [$.a]}\nx: &a {b: 1}\ny: *a\n"

    with pytest.raises(NotAllowed, match="cannot be edited by machine"):
        after(edit("y|b", 2), text=text)


RULES = """\
component: users
compare:
  # what is never the same
  ignore:
    - $.updated_at            # a trigger writes it
    - {path: $.etag, why: "made anew", until: 2027-01-31}   # ask ana
    - path: $.build
      until: 2027-01-31T12:00:00Z   # the next release
  unordered:
    $.roles: null             # a set
    $.items: {by: $.id, until: 2027-01-31}
  tolerance:
    $.score: 0.001            # float
    $.share:
      relative: 1%            # of the larger one
      why: rounded
"""
ETAG = {"path": "$.etag", "why": "made anew", "until": "2027-01-31"}
BUILD = {"path": "$.build", "until": "2027-01-31T12:00:00Z"}


@pytest.mark.parametrize(
    ("change", "lines"),
    [
        (edit("compare|ignore", ["$.updated_at", ETAG, BUILD, "$.new"]), ["+    - $.new"]),
        (
            edit("compare|ignore", ["$.updated_at", ETAG, BUILD, {"path": "$.new", "until": "2028-02-29"}]),
            ["+    - {path: $.new, until: 2028-02-29}"],
        ),
        (edit("compare|ignore", [ETAG, BUILD]), ["-    - $.updated_at            # a trigger writes it"]),
        (
            edit("compare|ignore", ["$.updated_at", {**ETAG, "until": "2027-02-28"}, BUILD]),
            [
                '-    - {path: $.etag, why: "made anew", until: 2027-01-31}   # ask ana',
                '+    - {path: $.etag, why: "made anew", until: 2027-02-28}   # ask ana',
            ],
        ),
        (
            edit("compare|ignore", ["$.updated_at", ETAG, {"path": "$.build", "until": "2027-03-01"}]),
            [
                "-      until: 2027-01-31T12:00:00Z   # the next release",
                "+      until: 2027-03-01             # the next release",
            ],
        ),
        (
            edit("compare|unordered|$.items", {"by": "$.id", "until": "2028-01-31"}),
            ["-    $.items: {by: $.id, until: 2027-01-31}", "+    $.items: {by: $.id, until: 2028-01-31}"],
        ),
        (
            edit("compare|unordered|$.items", "$.key"),
            ["-    $.items: {by: $.id, until: 2027-01-31}", "+    $.items: $.key"],
        ),
        (
            edit("compare|unordered|$.roles", {"why": "a set"}),
            ["-    $.roles: null             # a set", "+    $.roles: {why: a set}     # a set"],
        ),
        (
            edit("compare|tolerance|$.share", {"relative": "2%", "why": "rounded"}),
            [
                "-      relative: 1%            # of the larger one",
                "+      relative: 2%            # of the larger one",
            ],
        ),
        (edit("compare|tolerance|$.share", {"relative": "1%"}), ["-      why: rounded"]),
        (edit("compare|tolerance|$.new", "0.5 %"), ["+    $.new: 0.5 %"]),
        (edit("compare|equal_if|$.at", {"as": "uuid", "until": "2027-03-01"}), [
            "+  equal_if:", "+    $.at: {as: uuid, until: 2027-03-01}",
        ]),
    ],
)  # fmt: skip
def test_one_rule_of_comparison_is_one_change(change, lines):
    assert sorted(changed_lines(RULES, after(change, text=RULES))) == sorted(lines)


# Whatever is live, pulling it makes the file say it.

COMPONENTS = st.fixed_dictionaries(
    {"component": st.just("users")},
    optional={
        "weight": st.integers(0, 10_000).map(lambda steps: steps / 100),
        "owner": st.text(st.characters(max_codepoint=0x2FF, exclude_categories=["C"]), max_size=6),
        "phase": st.sampled_from(["off", "canary", None]),
        "after": st.lists(st.sampled_from(["a", "b", "c"]), unique=True),
        "cohort": st.sampled_from(["users", "journey", "on"]),
        "sticky": st.lists(st.sampled_from(["client", "entity", "cookie:on", "jwt:sub"]), unique=True),
        "pin": st.lists(st.just({"header": "x-tenant", "in": ["acme", "012"], "side": "modern"}), max_size=2),
        "routes": st.dictionaries(
            st.sampled_from(["/api/users", "GET /api/users/{id}", "/api/users/{rest...}"]),
            st.sampled_from([{}, {"weight": 5}, {"affects": ["users"]}, {"timeouts": {"head_s": 2}}]),
        ),
        "breaker": st.sampled_from([{}, {"slow_ms": 5}, {"slow_ms": 6, "observe_only": True}]),
        "timeouts": st.sampled_from([None, {"head_s": 3}]),
        "shadow": st.integers(0, 10_000).map(lambda steps: steps / 100),
        "compare": st.fixed_dictionaries(
            {},
            optional={
                "ignore": st.lists(
                    st.sampled_from(
                        ["$.a", "$.b", {"path": "$.a", "until": "2027-01-31"}, {"path": "$.b", "why": "on"}]
                    ),
                    max_size=3,
                ),
                "unordered": st.dictionaries(
                    st.sampled_from(["$.a", "$..b[*]"]),
                    st.sampled_from([None, "$.id", {"why": "yes"}, {"by": "$.id", "until": "2027-01-31T12:00:00Z"}]),
                ),
                "tolerance": st.dictionaries(
                    st.sampled_from(["$.a", "$['a b']", "$.items[?@.x > 1].y"]),
                    st.sampled_from([1, 0.5, "1%", "0.5 %", {"absolute": 1, "relative": "1%"}, {"absolute": 1}]),
                ),
                "equal_if": st.dictionaries(
                    st.just("$.a"), st.sampled_from(["case", {"as": "uuid"}, {"as": "uuid", "why": "2027-01-31"}])
                ),
                "headers": st.lists(st.sampled_from(["content-type", "Location"]), max_size=2),
                "status": st.sampled_from(["exact", "class"]),
                "reveal": st.lists(st.sampled_from(["$.a", "$.b"]), max_size=2),
            },
        ),
        "fallback": st.sampled_from([{"on": ["connect", 503]}, {"budget_pct": 0.5}]),
    },
)


def component(values: dict[str, object]) -> Component:
    return parse_component(values, file="users.yaml")


@settings(max_examples=40, deadline=None)
@given(COMPONENTS, COMPONENTS)
def test_what_was_pulled_says_what_is_live(in_file, live):
    folder = component(in_file)
    text = "# kept\n" + _block(values_of(folder))
    edits = differences(folder, component(live))

    now = edited(text, edits, "users.yaml")

    assert component(yamlfile.parse(now, "f").values) == component(live)
    assert now.startswith("# kept\n")


def _block(values: dict[str, object]) -> str:
    import json

    return "".join(f"{key}: {json.dumps(value, ensure_ascii=False)}\n" for key, value in values.items())


# Files.


def test_a_file_is_replaced_at_once_with_its_mode(tmp_path):
    path = tmp_path / "users.yaml"
    path.write_text(FILE)
    path.chmod(0o640)

    assert write_back(path, [edit("weight", 50)])

    assert path.read_text() == after(edit("weight", 50))
    assert path.stat().st_mode & 0o777 == 0o640
    assert os.listdir(tmp_path) == ["users.yaml"]


def test_a_file_that_says_it_already_is_not_touched(tmp_path):
    path = tmp_path / "users.yaml"
    path.write_text(FILE)
    before = path.stat()

    assert not write_back(path, [edit("weight", 25)])
    assert path.stat() == before


def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "u.yaml").write_text(FILE)
    (tmp_path / "users.yaml").symlink_to("real/u.yaml")

    write_back(tmp_path / "users.yaml", [edit("weight", 50)])

    assert (tmp_path / "users.yaml").is_symlink()
    assert "weight: 50" in (tmp_path / "real" / "u.yaml").read_text()


@pytest.mark.parametrize("name", ["gone.yaml", "folder.yaml", "bytes.yaml"])
def test_a_file_that_cannot_be_read_is_named(tmp_path, name):
    (tmp_path / "folder.yaml").mkdir()
    (tmp_path / "bytes.yaml").write_bytes(b"\xff")

    with pytest.raises(NotAllowed, match=f"{name} cannot be read"):
        write_back(tmp_path / name, [edit("weight", 50)])


def test_a_new_file_is_read_as_what_it_was_made_from(tmp_path):
    routes = {"/a": {}, "/b": {"weight": 1}}
    full = component({"component": "users", "weight": 12.5, "owner": "on", "sticky": ["client"], "routes": routes})
    write_new(tmp_path / "users.yaml", values_of(full))

    assert read_folder(tmp_path).components == {"users": full}
    with pytest.raises(NotAllowed, match="is there already"):
        write_new(tmp_path / "users.yaml", values_of(full))


def test_a_new_file_in_no_folder_is_refused(tmp_path):
    with pytest.raises(NotAllowed, match="cannot be written: No such file or directory"):
        write_new(tmp_path / "none" / "users.yaml", {"component": "users"})


def test_the_examples_can_be_edited(tmp_path):
    rules = Path(__file__).parent.parent / "rules"
    for file in read_folder(rules).files.values():
        text = file.path.read_text()
        change = edit("weight", 5)

        now = edited(text, [change], file.name)

        assert len(changed_lines(text, now)) == 2
        assert yamlfile.parse(now, "f").values == apply_edits(yamlfile.parse(text, "f").values, [change])
