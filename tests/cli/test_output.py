from __future__ import annotations

import json

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy import yamlfile
from proxy.cli.output import Format, emit, put, say, yaml_lines

WORDS = st.text(max_size=12) | st.sampled_from(
    ["on", "null", "1e-9", "012", "12:30", "a b", "- x", "#", "x: y", "~", "0x1"]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**50), 2**50) | st.floats(allow_nan=False, allow_infinity=False) | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=8,
)


@given(VALUES)
def test_what_is_printed_as_yaml_reads_back_as_the_same_values(value):
    document = {"value": json.loads(json.dumps(value))}

    read = yamlfile.parse("\n".join(yaml_lines(document)), "stdout")

    assert not read.problems
    assert read.values == document


def test_words_stand_plain_and_everything_doubtful_is_quoted():
    document = {"who": "ana@host", "why": "5 % looks: good", "none": {}, "list": [{"a": 1, "b": [2, 3]}]}

    assert "\n".join(yaml_lines(document)) == "\n".join(
        ["who: ana@host", 'why: "5 % looks: good"', "none: {}", "list:", "  - a: 1", "    b:", "      - 2", "      - 3"]
    )


@pytest.mark.parametrize(
    ("form", "printed"),
    [(Format.JSON, '{\n  "a": 1\n}\n'), (Format.YAML, "a: 1\n"), (Format.TABLE, "a table\n")],
)
def test_data_goes_to_stdout_in_the_form_asked_for(capsys, form, printed):
    emit({"a": 1}, form, lambda: put("a table"))

    assert capsys.readouterr().out == printed


def test_talk_goes_to_stderr(capsys):
    say("done")

    assert capsys.readouterr() == ("", "done\n")


def test_what_steers_a_terminal_is_never_sent(capsys):
    say("bad \x1b[2J\n")
    emit({"who": "\x9b2J\x7f\x1b"}, Format.JSON, list)

    captured = capsys.readouterr()
    assert captured.err == "bad \\x1b[2J\n"
    assert orjson.loads(captured.out) == {"who": "\x9b2J\x7f\x1b"}
    assert captured.out.isascii()
    assert "\x7f" not in captured.out
