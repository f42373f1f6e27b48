"""
The command line as typer has it: every command, and the two options that may stand before any of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Annotated

import typer
import typer.main

from proxy.cli.doctor import doctor
from proxy.cli.files import rules
from proxy.cli.looking import add_looking
from proxy.cli.mismatches import mismatches
from proxy.cli.noise import noise
from proxy.cli.options import Before
from proxy.cli.output import Format, put
from proxy.cli.starting import add_starting
from proxy.cli.verbs import add_verbs

app = typer.Typer(
    name="banyan",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Moves traffic from a legacy application to its replacement, component by component.",
)


@app.callback(invoke_without_command=True)
def before(
    context: typer.Context,
    config: Annotated[
        Path | None, typer.Option("-c", "--config", metavar="FILE", help="Instead of BANYAN_CONFIG or ./config.yaml.")
    ] = None,
    output: Annotated[Format, typer.Option("-o", "--output", help="How data is printed.")] = Format.TABLE,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """Keep what stands before the command."""
    context.obj = Before(config, output)
    if version:
        from proxy.app import build

        put(build())
        raise typer.Exit


add_starting(app)
add_looking(app)
add_verbs(app)
app.add_typer(rules, name="rules", help="Rule files and what is live: push, pull, diff, undo, …")
app.add_typer(noise, name="noise")
app.add_typer(mismatches, name="mismatches")
app.command()(doctor)


@cache
def command() -> Callable[..., object]:
    """Return the whole command line, built once: typer looks at every signature for it."""
    return typer.main.get_command(app)


def invoke(arguments: Sequence[str]) -> int:
    """Run one command; returns the exit code that typer has for it, and passes on what the command raises."""
    try:
        command()(args=list(arguments), prog_name="banyan")
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    return 0
