"""
The commands about noise: in what a side differs from itself, and the rules that would say so.

They read the store and write nothing: a rule is put in force by whoever pastes it into a rule file.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import typer

from proxy.cli.desk import at_desk
from proxy.cli.options import ComponentName, Config, Output, form_of, settings_of
from proxy.cli.output import emit, put, say
from proxy.cli.tables import put_noise
from proxy.core.changes import Unknown, hint_of
from proxy.core.evidence import Evidence
from proxy.core.noise import COMPARED, disagreements, proposals, suggestion_yaml
from proxy.core.rules import Component
from proxy.settings import Settings
from proxy.store.evidence import EvidenceStore

noise = typer.Typer(no_args_is_help=True, help="In what a side differs from itself.")


@noise.command()
def suggest(context: typer.Context, component: ComponentName, config: Config = None) -> None:
    """
    Print rules to paste into a rule file, with how often and since when; nothing is ignored by itself.
    """
    rules, found = asyncio.run(_read(settings_of(context, config), component))
    text = suggestion_yaml(rules, proposals(disagreements(found, time.time())))
    if text:
        put(text)
    else:
        say(_nothing(found))


@noise.command()
def show(context: typer.Context, component: ComponentName, config: Config = None, output: Output = None) -> None:
    """List the places in which a side differed from itself."""
    _, found = asyncio.run(_read(settings_of(context, config), component))
    rows = [asdict(each) for each in disagreements(found, time.time())]
    document = sorted(rows, key=lambda each: (each["route"], each["path"], each["kind"]))
    emit(document, form_of(context, output), lambda: put_noise(document) if document else say(_nothing(found)))


async def _read(settings: Settings, name: str) -> tuple[Component, dict[str, Evidence]]:
    """Return a component and what was counted of it; raises Unknown for one that there is not, and StoreError."""
    async with at_desk(settings) as desk:
        facts = await desk.reader.facts()
        components: Mapping[str, Any] = {} if facts.rules is None else facts.rules.components
        if name not in components:
            raise Unknown(f"no component is called {name!r}{hint_of(name, components)}")
        return components[name], await EvidenceStore(desk.link, "noise").read(name)


def _nothing(found: Mapping[str, Evidence]) -> str:
    """Say what was looked at, where nothing is to be told."""
    compared = sum(each.reasons.get(COMPARED, 0) for each in found.values())
    if not compared:
        return "no side was compared with itself so far: see `noise: {sample: 1}` of the rules"
    times = [each.since for each in found.values() if each.since]
    return f"nothing: {compared:,} reads were answered twice by one side since {min(times)}, and nothing differs often"
