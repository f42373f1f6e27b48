from __future__ import annotations

from pathlib import Path

import pytest

from proxy.cli.running import PlainRun, plain_run


@pytest.mark.parametrize(
    ("words", "config"),
    [
        (["run"], None),
        (["run", "-c", "a.yaml"], Path("a.yaml")),
        (["-c", "a.yaml", "run"], Path("a.yaml")),
        (["run", "--config=a.yaml"], Path("a.yaml")),
        (["run", "--config", "run"], Path("run")),
    ],
)
def test_run_needs_no_command_line_library(words, config):
    assert plain_run(words) == PlainRun(config)


@pytest.mark.parametrize("words", [[], ["status"], ["run", "--help"], ["run", "-c"], ["run", "run"], ["-c", "run"]])
def test_everything_else_is_left_to_it(words):
    assert plain_run(words) is None
