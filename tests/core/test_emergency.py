from __future__ import annotations

import pytest

from proxy.core.brief import MOST_TOLD, NAME_CHARACTERS
from proxy.core.emergency import HINTS, Emergency, emergency_values, interpret, read_emergency, still_heeded
from proxy.core.model import Component, Side
from proxy.core.problems import Alarm


def component(name="users", **values):
    return Component.model_validate({"component": name, **values})


CANARY = {"weight": 25}
CUTOVER = {"kind": "entity", "phase": "cutover"}
RETIRED = {"phase": "retired"}


def meaning(keys, components, file=None):
    read = {name: read_emergency(raw) for name, raw in keys.items()}
    return interpret(
        read,
        {name: component(name, **values) for name, values in components.items()},
        None if file is None else {name: read_emergency(raw) for name, raw in file.items()},
    )


@pytest.mark.parametrize(
    ("raw", "side"),
    [
        (b"legacy", Side.LEGACY),
        (b"modern", Side.MODERN),
        ("modern", Side.MODERN),
        (b" Legacy \r\n", Side.LEGACY),
        (b"MODERN", Side.MODERN),
        (b"lgacy", None),
        (b"legacy;modern", None),
        (b"", None),
        (b"\xff\xfe", None),
    ],
)
def test_a_value_is_trimmed_and_taken_in_any_case(raw, side):
    assert read_emergency(raw).side is side


def test_a_value_is_kept_as_it_was_found_with_its_time():
    assert read_emergency(b" Legacy ", 1500) == Emergency(Side.LEGACY, " Legacy ", 1500)
    assert read_emergency(b"\xff").raw == "�"


@pytest.mark.parametrize(
    ("values", "raw", "side", "alarms"),
    [
        ({}, "legacy", Side.LEGACY, []),
        ({}, "modern", None, ["emergency_ignored"]),
        ({"phase": "shadow"}, "modern", None, ["emergency_ignored"]),
        ({"kind": "entity", "phase": "backfill"}, "modern", None, ["emergency_ignored"]),
        (CANARY, "legacy", Side.LEGACY, []),
        (CANARY, "modern", Side.MODERN, []),
        (CANARY, "lgacy", Side.LEGACY, ["emergency_unreadable"]),
        ({}, "lgacy", Side.LEGACY, ["emergency_unreadable"]),
        (CUTOVER, "legacy", Side.LEGACY, []),
        (CUTOVER, "modern", Side.MODERN, []),
        (CUTOVER, "lgacy", None, ["emergency_unreadable", "emergency_ignored"]),
        (RETIRED, "legacy", None, ["emergency_ignored"]),
        (RETIRED, "modern", None, ["emergency_ignored"]),
        (RETIRED, "lgacy", None, ["emergency_unreadable", "emergency_ignored"]),
    ],
)
def test_what_an_emergency_of_its_own_means_in_each_phase(values, raw, side, alarms):
    found = meaning({"users": raw}, {"users": values})

    assert found.sides == ({} if side is None else {"users": side})
    assert [alarm.kind for alarm in found.alarms] == alarms
    assert all(alarm.component == "users" for alarm in found.alarms)


def test_an_emergency_for_all_concerns_those_that_can_heed_it():
    components = {"a": {}, "b": CANARY, "c": CUTOVER, "d": RETIRED}

    to_legacy = meaning({"all": "legacy"}, components)
    to_modern = meaning({"all": "modern"}, components)

    assert to_legacy.sides == {"a": Side.LEGACY, "b": Side.LEGACY, "c": Side.LEGACY}
    assert to_modern.sides == {"b": Side.MODERN, "c": Side.MODERN}
    assert [alarm.component for alarm in to_legacy.alarms] == ["d"]
    assert [alarm.component for alarm in to_modern.alarms] == ["d"]


@pytest.mark.parametrize(
    ("store", "file", "side"),
    [
        ({}, {}, None),
        ({"users": "modern", "all": "legacy"}, {}, Side.MODERN),
        ({"all": "legacy"}, {}, Side.LEGACY),
        ({}, {"users": "legacy"}, Side.LEGACY),
        ({}, {"users": "modern", "all": "legacy"}, Side.MODERN),
        ({"users": "modern"}, {"users": "legacy"}, Side.MODERN),
        ({"all": "modern"}, {"users": "legacy"}, Side.MODERN),
        ({"chats": "modern"}, {"users": "legacy"}, Side.LEGACY),
        ({"users": "lgacy", "all": "modern"}, {}, Side.LEGACY),
    ],
)
def test_a_key_of_its_own_beats_all_and_the_store_beats_the_file(store, file, side):
    found = meaning(store, {"users": CANARY, "chats": CANARY}, file)

    assert found.sides.get("users") is side


