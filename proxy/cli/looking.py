"""
The commands that only look: check, routes, explain, status, schema.

`check`, `schema` and `explain --rules` need no store. `routes` and `explain` fall back to the rule files, and say so,
when the store does not answer; `status` is about the store and needs it, but no gateway.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

import orjson
import typer

from proxy.admin.asking import asked, explained
from proxy.cli.checking import Checked, Report, check_everything
from proxy.cli.desk import at_desk
from proxy.cli.exits import INVALID
from proxy.cli.files import good_folder
from proxy.cli.options import Config, Output, config_of, form_of, settings_of
from proxy.cli.output import Format, emit, put, say
from proxy.cli.tables import clear, put_explanation, put_routes, put_status
from proxy.config import json_schema
from proxy.core.claims import busiest, claims_of
from proxy.core.emergency import interpret
from proxy.core.errors import StoreError
from proxy.core.plan import CALM, Situation, Table, compile_table
from proxy.core.rules import RuleSet, Side
from proxy.core.status import Facts, down_everywhere, open_breakers, status_document
from proxy.replica import plan_defaults
from proxy.settings import Settings
from proxy.workers.edits import rules_of

EVERY_S = 2.0  # `status --watch`

Rules = Annotated[Path | None, typer.Option("--rules", metavar="DIR", help="Answer offline, from these rule files.")]
Fields = Annotated[
    list[str] | None, typer.Option("-H", "--header", metavar="FIELD", help="'x-user-id: 7'; repeatable.")
]


def add_looking(app: typer.Typer) -> None:
    """Add the commands that look to the command line."""
    for command in (check, routes, explain, status, schema):
        app.command()(command)


def check(
    context: typer.Context,
    form: Annotated[Report, typer.Option("--format", help="github: annotations for a pull request.")] = Report.TEXT,
    config: Config = None,
) -> None:
    """
    Check settings, rule files and expectations, offline.

    Every problem of all files is named at once, with its place; exit 4 if there is any.
    """
    checked: Checked = check_everything(config_of(context, config), os.environ)
    checked.put(form)
    if checked.problems:
        raise typer.Exit(INVALID)


def routes(context: typer.Context, rules: Rules = None, config: Config = None, output: Output = None) -> None:
    """List which component claims which paths, and what none claims."""
    facts = facts_of(settings_of(context, config), rules)
    held = facts.rules.components if facts.rules is not None else {}
    counted = [each for replica in facts.replicas for each in _unclaimed(replica)]
    document = {"routes": claims_of(held), "unclaimed": busiest(counted)}
    emit(document, form_of(context, output), lambda: put_routes(document))


def explain(
    context: typer.Context,
    method: Annotated[str, typer.Argument(metavar="METHOD")],
    path: Annotated[str, typer.Argument(metavar="PATH", help="With its query: /api/users/42.")],
    header: Fields = None,
    client: Annotated[str, typer.Option("--client", metavar="ADDRESS", help="Whose request it is.")] = "",
    rules: Rules = None,
    config: Config = None,
    output: Output = None,
) -> None:
    """Say who would answer a request, and why."""
    settings = settings_of(context, config)
    question = asked(method, path, header or [], client, settings)
    facts = facts_of(settings, rules)
    table = compile_table(facts.rules, plan_defaults(settings))
    document = explained(table, situations_of(table, facts), question)
    for side, replicas in open_somewhere(document["component"] or "", facts).items():
        say(f"the breaker of {side} is open in {', '.join(replicas)}, not in every replica: there {side} is spared")
    emit(document, form_of(context, output), lambda: put_explanation(document))


def status(
    context: typer.Context,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Go on until Ctrl-C.")] = False,
    config: Config = None,
    output: Output = None,
) -> None:
    """
    Show where every component stands, and what is wrong.

    Who set each value, when, and what the file says; from the store alone, no gateway is asked.
    """
    settings = settings_of(context, config)
    form = form_of(context, output)
    asyncio.run(_watch(settings, form) if watch else _status(settings, form))


def schema(what: Annotated[Literal["settings", "rules"], typer.Argument(metavar="settings|rules")]) -> None:
    """Print the JSON Schema of settings or rules, for editors."""
    put(orjson.dumps(json_schema(what), option=orjson.OPT_INDENT_2).decode())


def facts_of(settings: Settings, folder: Path | None) -> Facts:
    """Return what is live; from the rule files when a folder is given, or when the store cannot say."""
    if folder is not None:
        return Facts(rules_in(folder))

    async def read() -> Facts:
        async with at_desk(settings) as desk:
            return await desk.reader.facts()

    try:
        facts = asyncio.run(read())
        why = facts.fault or "the store has no rules yet"
    except StoreError as error:
        facts, why = Facts(None), str(error)
    if facts.rules is not None:
        return facts
    say(f"{why}\nthis is what the rule files in {settings.rules} say:")
    return Facts(rules_in(settings.rules), facts.emergencies, facts.replicas)


def rules_in(folder: Path) -> RuleSet:
    """Return the rules that a folder makes; raises ConfigError with every problem of it."""
    return rules_of(good_folder(folder), epoch="files", who="files", why="", at="1970-01-01T00:00:00Z")


def situations_of(table: Table, facts: Facts) -> list[Situation]:
    """Return what stands against each component: its emergency, and the breakers that are open in every replica."""
    sides = interpret(facts.emergencies, {each.name: each.rules for each in table.components}).sides
    return [_situation(each.name, sides.get(each.name), facts) for each in table.components]


def open_somewhere(name: str, facts: Facts) -> dict[Side, tuple[str, ...]]:
    """Return the breakers of a component that are open in some replicas and not in all of them, by side."""
    found = open_breakers(name, facts.replicas)
    return {side: replicas for side, replicas in found.items() if len(replicas) < len(facts.replicas)}


def _situation(name: str, emergency: Side | None, facts: Facts) -> Situation:
    found = open_breakers(name, facts.replicas)
    everywhere = frozenset(side for side, replicas in found.items() if len(replicas) == len(facts.replicas))
    situation = Situation(emergency=emergency, open_breakers=everywhere, down=down_everywhere(facts.replicas))
    return CALM if situation == CALM else situation


async def _status(settings: Settings, form: Format) -> None:
    async with at_desk(settings) as desk:
        facts = replace(await desk.reader.facts(), live_changes=settings.live_changes)
    document = status_document(facts)
    emit(document, form, lambda: put_status(document))


async def _watch(settings: Settings, form: Format) -> None:
    """Show it again and again; a store that is away is said and tried again."""
    while True:
        try:
            if form is Format.TABLE:
                clear()
            await _status(settings, form)
        except StoreError as error:
            say(f"banyan: {error}")
        await asyncio.sleep(EVERY_S)


def _unclaimed(replica: Any) -> Sequence[Any]:
    facts = replica.get("facts")
    listed = facts.get("unclaimed") if isinstance(facts, dict) else None
    return [each for each in listed if isinstance(each, list)] if isinstance(listed, list) else []
