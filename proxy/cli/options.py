"""
The options that many commands share, and what they lead to: settings, a form of output, whose wish it is.

`-c` and `-o` may stand before the command or behind it; behind it counts.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from proxy.cli.output import Format
from proxy.cli.words import BadWord, who_am_i
from proxy.config import find_config, load_settings
from proxy.core.errors import ConfigError
from proxy.rulefiles import is_rule_file
from proxy.settings import Settings
from proxy.workers.changes import By


@dataclass(slots=True)
class Before:
    """What stood before the command."""

    config: Path | None = None
    form: Format = Format.TABLE


def known_components(incomplete: str) -> list[str]:
    """Return the components that have a rule file and begin like what was typed: for shell completion."""
    try:
        settings = load_settings(find_config(None, os.environ, Path.cwd()), os.environ)
        names = sorted(path.stem for path in settings.rules.iterdir() if is_rule_file(path.name))
    except (ConfigError, OSError):
        return []
    return [name for name in names if name.startswith(incomplete) and name not in ("_defaults", "expect")]


Config = Annotated[
    Path | None, typer.Option("-c", "--config", metavar="FILE", help="Instead of BANYAN_CONFIG or ./config.yaml.")
]
Output = Annotated[Format | None, typer.Option("-o", "--output", help="How data is printed.")]
Who = Annotated[str | None, typer.Option("--who", metavar="NAME", help="Instead of user@host.")]
Why = Annotated[str, typer.Option("--why", metavar="TEXT", help="The reason; it lands in history and events.")]
Expect = Annotated[
    int | None, typer.Option("--expect", metavar="VERSION", min=0, help="Refuse (exit 6) if another version is live.")
]
ComponentName = Annotated[
    str, typer.Argument(metavar="COMPONENT", autocompletion=known_components, help="Its name, as in its rule file.")
]


def before_of(context: typer.Context) -> Before:
    """Return what stood before the command."""
    found = context.find_root().obj
    return found if isinstance(found, Before) else Before()


def config_of(context: typer.Context, config: Path | None) -> Path | None:
    """Return the configuration file that counts, None if there is none."""
    return find_config(config or before_of(context).config, os.environ, Path.cwd())


def settings_of(context: typer.Context, config: Path | None) -> Settings:
    """Return the settings that count; raises ConfigError."""
    return load_settings(config_of(context, config), os.environ)


def form_of(context: typer.Context, output: Format | None) -> Format:
    """Return how data is to be printed."""
    return output or before_of(context).form


def by_of(who: str | None, why: str, typed: str, expect: int | None = None) -> By:
    """Return whose wish it is; without a reason of its own it is what was typed."""
    return By(who_am_i(who), why.strip() or typed, expect)


def reason_of(why: str, typed: str) -> str:
    """Return the reason for what must have one; raises BadWord."""
    if not why.strip():
        raise BadWord(f"`banyan {typed}` needs a reason: --why '…'")
    return why.strip()