def test_without_an_emergency_there_is_nothing():
    assert meaning({}, {"users": CANARY}).sides == {}
    assert meaning({"chats": "legacy"}, {"users": CANARY, "chats": CANARY}).sides == {"chats": Side.LEGACY}


@pytest.mark.parametrize(
    ("key", "raw", "alarm"),
    [
        (
            "user",
            "legacy",
            Alarm(
                "emergency_unknown_component",
                "emergency:user: no component is called so; did you mean `users`?",
                "user",
            ),
        ),
        (
            "al",
            "legacy",
            Alarm("emergency_unknown_component", "emergency:al: no component is called so; did you mean `all`?", "al"),
        ),
        (
            "users",
            "lgacy",
            Alarm(
                "emergency_unreadable",
                "emergency:users should be legacy or modern, is `lgacy`: it counts as legacy before cutover; "
                "did you mean `legacy`?",
                "users",
            ),
        ),
        (
            "users",
            "Off",
            Alarm(
                "emergency_unreadable",
                "emergency:users should be legacy or modern, is `Off`: it counts as legacy before cutover; "
                "to end it, delete the key (`banyan emergency users off`)",
                "users",
            ),
        ),
        (
            "all",
            "",
            Alarm(
                "emergency_unreadable",
                "emergency:all should be legacy or modern, is empty: it counts as legacy before cutover; "
                "to end it, delete the key (`banyan emergency all off`)",
                "all",
            ),
        ),
    ],
)
def test_a_slip_raises_an_alarm_with_a_suggestion(key, raw, alarm):
    assert meaning({key: raw}, {"users": CANARY}).alarms == (alarm,)


def test_an_ignored_emergency_says_why():
    assert [alarm.why for alarm in meaning({"a": "modern", "b": "legacy"}, {"a": {}, "b": RETIRED}).alarms] == [
        "emergency:a = modern is ignored: a is in off, modern is heeded from canary on",
        "emergency:b = legacy is ignored: b is retired, legacy gets no request of it any more",
    ]


def test_a_slip_in_the_file_raises_an_alarm_too():
    found = meaning({}, {"users": CANARY}, {"user": "legacy", "users": "lgacy"})

    assert [alarm.kind for alarm in found.alarms] == ["emergency_unreadable", "emergency_unknown_component"]
    assert found.sides == {"users": Side.LEGACY}


def test_many_unknown_keys_are_no_slips_and_get_no_suggestions():
    """Each comparison takes long, and this runs with every look at the store."""
    alarms = meaning({f"user{number}": b"legacy" for number in range(200)}, {"users": CANARY}).alarms

    assert sum("did you mean `users`?" in alarm.why for alarm in alarms) == HINTS
    assert len(alarms) == MOST_TOLD + 1
    assert alarms[-1] == Alarm("more_alarms", "… and 150 more")


def test_no_number_of_unknown_keys_hides_what_concerns_a_component():
    keys = {f"x{number}": b"legacy" for number in range(20_000)} | {"users": b"lgacy", "old": b"legacy"}
    alarms = meaning(keys, {"users": CANARY, "old": RETIRED}).alarms

    assert [(alarm.kind, alarm.component) for alarm in alarms[:2]] == [
        ("emergency_unreadable", "users"),
        ("emergency_ignored", "old"),
    ]
    assert alarms[-1].why == "… and 19,952 more"


def test_keys_and_values_of_any_length_are_told_shortly():
    keys = {"x" * 5_000: b"y" * 5_000, "users": b"z" * 5_000}
    for alarm in meaning(keys, {"users": CANARY}).alarms:
        assert len(alarm.why) < 300 and len(alarm.component or "") <= NAME_CHARACTERS
    told = emergency_values({name: read_emergency(raw) for name, raw in keys.items()})
    assert [(len(name), len(raw)) for name, raw in told.items()] == [(NAME_CHARACTERS, NAME_CHARACTERS), (5, 100)]
    many = {f"x{number}": read_emergency(b"legacy") for number in range(500)}
    assert len(emergency_values(many)) == MOST_TOLD


@pytest.mark.parametrize(
    ("ended", "left", "says"),
    [
        ("users", {}, ()),
        ("users", {"chats": "legacy"}, ()),
        (
            "users",
            {"all": "legacy"},
            ("users still goes to legacy by emergency:all; `banyan emergency all off` ends that",),
        ),
        ("users", {"all": "modern"}, ()),  # it heeds that from canary on
        ("all", {"users": "legacy"}, ("users still goes to legacy by emergency:users",)),
        ("all", {"nobody": "legacy"}, ()),
    ],
)
def test_what_still_holds_once_an_emergency_has_ended_is_said(ended, left, says):
    keys = {name: read_emergency(raw) for name, raw in left.items()}

    assert still_heeded(ended, keys, {name: component(name) for name in ("users", "chats")}) == says
