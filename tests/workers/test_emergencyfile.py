"""The emergency file: read, watched, and never a reason to forget what was understood before."""

from __future__ import annotations

import asyncio
import os

import pytest
import structlog

from proxy.core.emergency import Emergency, interpret, read_emergency
from proxy.core.errors import ConfigError
from proxy.core.rules import Component, Side
from proxy.workers.emergencyfile import EmergencyFile, read_emergency_file
from tests.waiting import until


def legacy(at: str) -> Emergency:
    return read_emergency("legacy", at=f"emergency.yaml:{at}")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", {}),
        (
            "users: legacy\nall: modern\n",
            {"users": legacy("1:8"), "all": read_emergency("modern", at="emergency.yaml:2:6")},
        ),
        ('{"users": "legacy"}', {"users": legacy("1:11")}),
        ("{users: }", {"users": read_emergency("", at="emergency.yaml:1:9")}),
        ("users: lgacy\n", {"users": read_emergency("lgacy", at="emergency.yaml:1:8")}),
    ],
)
def test_it_says_component_and_side_in_yaml_or_json(tmp_path, text, says):
    path = tmp_path / "emergency.yaml"
    path.write_text(text)
    assert read_emergency_file(path) == says


def test_no_file_says_nothing(tmp_path):
    assert read_emergency_file(tmp_path / "none.yaml") == {}


@pytest.mark.parametrize("text", ["users: legacy\nusers: modern\n", "- users\n", "{half"])
def test_what_cannot_be_understood_is_refused_with_its_place(tmp_path, text):
    path = tmp_path / "emergency.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as refused:
        read_emergency_file(path)
    assert str(refused.value).startswith("emergency.yaml")


async def test_a_change_is_handed_on_and_a_broken_file_leaves_what_was_said(tmp_path):
    path = tmp_path / "emergency.yaml"
    taken: list[object] = []
    file = EmergencyFile(path, structlog.get_logger(), taken.append)
    running = asyncio.ensure_future(file.run())
    path.write_text("users: legacy\n")
    await until(lambda: taken and taken[-1] == {"users": legacy("1:8")})

    path.write_text("users: [")
    await until(lambda: file.problem)
    assert taken[-1] == {"users": legacy("1:8")}

    path.unlink()
    await until(lambda: taken[-1] == {})
    assert file.problem == ""
    running.cancel()


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "emergency.yaml")

    with pytest.raises(ConfigError, match="is no regular file"):
        read_emergency_file(tmp_path / "emergency.yaml")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (
            "{users: }",
            "emergency.yaml:1:9: users: should be legacy or modern, is empty: it counts as legacy before cutover; "
            "to end it, take the line out",
        ),
        (
            "# in force\nusers: lgacy\n",
            "emergency.yaml:2:8: users: should be legacy or modern, is `lgacy`: it counts as legacy before cutover; "
            "did you mean `legacy`?",
        ),
    ],
)
def test_a_value_that_names_no_side_counts_as_in_the_store_and_is_told_with_its_place(tmp_path, text, why):
    path = tmp_path / "emergency.yaml"
    path.write_text(text)

    meant = interpret({}, {"users": Component(component="users", weight=50)}, read_emergency_file(path))

    assert meant.sides == {"users": Side.LEGACY}
    assert [alarm.why for alarm in meant.alarms] == [why]


def test_a_name_that_nobody_has_is_told_with_its_place(tmp_path):
    path = tmp_path / "emergency.yaml"
    path.write_text("user: legacy\n")

    (alarm,) = interpret({}, {"users": Component(component="users")}, read_emergency_file(path)).alarms

    assert alarm.why == "emergency.yaml:1:7: user: no component is called so; did you mean `users`?"


def test_a_list_is_refused_with_its_place(tmp_path):
    path = tmp_path / "emergency.yaml"
    path.write_text("# these\n- users\n")

    with pytest.raises(ConfigError, match=r"emergency.yaml:2:1: should be `component: side`, line by line, is a list"):
        read_emergency_file(path)
