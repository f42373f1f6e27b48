"""
`banyan run`: settings in, the house running, exit code out.

Imports neither typer nor rich nor httpx: they would cost every gateway memory and time for nothing.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from socket import socket

    from proxy.settings import Settings

HANDOVER = "BANYAN_HANDOVER"  # what a parent names a descriptor by: see process.py


@dataclass(frozen=True, slots=True)
class PlainRun:
    """`banyan run` with nothing but an optional configuration file."""

    config: Path | None


def plain_run(arguments: Sequence[str]) -> PlainRun | None:
    """Recognise `run` and `-c FILE` in any order; None for everything else, which is typer's to answer or refuse."""
    rest = list(arguments)
    config: Path | None = None
    seen_run = False
    while rest:
        word = rest.pop(0)
        if word == "run" and not seen_run:
            seen_run = True
        elif word in ("-c", "--config") and rest and config is None:
            config = Path(rest.pop(0))
        elif word.startswith("--config=") and config is None:
            config = Path(word.removeprefix("--config="))
        else:
            return None
    return PlainRun(config) if seen_run else None


def run(config: Path | None) -> int:
    """
    Run the gateway until it is told to stop; returns its exit code. Raises ConfigError for invalid settings.

    One process, or the parent of several: with `processes` above 1, and for sockets that systemd opened.
    """
    from proxy.config import find_config, read_config

    if HANDOVER in os.environ:
        return _run_process()
    path = find_config(config, os.environ, Path.cwd())
    read = read_config(path, os.environ)
    sockets = _handed_over(read.settings) if "LISTEN_PID" in os.environ else {}
    import_structlog()
    if sockets or read.settings.processes > 1:
        from proxy.supervisor import supervise

        return supervise(read, sockets)
    import_aiohttp()
    from proxy.app import run as run_house

    return run_house(read.settings, path)


def _run_process() -> int:
    """Be one of the processes of a parent, with what it handed over."""
    from proxy.config import load_settings
    from proxy.process import Handover, Process

    handover = Handover.taken(os.environ)
    if handover is None:
        raise AssertionError("the caller has seen the variable")
    path = None if handover.config is None else Path(handover.config)
    process = Process(handover)
    settings = process.placed(load_settings(path, os.environ, handover.text, certificates=True))
    import_structlog()
    import_aiohttp()
    from proxy.app import run as run_house

    return run_house(settings, path, process)


def _handed_over(settings: Settings) -> dict[str, socket]:
    """Return the sockets that systemd opened; raises ConfigError where the settings do not suit their addresses."""
    from proxy.core.errors import ConfigError
    from proxy.core.problems import problem
    from proxy.settings import contradictions
    from proxy.sockets import listening_on
    from proxy.systemd import handed_over

    sockets = handed_over(os.environ, os.getpid())
    found = contradictions(listening_on(settings, sockets)) if sockets else ()
    if problems := [problem({}, path, "LISTEN_FDS", what) for path, what in found]:
        raise ConfigError(problems)
    return sockets


def import_structlog() -> None:
    """
    Import structlog without rich, which it takes in for its console renderer wherever it is installed.

    A gateway logs JSON and needs none of it. Measured: 0.15 s of its start and 3 MB of its memory.
    """
    if "structlog" in sys.modules or "rich" in sys.modules:
        return
    sys.modules["rich"] = None  # type: ignore[assignment]  # to whoever imports it, it is not installed
    try:
        importlib.import_module("structlog")
    finally:
        del sys.modules["rich"]


def import_aiohttp() -> None:
    """
    Import aiohttp while there are no trusted certificates: its client, which a gateway never uses, reads them all.

    Measured: 0.09 s of its start. Whoever makes a TLS context later finds the certificates as ever.
    """
    names = ("SSL_CERT_FILE", "SSL_CERT_DIR")
    held = {name: os.environ.get(name) for name in names}
    os.environ.update(dict.fromkeys(names, os.devnull))
    try:
        importlib.import_module("aiohttp.web")
    finally:
        for name, value in held.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
