"""Descriptors: raised as far as the system allows, and clients let in for as many as there are."""

from __future__ import annotations

import os
import resource
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.limits import SECOND_LOOKS
from proxy.descriptors import OWN, fitting, needed
from proxy.settings import Limits, Settings

RAISED = "import resource; from proxy.descriptors import raise_limit; print(raise_limit(), *resource.getrlimit(7))"


def settings(connections: int) -> Settings:
    return Settings(limits=Limits(connections=connections))


def test_the_limit_is_raised_to_the_hard_one():
    hard = min(2048, resource.getrlimit(resource.RLIMIT_NOFILE)[1])
    said = subprocess.run(
        ["prlimit", f"--nofile=200:{hard}", sys.executable, "-c", RAISED], capture_output=True, text=True, check=True
    )  # fmt: skip

    assert said.stdout.split() == [str(hard)] * 3
    assert resource.RLIMIT_NOFILE == 7 and os.name == "posix"


def test_it_takes_descriptors_for_the_clients_both_sides_and_our_own():
    assert needed(settings(8_192)) == 8_192 + 2 * (1024 + 32 + SECOND_LOOKS) + OWN


def test_shadow_reads_have_connections_of_their_own():
    sides = {"modern": {"shadow": {"concurrency": 100}}}
    assert needed(Settings.model_validate({"sides": sides})) == needed(Settings()) + 100 - 32


def test_health_checks_have_a_connection_for_each_instance():
    checked = {"urls": ["http://a:1", "http://a:2"], "health_check": {"interval_s": 1}}
    found = Settings.model_validate({"sides": {"legacy": checked, "modern": {"urls": ["http://b:1", "http://b:2"]}}})
    assert needed(found) == needed(Settings()) + 2


@pytest.mark.parametrize(
    ("descriptors", "connections"),
    [(1_000_000, 8_192), (10_448, 8_192), (10_447, 8_191), (5_000, 2_744), (4_096, 1_984), (400, 136), (64, 1)],
)
def test_so_many_clients_are_let_in(descriptors, connections):
    assert fitting(settings(8_192), descriptors).limits.connections == connections


@given(st.integers(1, 20_000), st.integers(1, 50_000))
def test_never_more_clients_than_wanted_and_the_rest_of_the_settings_stays(wanted, descriptors):
    before = settings(wanted)
    after = fitting(before, descriptors)

    assert 1 <= after.limits.connections <= wanted
    assert after.model_copy(update={"limits": before.limits}) == before
    if descriptors >= needed(before):
        assert after is before
