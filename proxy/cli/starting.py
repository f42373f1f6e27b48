"""
The commands that start something: init, run, demo.

`run` is here for its help text and for unusual spellings; the usual one never gets as far as typer.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from proxy.cli import running
from proxy.cli.init import write_project
from proxy.cli.options import Config, before_of
from proxy.cli.output import put, say


def add_starting(app: typer.Typer) -> None:
    """Add the commands that start something to the command line."""
    for command in (init, run, demo):
        app.command()(command)


def init(
    legacy: Annotated[str, typer.Option("--legacy", metavar="URL", help="Where the application is that is replaced.")],
    modern: Annotated[str, typer.Option("--modern", metavar="URL", help="Where its replacement is.")],
    folder: Annotated[Path, typer.Option("--dir", metavar="DIR", help="Where to write.")] = Path(),
) -> None:
    """Write first settings and rules; overwrites nothing."""
    written, steps = write_project(folder, legacy, modern)
    put("\n".join(f"wrote {path}" for path in written))
    say(steps)


def run(context: typer.Context, config: Config = None) -> None:
    """Run the gateway until SIGTERM or Ctrl-C."""
    raise typer.Exit(running.run(config or before_of(context).config))


def demo(
    leave: Annotated[
        bool, typer.Option("--exit", help="End after the story; exit 0 only if no reader saw an error.")
    ] = False,
) -> None:
    """Tell the story of a migration, with real applications."""
    from rich.console import Console

    from proxy.demo.story import run_demo

    raise typer.Exit(run_demo(leave, Console()))
