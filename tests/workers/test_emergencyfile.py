"""The emergency file: read, watched, and never a reason to forget what was understood before."""

from __future__ import annotations

import asyncio
import os

import pytest
import structlog

from proxy.core.emergency import read_emergency
from proxy.core.errors import ConfigError
from proxy.workers.emergencyfile import EmergencyFile, read_emergency_file
from tests.waiting import until

LEGACY, MODERN = read_emergency("legacy"), read_emergency("modern")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", {}),
        ("users: legacy\nall: modern\n", {"users": LEGACY, "all": MODERN}),
        ('{"users": "legacy"}', {"users": LEGACY}),
        ("users:\n", {}),
        ("users: lgacy\n", {"users": read_emergency("lgacy")}),
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
    await until(lambda: taken and taken[-1] == {"users": LEGACY})

    path.write_text("users: [")
    await until(lambda: file.problem)
    assert taken[-1] == {"users": LEGACY}

    path.unlink()
    await until(lambda: taken[-1] == {})
    assert file.problem == ""
    running.cancel()


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "emergency.yaml")

    with pytest.raises(ConfigError, match="is no regular file"):
        read_emergency_file(tmp_path / "emergency.yaml")
