from __future__ import annotations

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.brief import MOST_TOLD
from proxy.core.heartbeats import Heard, heard

FACTS = {
    "connected": True,
    "alarms": [{"kind": "store_away", "why": "no answer", "component": None}],
    "refused_files": [{"component": "users", "file": "users.yaml", "problem": "users.yaml:2:9: weight"}],
    "skew": {"users": 0.5},
    "unclaimed": [["/api/x", 3]],
    "sides": {"users": "legacy"},
    "drifts": [{"component": "users", "file": None, "why": "no file"}],
    "of another build": [[1]],
}
FULL = {"version": 41, "epoch": "e", "lag_s": 1, "refusals": ["a"], "breakers": ["users/modern"], "facts": FACTS}


def said(value: object) -> Heard:
    return heard("replica:x", orjson.dumps(value))


def test_a_heartbeat_is_taken_with_what_other_builds_say_in_its_facts():
    found = said({**FULL, "what_is_this": 1})

    assert found.faults == () and found.values is not None
    assert {name: found.values[name] for name in FULL} == {
        **FULL, "refusals": ("a",), "breakers": ("users/modern",)
    }  # fmt: skip
    assert "what_is_this" not in found.values


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (b"", "is not JSON"),
        (b'{"lag_s": NaN}', "is not JSON"),
        (b"null", "should be a mapping, is null"),
        (b"[1]", "should be a mapping, is a list"),
        (b'"abc"', "should be a mapping, is `abc`"),
        (b'{"refusals": "ab"}', "refusals should be a list, is `ab`"),
        (b'{"refusals": null}', "refusals should be a list, is null"),
        (b'{"refusals": ["a", null]}', "refusals.1 should be text (quote it), is null"),
        (b'{"breakers": {"a": 1}}', "breakers should be a list, is a mapping"),
        (b'{"version": "1"}', "version should be a whole number, is `1`"),
        (b'{"version": true}', "version should be a whole number, is true"),
        (b'{"version": -1}', "version should be at least 0, is -1"),
        (b'{"version": 9223372036854775807}', "version should be at most 9007199254740992, is 9223372036854775807"),
        (b'{"emergencies": {"users": {"a": 1}}}', "emergencies.users should be text (quote it), is a mapping"),
        (b'{"facts": []}', "facts should be a mapping, is a list"),
        (b'{"host": ' + b"[" * 40 + b"]" * 40 + b"}", "is nested too deeply"),
    ],
)
def test_what_is_no_heartbeat_is_one_sentence_that_names_the_key(raw, why):
    assert heard("replica:x", raw) == Heard(None, (f"replica:x is no heartbeat: {why}",))


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("alarms", ["a", "b"], "facts.alarms.0 should be a mapping, is `a`"),
        ("alarms", "ab", "facts.alarms should be a list, is `ab`"),
        ("alarms", [{"kind": 1}], "facts.alarms.0.kind should be text (quote it), is 1"),
        ("alarms", [{"kind": "x", "why": None}], "facts.alarms.0.why should be text (quote it), is null"),
        ("refused_files", None, "facts.refused_files should be a list, is null"),
        ("skew", {"users": "x"}, "facts.skew.users should be a number, is `x`"),
        ("unclaimed", 5, "facts.unclaimed should be a list, is 5"),
        ("sides", [], "facts.sides should be a mapping, is a list"),
        ("drifts", [[]], "facts.drifts.0 should be a mapping, is a list"),
        ("connected", {}, "facts.connected should be true or false, is a mapping"),
    ],
)
def test_a_fact_that_nobody_could_have_meant_is_left_out_and_told(name, value, why):
    found = said({**FULL, "facts": {**FACTS, name: value}})

    assert found.faults == (f"replica:x is understood in part: {why}",)
    assert found.values is not None and found.values["version"] == 41
    assert found.values["facts"] == {each: fact for each, fact in FACTS.items() if each != name}


def test_names_and_texts_of_any_length_stay_short():
    (fault,) = heard("replica:" + "x" * 100_000, b'{"host": 1}').faults
    assert len(fault) < 300
    (fault,) = said({"emergencies": {"y" * 100_000: 1}}).faults
    assert len(fault) < 300
    found = said({"refusals": ["z" * 3_000] * 100, "host": "h" * 9_000})
    assert found.values is not None
    assert len(found.values["refusals"]) == MOST_TOLD + 1 and len(found.values["host"]) == 1_000


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**63 - 1) | st.floats(allow_nan=False) | st.text(max_size=9),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.sampled_from([*FULL, *FACTS, "x"]), below),
    max_leaves=12,
)


@given(JSON.filter(lambda value: value is not None))
def test_whatever_stands_there_is_a_heartbeat_or_a_sentence(value):
    try:
        raw = orjson.dumps(value)
    except TypeError:  # an integer that JSON of ours does not write
        return
    found = heard("replica:x", raw)
    assert found.values is not None or len(found.faults) == 1
    assert all(each.startswith("replica:x is ") and len(each) < 300 for each in found.faults)
