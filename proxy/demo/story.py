"""
The story of a migration, told in a terminal while it happens: `banyan demo`.

Puts stage, traffic and scenes together; says at the end whether everything that was claimed is true.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.text import Text

from proxy.demo.comparing import compare, still_equal
from proxy.demo.failing import modern_fails
from proxy.demo.moving import pass_through, roll_back, shift
from proxy.demo.play import Play
from proxy.demo.stage import Ports, Stage, StageError
from proxy.demo.steering import edit_file, emergency
from proxy.demo.tally import Tally, quantile_ms, share_pct
from proxy.demo.telling import Teller
from proxy.demo.traffic import Traffic

OK, FAILED, INTERRUPTED = 0, 1, 130
WRITTEN = ("conversations", "analytics")  # answered by legacy to the end: there their writes go
LINE_S, PLAIN_LINE_S = 1.0, 10.0

Scene = Callable[[Play], Awaitable[None]]
SCENES: tuple[Scene, ...] = (
    pass_through, compare, shift, modern_fails, edit_file, emergency, roll_back, still_equal
)  # fmt: skip


def run_demo(exit_after: bool, console: Console, scenes: Sequence[Scene] = SCENES, ports: Ports | None = None) -> int:
    """
    Tell the story, then go on with the traffic until Ctrl-C, unless `exit_after`; return the exit code.

    0 only if no reader saw an error and every claim held; 130 when interrupted before the end of the story.
    Leaves no process and no folder behind.
    """
    return asyncio.run(_demo(exit_after, console, scenes, ports))


async def _demo(exit_after: bool, console: Console, scenes: Sequence[Scene], ports: Ports | None) -> int:
    _end_at_the_first_signal()
    teller, tally = Teller(console), Tally()
    ended = False
    try:
        async with AsyncExitStack() as stack:
            with teller.busy("starting two applications, a store and a gateway"):
                stage = await stack.enter_async_context(Stage(ports))
            traffic = Traffic(stage.web, stage.origin, tally)
            stop = asyncio.Event()
            running = asyncio.create_task(traffic.run(WRITTEN, stop))
            stack.callback(running.cancel)
            _tell_addresses(console, stage)
            await _tell(Play(stage, traffic, teller), scenes)
            if not exit_after:
                _sum_up(teller, tally)
                ended = True
                await _go_on(console, stage, tally)
            stop.set()
            await running
            _sum_up(teller, tally)
            ended = True
    except asyncio.CancelledError:
        console.print("\nStopped. Every process has ended, and the temporary folder is gone.")
    except StageError as exc:
        console.print(f"[bold red]The demo cannot go on:[/] {escape(str(exc))}", highlight=False)
        return FAILED
    return exit_code(teller, tally) if ended else INTERRUPTED


def exit_code(teller: Teller, tally: Tally) -> int:
    """Return what the demo ends with when it was told to the end."""
    return OK if teller.all_held and not tally.errors else FAILED


def _end_at_the_first_signal() -> None:
    """Cancel the demo at the first signal; later ones must not disturb its clearing away."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def end() -> None:
        for number in numbers:
            loop.add_signal_handler(number, lambda: None)
        if task is not None:
            task.cancel()

    for number in numbers:
        loop.add_signal_handler(number, end)


def _tell_addresses(console: Console, stage: Stage) -> None:
    ports = stage.ports
    if ports != Ports():
        console.print("Some of the usual ports are taken; others were chosen.", style="yellow")
    console.print("[bold]Everything runs. Try it from another terminal:[/]")
    for line in (
        f"curl -i -H 'x-user-id: ana' {stage.origin}/api/users/42",
        f"curl http://127.0.0.1:{ports.probes}/metrics",
        f"curl http://127.0.0.1:{ports.admin}/api/v1/status",
        f"banyan -c {stage.config} status",
        f"redis-cli -s {stage.store_socket} KEYS 'banyan:*'",
        f"curl http://127.0.0.1:{ports.legacy}/api/users/42 http://127.0.0.1:{ports.modern}/api/users/42",
    ):
        console.print(f"  [cyan]{escape(line)}", soft_wrap=True, highlight=False)


async def _tell(play: Play, scenes: Sequence[Scene]) -> None:
    for scene in scenes:
        await scene(play)
        play.stage.raise_if_ended()


def _sum_up(teller: Teller, tally: Tally) -> None:
    teller.scene("In the end", "What holds for the whole story.")
    for error in tally.first_errors:
        teller.console.print(f"  [red]{error.ask.method} {error.ask.path} by {error.ask.user}: {escape(error.error)}")
    reads, writes = tally.reads, tally.writes
    teller.claim(
        "no reader saw an error", f"{tally.failed_reads} errors in {reads} reads", reads > 0 and not tally.failed_reads
    )
    elsewhere = tally.writes_beside("legacy")
    teller.claim(
        "every write went to legacy, and to nobody else",
        f"{writes} writes, {tally.failed_writes} failed, {elsewhere} answered elsewhere",
        writes > 0 and not tally.failed_writes and not elsewhere,
    )
    teller.console.print()
    teller.console.print(teller.table())


async def _go_on(console: Console, stage: Stage, tally: Tally) -> None:
    """Show how it goes, until somebody ends it."""
    defect = f"curl -X PUT http://127.0.0.1:{stage.ports.modern}/_demo/defects/unread"
    hint = f"raise a weight, set an emergency, or `kill {stage.pid_of('modern')}`, which is modern; or `{defect}`"
    console.print(
        f"\nThe traffic goes on: {hint} and look at `banyan mismatches`. Ctrl-C ends it.",
        highlight=False,
        soft_wrap=True,
    )
    if not console.is_terminal:
        while True:
            await asyncio.sleep(PLAIN_LINE_S)
            stage.raise_if_ended("gateway")
            console.print(_line(tally), highlight=False, soft_wrap=True)
    with Live(Text(_line(tally)), console=console, auto_refresh=False) as live:
        while True:
            await asyncio.sleep(LINE_S)
            stage.raise_if_ended("gateway")
            live.update(Text(_line(tally)), refresh=True)


def _line(tally: Tally) -> str:
    latest = tally.latest()
    users = [answer for answer in latest if answer.ask.component == "users"]
    span_s = latest[-1].started_s - latest[0].started_s if len(latest) > 1 else 0.0
    rate = len(latest) / span_s if span_s else 0.0
    return (
        f"{tally.reads + tally.writes:,} requests · {rate:.0f}/s · {tally.errors} errors · "
        f"half within {quantile_ms(latest, 0.5):.1f} ms, 99 % within {quantile_ms(latest, 0.99):.1f} ms · "
        f"users on modern {share_pct(users, 'modern'):.0f} % · {tally.fallbacks.total()} fallbacks"
    )
