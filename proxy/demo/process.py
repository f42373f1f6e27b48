"""An application of the demo as a process of its own: its options, its signals, its end."""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from aiohttp import web

from proxy.demo.api import Clock
from proxy.demo.defects import Defect
from proxy.demo.manner import VERSION_FIELD, Manner
from proxy.demo.seed import Seed

Build = Callable[[Path, Clock, Seed | None, Manner], Awaitable[web.Application]]
GRACE_S = 3.0


def wall_clock() -> datetime:
    return datetime.now(UTC)


def run(
    name: str, default_port: int, build: Build, argv: Sequence[str] | None = None, may_have: Sequence[Defect] = ()
) -> int:
    """Serve until SIGTERM or SIGINT; return the exit code: 0, or 1 when the port is taken. `may_have`: defects."""
    parser = argparse.ArgumentParser(prog=f"python -m proxy.demo.{name}", description=f"the {name} demo application")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=default_port, help="0 chooses a free one")
    parser.add_argument("--data", type=Path, required=True, help="folder that keeps the entities; seeded when empty")
    parser.add_argument("--app-version", default=Manner().version, help=f"what {VERSION_FIELD} says in every answer")
    parser.add_argument(
        "--noise", action="store_true", help="let lists and searches say when and for whom they were made"
    )
    if may_have:
        parser.add_argument(
            "--defect", action="append", default=[], type=Defect, choices=may_have, help="may be repeated"
        )
    options = parser.parse_args(argv)
    logging.basicConfig(level=logging.WARNING, format=f"{name}: %(message)s")
    return asyncio.run(_serve(name, options, build))


async def _serve(name: str, options: argparse.Namespace, build: Build) -> int:
    host, port, data = options.host, options.port, options.data
    manner = Manner(options.app_version, options.noise, frozenset(getattr(options, "defect", ())))
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    runner = web.AppRunner(await build(data, wall_clock, None, manner), access_log=None, shutdown_timeout=GRACE_S)
    try:
        await runner.setup()
        site = web.TCPSite(runner, host, port)
        await site.start()
        print(f"{name} answers on {site_address(runner)}, its data is in {data}", flush=True)
        await stop.wait()
    except OSError as exc:
        print(f"{name} cannot listen on {host}:{port}: {exc.strerror or exc}", flush=True)
        return 1
    finally:
        await runner.cleanup()
    return 0


def site_address(runner: web.AppRunner) -> str:
    """Return the URL of a runner's first address."""
    host, port = runner.addresses[0][:2]
    return f"http://{host}:{port}"
