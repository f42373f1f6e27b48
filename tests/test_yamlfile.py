"""YAML: 1.2 scalars, the place of every node, and what has two meanings refused with its place."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.core.errors import Position
from proxy.core.problems import KEY
from proxy.yamlfile import BYTES_LIMIT, load, parse, parse_scalar


def values(text: str) -> object:
    document = parse(text, "f.yaml")
    assert document.problems == ()
    return document.values


def problems(text: str) -> list[str]:
    return [str(problem) for problem in parse(text, "f.yaml").problems]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("on", "on"), ("off", "off"), ("yes", "yes"), ("No", "No"), ("y", "y"), ("n", "n"),
        ("true", True), ("True", True), ("FALSE", False), ("tRUE", "tRUE"),
        ("null", None), ("~", None), ("Null", None), ("nil", "nil"), ("none", "none"),
        ("12", 12), ("-3", -3), ("+4", 4), ("0", 0), ("0o12", 10), ("0xff", 255), ("-0", 0),
        ("1.5", 1.5), ("1e-9", 1e-9), ("1E3", 1000.0), (".5", 0.5), ("1.", 1.0), ("-1.5e+2", -150.0),
        (".inf", math.inf), ("-.INF", -math.inf), ("1e", "1e"), ("e9", "e9"), (".", "."), ("+", "+"),
        ("2024-01-31", "2024-01-31"), ("2024-01-31T10:00:00Z", "2024-01-31T10:00:00Z"),
        ("127.0.0.1:8080", "127.0.0.1:8080"), ("8080:80", "8080:80"), ("1,000", "1,000"), ("1.2.3", "1.2.3"),
        ("=", "="), ("0b12", "0b12"), ("0xyz", "0xyz"), ("9" * 500, "9" * 500),
    ],
)  # fmt: skip
def test_scalars_are_those_of_yaml_1_2(text, value):
    assert values(f"a: {text}") == {"a": value}
    assert parse_scalar(text) == value


def test_not_a_number_is_a_number():
    assert math.isnan(values("a: .nan")["a"])


@pytest.mark.parametrize("text", ["'on'", '"12"', "'012'", '"12:30"', "'null'", "|\n  12", ">-\n  12"])
def test_what_is_quoted_is_a_word(text):
    assert isinstance(values(f"a: {text}\n")["a"], str)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("012", "octal in old YAML, decimal in new; leave out the leading zero, or quote it"),
        ("-012", "octal in old YAML, decimal in new; leave out the leading zero, or quote it"),
        ("00", "octal in old YAML, decimal in new; leave out the leading zero, or quote it"),
        ("08", "octal in old YAML, decimal in new; leave out the leading zero, or quote it"),
        ("12:30", "base 60 in old YAML, a word in new; quote it"),
        ("1:02:03.5", "base 60 in old YAML, a word in new; quote it"),
        ("1_000", "a number in old YAML, a word in new; leave out the `_`, or quote it"),
        ("0b101", "a number in old YAML, a word in new; quote it"),
    ],
)
def test_what_has_two_meanings_is_refused(text, why):
    assert problems(f"a:\n  b: {text}\n") == [f"f.yaml:2:6: a.b: {text} is {why}"]


def test_every_problem_of_a_text_is_told_at_once():
    text = "a: 012\nb: 12:30\na: 3\n1: x\n? [q]\n: 2\n<<: {c: 1}\nd: !!str 3\ne: *no\nf: &f [*f]\n"

    assert problems(text) == [
        "f.yaml:1:4: a: 012 is octal in old YAML, decimal in new; leave out the leading zero, or quote it",
        "f.yaml:2:4: b: 12:30 is base 60 in old YAML, a word in new; quote it",
        "f.yaml:3:1: a: stands here twice; the first is in line 1",
        "f.yaml:4:1: a key must be a word, is 1; quote it",
        "f.yaml:5:3: a key must be a word, is a list or mapping; quote it",
        "f.yaml:7:1: <<: merge keys are not YAML 1.2; write the keys out, or put them into _defaults.yaml",
        "f.yaml:8:4: d: tags (!!str) are not used here; quote a text instead",
        "f.yaml:9:4: e: no anchor &no stands before it",
        "f.yaml:10:8: f.0: *f stands inside itself",
    ]


def test_what_is_wrong_leaves_the_rest_to_be_checked():
    document = parse("a: 012\na: 3\nb: x\n", "f.yaml")

    assert document.values == {"a": 12, "b": "x"}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: 1\n\tb: 2\n", "2:1: no YAML: a tab cannot indent YAML; use spaces"),
        ("\t- x", "1:1: no YAML: a tab cannot indent YAML; use spaces"),
        ("a: @x", "1:4: no YAML: a word cannot begin with @; quote it"),
        ("a: `x`", "1:4: no YAML: a word cannot begin with `; quote it"),
        ("a: %x", "1:4: no YAML: a word cannot begin with %; quote it"),
        (
            "a: b: c",
            "1:5: no YAML: no `key: value` can stand here; quote the text before the colon, or look at the indentation",
        ),
        ("a: 1\n---\nb: 2\n", "2:1: a second document; one file holds one"),
        ("b: 1\na: x\x01\n", "2:5: the character U+0001 may not stand in YAML"),
        ("[" * 3000, "1:42: 0: nested deeper than 40 levels"),
    ],
)
def test_a_text_that_is_no_yaml_says_where(text, problem):
    document = parse(text, "f.yaml")

    assert [str(each) for each in document.problems] == [f"f.yaml:{problem}"]
    assert document.values is None


@pytest.mark.parametrize("text", ["a: [1\nb: 2", 'a: "x', "- a\nb: 1", "a: {b", "%YAML 3.0\n---\na: 1", "a: \ud800"])
def test_any_other_syntax_error_is_one_problem(text):
    assert len(problems(text)) == 1


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n", "\ufeff", "~", "\n\r\n"])
def test_an_empty_text_has_no_value(text):
    assert values(text) is None


def test_byte_order_mark_crlf_and_a_1_1_directive_are_no_matter():
    assert values("\ufeff%YAML 1.1\r\n---\r\na: on\r\nb: x\r\n") == {"a": "on", "b": "x"}


def test_every_node_and_key_has_a_place():
    document = parse("a: b #c\nb: {c: [1, {d: e}]}\n", "f")

    assert {path: (at.line, at.column) for path, at in document.positions.items()} == {
        (): (1, 1),
        ("a", KEY): (1, 1), ("a",): (1, 4),
        ("b", KEY): (2, 1), ("b",): (2, 4),
        ("b", "c", KEY): (2, 5), ("b", "c"): (2, 8),
        ("b", "c", 0): (2, 9), ("b", "c", 1): (2, 12),
        ("b", "c", 1, "d", KEY): (2, 13), ("b", "c", 1, "d"): (2, 16),
    }  # fmt: skip


def test_columns_count_characters():
    assert parse("ä: {ö: €, x: 1}\n", "f").positions["ä", "x"] == Position("f", 1, 14)


def test_an_alias_stands_for_its_anchor():
    document = parse("a: &a {b: [1]}\nc: *a\nd: *a\n", "f")

    assert document.values == {"a": {"b": [1]}, "c": {"b": [1]}, "d": {"b": [1]}}
    assert document.positions["c", "b", 0] == Position("f", 1, 12)
    assert isinstance(document.values, dict)
    assert document.values["c"] is not document.values["d"]


def test_an_anchor_bomb_is_bounded():
    lines = ["a0: &a0 [x, x]"] + [f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 64)]

    (problem,) = problems("\n".join(lines))

    assert problem.endswith("more than 50000 values once all aliases are written out")


def test_a_chain_of_aliases_is_bounded():
    lines = ["a0: &a0 x"] + [f"a{n}: &a{n} [*a{n - 1}]" for n in range(1, 200)]

    (problem,) = problems("\n".join(lines))

    assert problem.endswith("nested deeper than 40 levels")


TEXT = st.text(st.characters(max_codepoint=0xD7FF), max_size=12)  # libyaml reads no pairs of surrogates
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=60, deadline=None)
@given(JSON)
def test_json_is_yaml(value):
    document = parse(json.dumps(value), "f")

    assert document.problems == ()
    assert document.values == value


@settings(max_examples=60, deadline=None)
@given(st.text(alphabet=st.sampled_from("ab:-?[]{}#&*!|>'\"%@`, \n\t\r\ufeff01.xe~<"), max_size=40))
def test_nothing_in_a_text_raises(text):
    parse(text, "f")


@settings(max_examples=60, deadline=None)
@given(st.text(alphabet="ab:- \n[]{},'1", max_size=40))
def test_words_and_structure_are_those_of_pyyaml(text):
    """Where neither scalars nor duplicate keys differ, an independent reader sees the same."""
    document = parse(text, "f")
    if document.problems:
        return

    assert document.values == _as_words(yaml.compose(text, Loader=yaml.SafeLoader))


def _as_words(node: yaml.Node | None) -> object:
    if node is None:
        return None
    if isinstance(node, yaml.ScalarNode):
        return parse_scalar(node.value) if node.style is None else node.value
    if isinstance(node, yaml.SequenceNode):
        return [_as_words(each) for each in node.value]
    return {_as_words(key): _as_words(value) for key, value in node.value}


# Files.


def test_a_file_is_read_with_its_name(tmp_path):
    (tmp_path / "f.yaml").write_bytes("\ufeffa: ü\r\n".encode())

    assert load(tmp_path / "f.yaml", "f.yaml").values == {"a": "ü"}


def test_a_file_that_is_not_utf_8_says_where(tmp_path):
    (tmp_path / "f.yaml").write_bytes(b"a: 1\nb: \xfc\n")
    (tmp_path / "utf16.yaml").write_bytes("a: 1\n".encode("utf-16"))

    assert [str(each) for each in load(tmp_path / "f.yaml", "f.yaml").problems] == [
        "f.yaml:2:4: is not UTF-8: byte 0xfc; save it as UTF-8"
    ]
    assert [str(each) for each in load(tmp_path / "utf16.yaml", "utf16.yaml").problems] == [
        "utf16.yaml:1:1: is not UTF-8: byte 0xff; save it as UTF-8"
    ]


def test_what_cannot_be_read_is_a_problem_of_the_file(tmp_path):
    (tmp_path / "folder.yaml").mkdir()
    (tmp_path / "link.yaml").symlink_to("nowhere")
    (tmp_path / "circle.yaml").symlink_to("circle.yaml")
    (tmp_path / "large.yaml").write_bytes(b"#" * (BYTES_LIMIT + 1))
    os.mkfifo(tmp_path / "pipe.yaml")
    (tmp_path / "to-pipe.yaml").symlink_to("pipe.yaml")

    names = ("folder.yaml", "link.yaml", "circle.yaml", "large.yaml", "pipe.yaml", "to-pipe.yaml")

    assert [str(load(tmp_path / name, name).problems[0]) for name in names] == [
        "folder.yaml: cannot be read: Is a directory",
        "link.yaml: cannot be read: No such file or directory",
        "circle.yaml: cannot be read: Too many levels of symbolic links",
        "large.yaml: is larger than 1024 KiB",
        "pipe.yaml: is no regular file",
        "to-pipe.yaml: is no regular file",
    ]


def test_a_pipe_that_is_meant_is_read():
    reader, writer = os.pipe()
    os.write(writer, b"a: 1\n")
    os.close(writer)

    assert load(Path(f"/dev/fd/{reader}"), "pipe", pipes=True).values == {"a": 1}
    os.close(reader)
