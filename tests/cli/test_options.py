from __future__ import annotations

import pytest

from proxy.cli.options import by_of, known_components, reason_of
from proxy.cli.words import BadWord


def test_completion_offers_the_components_of_the_rule_files(bare):
    bare.write("rules/_defaults.yaml", "")

    assert known_components("") == ["configuration", "users"]
    assert known_components("us") == ["users"]


def test_completion_is_silent_when_there_is_nothing_to_offer(bare):
    bare.configure(rules="nowhere")
    assert known_components("") == []

    bare.write("config.yaml", "lsten: 1\n")
    assert known_components("") == []


def test_without_a_reason_it_is_what_was_typed():
    assert by_of("ana", " ", "banyan weight users 5").why == "banyan weight users 5"
    assert by_of("ana", " because ", "banyan weight users 5", 7).why == "because"
    assert by_of("ana", "x", "y", 7).expect == 7


def test_what_must_have_a_reason_has_one():
    assert reason_of(" errors ", "rollback users") == "errors"
    with pytest.raises(BadWord, match="`banyan rollback users` needs a reason"):
        reason_of(" ", "rollback users")


def test_the_file_behind_the_command_counts(bare):
    bare.write("other.yaml", "lsten: 1\n")

    assert "other.yaml" in bare.say("-c", "config.yaml", "status", "-c", "other.yaml").err
    assert "other.yaml" in bare.say("-c", "other.yaml", "status").err


def test_the_environment_names_the_file_too(bare, monkeypatch):
    bare.write("other.yaml", "lsten: 1\n")
    monkeypatch.setenv("BANYAN_CONFIG", "other.yaml")

    assert "other.yaml" in bare.say("status").err
    assert "out of reach" in bare.say("status", "-c", "config.yaml").err
