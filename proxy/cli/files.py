"""
`banyan rules`: the rule files and what is live, brought together in either direction, and what was published when.

Files are those of the folder that the settings name. Nothing is half done: a push with one bad file publishes
nothing, and a pull without `--write` only says what it would write.
"""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from proxy.cli.desk import at_desk
from proxy.cli.options import Config, Expect, Output, Who, Why, by_of, form_of, settings_of
from proxy.cli.output import emit, put, say
from proxy.cli.tables import put_diff, put_history
from proxy.cli.verbs import carried_out, carry_out, told
from proxy.core.changes import Drift, drift_of
from proxy.core.errors import ConfigError
from proxy.core.merge import ABSENT, Edit, differences, values_of
from proxy.core.rules import Origin, RuleSet
from proxy.rulefiles import RuleFolder, read_folder
from proxy.rulewriting import write_back, write_new
from proxy.settings import Settings
from proxy.store.history import Publication

rules = typer.Typer(no_args_is_help=True, help="Rule files and what is live.")


class Take(StrEnum):
    """What counts where a file and what is live differ."""

    FILES = "files"


@rules.command()
def push(
    context: typer.Context,
    take: Annotated[Take | None, typer.Option("--take", help="files: they count whole, live values go.")] = None,
    why: Why = "",
    expect: Expect = None,
    who: Who = None,
    config: Config = None,
    output: Output = None,
) -> None:
    """
    Publish what was edited in the rule files: all or nothing.

    Live values that somebody set otherwise stay, and are named.
    """
    settings = settings_of(context, config)
    folder = good_folder(settings.rules)
    typed = "banyan rules push" + (" --take files" if take else "")
    by = by_of(who, why, typed, expect)
    done = carried_out(settings, lambda desk: desk.changes.push(folder.files, by, take_files=take is Take.FILES))
    for sentence in (each for drift in done.drifts for each in drift.sentences()):
        say(f"{sentence}: not edited here; `rules pull --write` or `rules push --take files`")
    document = {**asdict(done), "drifts": [_drift(each, folder) for each in done.drifts]}
    emit(document, form_of(context, output), lambda: put(told(done)))


@rules.command()
def pull(
    context: typer.Context,
    write: Annotated[bool, typer.Option("--write", help="Write; else only say what would be written.")] = False,
    config: Config = None,
    output: Output = None,
) -> None:
    """Bring live values into the rule files; comments stay."""
    settings = settings_of(context, config)
    folder = good_folder(settings.rules)
    live = asyncio.run(published(settings))
    written = []
    for drift in drift_of(live, folder.files):
        if drift.where == "file":
            say(f"{drift.component}: is in {folder.files[drift.component].name} only; the file stays as it is")
        else:
            written.append(_pulled(drift.component, live, folder, write))
    if not written:
        say("the files say what is live")
    elif not write:
        say("nothing was written; --write does it")
    emit(written, form_of(context, output), lambda: put_pulled(written))


@rules.command()
def diff(context: typer.Context, config: Config = None, output: Output = None) -> None:
    """Show where the rule files and what is live differ."""
    settings = settings_of(context, config)
    folder = good_folder(settings.rules)
    found = drift_of(asyncio.run(published(settings)), folder.files)
    document = [_drift(each, folder) for each in found]
    if not found:
        say("the files say what is live")
    emit(document, form_of(context, output), lambda: put_diff(document))


@rules.command()
def history(
    context: typer.Context,
    count: Annotated[int, typer.Option("-n", "--count", min=1, max=1000, help="How many.")] = 20,
    config: Config = None,
    output: Output = None,
) -> None:
    """Show what was published, by whom and why."""

    async def read(settings: Settings) -> list[Publication]:
        async with at_desk(settings) as desk:
            return await desk.reader.history(count)

    document = [_publication(each) for each in asyncio.run(read(settings_of(context, config)))]
    emit(document, form_of(context, output), lambda: put_history(document))


@rules.command()
def undo(
    context: typer.Context,
    version: Annotated[int | None, typer.Argument(metavar="[VERSION]", min=1, help="Else the last one.")] = None,
    why: Why = "",
    expect: Expect = None,
    who: Who = None,
    config: Config = None,
    output: Output = None,
) -> None:
    """
    Take back what the last version, or VERSION, changed.

    What came after it stays; a field that was changed again since is refused.
    """
    typed = "banyan rules undo" + (f" {version}" if version is not None else "")
    by = by_of(who, why, typed, expect)
    carry_out(settings_of(context, config), form_of(context, output), lambda desk: desk.changes.undo(version, by))


@rules.command()
def accept(
    context: typer.Context, why: Why = "", who: Who = None, config: Config = None, output: Output = None
) -> None:
    """
    Have all replicas follow the published rules.

    For a store that was rebuilt: replicas that hold rules of another epoch keep them until this is said.
    """
    by = by_of(who, why, "banyan rules accept")
    carry_out(settings_of(context, config), form_of(context, output), lambda desk: desk.changes.accept(by))


def good_folder(path: Path) -> RuleFolder:
    """Return the rule files of a folder; raises ConfigError with every problem of all of them."""
    folder = read_folder(path)
    if folder.problems:
        raise ConfigError(folder.problems)
    return folder


async def published(settings: Settings) -> RuleSet:
    """Return the rules that are live; raises NotAllowed when there are none."""
    async with at_desk(settings) as desk:
        return await desk.changes.current()


def put_pulled(written: list[dict[str, Any]]) -> None:
    """Say each file, and each field in it that was, or would be, written."""
    for each in written:
        put("\n".join((f"{each['file']}:", *(f"  {change}" for change in each["changes"]))))


def _pulled(name: str, live: RuleSet, folder: RuleFolder, write: bool) -> dict[str, Any]:
    file, component = folder.files.get(name), live.components[name]
    if file is None:
        path = folder.folder / f"{name}.yaml"
        if write:
            write_new(path, values_of(component))
        return {"component": name, "file": path.name, "written": write, "changes": ["a new file"]}
    edits = differences(file.rules, component)
    if write:
        write_back(file.path, edits)
    return {"component": name, "file": file.name, "written": write, "changes": [str(edit) for edit in edits]}


def _drift(drift: Drift, folder: RuleFolder) -> dict[str, Any]:
    file = folder.files.get(drift.component)
    name = file.name if file is not None else None
    return {
        "component": drift.component,
        "where": drift.where,
        "file": name,
        "fields": [_field(edit, drift.origins.get(edit.field)) for edit in drift.edits],
    }


def _field(edit: Edit, origin: Origin | None) -> dict[str, Any]:
    live, file = (None if value is ABSENT else value for value in (edit.old, edit.new))
    who, at = (origin.who, origin.at) if origin is not None else (None, None)
    return {"field": edit.field, "live": live, "file": file, "who": who, "at": at}


def _publication(publication: Publication) -> dict[str, Any]:
    return {**asdict(publication), "changes": [str(change) for change in publication.changes]}
