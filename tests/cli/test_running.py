from __future__ import annotations

import os
import subprocess
import sys
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


def test_certificates_are_hidden_from_nobody_but_aiohttp():
    code = (
        "import os, ssl, sys; os.environ['SSL_CERT_DIR'] = '/certificates'\n"
        "from proxy.cli.running import import_aiohttp\n"
        "import_aiohttp()\n"
        "print('aiohttp.web' in sys.modules, os.environ['SSL_CERT_DIR'], 'SSL_CERT_FILE' in os.environ)"
    )
    env = {name: value for name, value in os.environ.items() if name != "SSL_CERT_FILE"}
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env, check=True)

    assert said.stdout.split() == ["True", "/certificates", "False"]


def test_a_single_process_imports_nothing_of_what_several_need():
    code = (
        "import sys\n"
        "from proxy.cli.running import import_aiohttp, import_structlog\n"
        "import_structlog(); import_aiohttp()\n"
        "import proxy.app\n"
        "print(*(name for name in sys.modules if name.startswith('proxy.')))"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    several = {"supervisor", "generation", "process", "board", "ledger", "admin.gathering", "core.gathering"}

    assert "proxy.app" in said
    assert not {f"proxy.{name}" for name in several} & set(said)


def test_a_parent_has_neither_a_web_server_nor_metrics():
    code = "import sys, proxy.supervisor; print(*sys.modules)"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()

    assert not {"aiohttp", "uvloop", "prometheus_client", "redis", "proxy.app"} & set(said)
