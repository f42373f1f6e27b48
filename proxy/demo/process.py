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

Build = Callable[[Path, Clock], Awaitable[web.Application]]
GRACE_S = 3.0


def wall_clock() -> datetime:
    return datetime.now(UTC)


def run(name: str, default_port: int, build: Build, argv: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT; return the exit code: 0, or 1 when the port is taken."""
    parser = argparse.ArgumentParser(prog=f"python -m proxy.demo.{name}", description=f"the {name} demo application")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=default_port, help="0 chooses a free one")
    parser.add_argument("--data", type=Path, required=True, help="folder that keeps the entities; seeded when empty")
    options = parser.parse_args(argv)
    logging.basicConfig(level=logging.WARNING, format=f"{name}: %(message)s")
    return asyncio.run(_serve(name, options.host, options.port, options.data, build))


async def _serve(name: str, host: str, port: int, data: Path, build: Build) -> int:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    runner = web.AppRunner(await build(data, wall_clock), access_log=None, shutdown_timeout=GRACE_S)
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
