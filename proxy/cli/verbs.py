"""
The verbs that change what is live: weight, phase, emergency, rollback.

They write to the store directly and say what became of it; every replica follows. A rollback and an emergency need a
reason, because somebody will ask; for a weight or a phase it is what was typed unless `--why` says more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Annotated, TypeVar

import typer

from proxy.cli.desk import Desk, at_desk
from proxy.cli.options import (
    ComponentName,
    Config,
    Expect,
    Output,
    Who,
    Why,
    by_of,
    form_of,
    reason_of,
    settings_of,
)
from proxy.cli.output import Format, emit, put, say
from proxy.cli.words import duration_s, percent, who_am_i
from proxy.core.changes import phase_of, side_of
from proxy.core.errors import StoreError
from proxy.core.rules import Side
from proxy.settings import Settings
from proxy.workers.changes import By, Done

Outcome = TypeVar("Outcome", bound=Done)


def add_verbs(app: typer.Typer) -> None:
    """Add the verbs to the command line."""
    app.command()(weight)
    app.command()(phase)
    app.command()(emergency)
    app.command()(rollback)


def weight(
    context: typer.Context,
    component: ComponentName,
    share: Annotated[str, typer.Argument(metavar="PCT", help="0 to 100, in steps of 0.01.")],
    why: Why = "",
    expect: Expect = None,
    who: Who = None,
    config: Config = None,
    output: Output = None,
) -> None:
    """Set the share of reads that modern answers."""
    value = percent(share)
    by = by_of(who, why, f"banyan weight {component} {share}", expect)
    carry_out(
        settings_of(context, config), form_of(context, output), lambda desk: desk.changes.weight(component, value, by)
    )


def phase(
    context: typer.Context,
    component: ComponentName,
    name: Annotated[
        str, typer.Argument(metavar="PHASE", help="off, backfill, shadow, canary, cutover, retired or auto.")
    ],
    why: Why = "",
    expect: Expect = None,
    who: Who = None,
    config: Config = None,
    output: Output = None,
) -> None:
    """
    Move a component to another phase.

    With `auto` it has none of its own and follows the weight: off at 0, else canary.
    """
    value = phase_of(name)
    by = by_of(who, why, f"banyan phase {component} {name}", expect)
    carry_out(
        settings_of(context, config), form_of(context, output), lambda desk: desk.changes.phase(component, value, by)
    )


def emergency(
    context: typer.Context,
    component: Annotated[str, typer.Argument(metavar="COMPONENT", help="Its name, or all.")],
    side: Annotated[str, typer.Argument(metavar="legacy|modern|off", help="Where all its reads go; off ends it.")],
    why: Why = "",
    lasting: Annotated[str | None, typer.Option("--for", metavar="TIME", help="90s, 10m, 2h; else until off.")] = None,
    who: Who = None,
    config: Config = None,
    output: Output = None,
) -> None:
    """
    Send all reads of a component to one side at once.

    In every replica, until `off` or for a while; no write moves. Needs a reason, unless it is `off`.
    """
    to = side_of(side)
    typed = f"emergency {component} {side}"
    reason = reason_of(why, typed) if to is not None else why.strip() or f"banyan {typed}"
    for_s = duration_s(lasting) if lasting is not None else None
    by = By(who_am_i(who), reason)
    settings = settings_of(context, config)
    form = form_of(context, output)
    try:
        carry_out(settings, form, lambda desk: desk.changes.emergency(component, to, by, for_s))
    except StoreError as exc:
        if to is None:
            raise
        raise StoreError(f"{exc}; {_without_store(settings, component, to)}") from exc


def rollback(
    context: typer.Context,
    component: ComponentName,
    why: Why = "",
    expect: Expect = None,
    who: Who = None,
    config: Config = None,
    output: Output = None,
) -> None:
    """
    Take a component back, in every replica.

    Weight 0; what keeps the two sides equal goes on. Needs a reason.
    """
    by = By(who_am_i(who), reason_of(why, f"rollback {component}"), expect)
    carry_out(settings_of(context, config), form_of(context, output), lambda desk: desk.changes.rollback(component, by))


def carry_out(settings: Settings, form: Format, wish: Callable[[Desk], Awaitable[Done]]) -> None:
    """Carry a wish out and say what became of it."""
    done = carried_out(settings, wish)
    emit(asdict(done), form, lambda: put(told(done)))


def carried_out(settings: Settings, wish: Callable[[Desk], Awaitable[Outcome]]) -> Outcome:
    """Carry a wish out; of what became of it only the warnings are said."""

    async def at_once() -> Outcome:
        async with at_desk(settings) as desk:
            return await wish(desk)

    done = asyncio.run(at_once())
    for warning in done.warnings:
        say(f"warning: {warning}")
    return done


def _without_store(settings: Settings, component: str, to: Side) -> str:
    """Say how an emergency is set when the store does not take it."""
    if settings.emergency_file is None:
        return "an `emergency_file` needs no store, but the settings name none"
    return f"`emergency_file` still works: write `{component}: {to}` into {settings.emergency_file}"


def told(done: Done) -> str:
    """Say for people what became of a wish."""
    if not done.changed:
        return f"nothing to change (version {done.version})"
    return "\n".join((*done.what, f"version {done.version}"))
