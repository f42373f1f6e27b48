from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from proxy.cli.application import invoke

BANYAN = Path(sys.executable).with_name("banyan")
COMMANDS = (
    *("init", "run", "demo", "check", "routes", "explain", "status", "schema"),
    *("weight", "phase", "emergency", "rollback", "rules", "mismatches", "noise", "doctor"),
)


def test_help_lists_every_command(capsys):
    assert invoke(["--help"]) == 0

    out = capsys.readouterr().out
    listed = {line.split()[0] for line in out.partition("Commands:")[2].splitlines() if line.strip()}
    assert listed == set(COMMANDS)
    assert "..." not in out.partition("Commands:")[2]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command, capsys):
    assert invoke([command, "--help"]) == 0
    assert "Usage: banyan" in capsys.readouterr().out


@pytest.mark.parametrize(
    "words", [["bogus"], ["weight"], ["--bogus"], ["status", "--bogus"], ["-o", "xml", "status"], []]
)
def test_what_is_no_command_is_a_usage_error(words, capsys):
    assert invoke(words) == 2

    assert "Traceback" not in capsys.readouterr().err


def test_the_version_is_printed(capsys):
    assert invoke(["--version"]) == 0
    assert capsys.readouterr().out.strip()


def test_shell_completion_knows_commands_and_the_components_of_the_rule_files(bare):
    def completed(line: str) -> list[str]:
        words = line.split(" ")
        more = {"_BANYAN_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
        done = subprocess.run([BANYAN], env={**os.environ, **more}, cwd=bare.folder, capture_output=True, text=True)
        return done.stdout.split()

    assert completed("banyan wei") == ["weight"]
    assert completed("banyan weight us") == ["users"]
