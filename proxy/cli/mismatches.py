"""
`banyan mismatches`: where the answers of the two sides differ, one bug a cluster; shown, reproduced and closed.

From the store alone, no gateway is asked. `banyan mismatches users` is short for `banyan mismatches list users`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, Any, TypeVar

import orjson
import typer
from typer.core import TyperGroup

from proxy.cli.desk import Desk, at_desk
from proxy.cli.options import Config, Output, Who, Why, form_of, known_components, reason_of, settings_of
from proxy.cli.output import Format, emit, put, say, visible
from proxy.cli.reproduction import Ends, Tool, best_of, curl_script, pytest_file
from proxy.cli.sidebyside import put_change, put_cluster, put_clusters
from proxy.cli.words import BadWord, who_am_i
from proxy.core.errors import NotAllowed, StoreError
from proxy.core.rules import Side
from proxy.settings import Settings
from proxy.store.mismatches import Cluster
from proxy.workers.clusters import document_of

EVERY_S = 2.0  # `--follow`
_LIST = "list"
_HELP = ("-h", "--help")

T = TypeVar("T")
Id = Annotated[str, typer.Argument(metavar="ID", help="As the list has it.")]
Url = Annotated[str | None, typer.Option(metavar="URL", help="Instead of the one in the configuration.")]


class Verbs(TyperGroup):
    """A group whose first verb may be left out: what is none of its verbs is a component to list."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if not args or (args[0] not in self.commands and args[0] not in _HELP):
            args = [_LIST, *args]
        return super().parse_args(ctx, args)


mismatches = typer.Typer(cls=Verbs, help="Where the answers of the sides differ: list, show, close.")


@mismatches.command(_LIST)
def listing(
    context: typer.Context,
    component: Annotated[
        str | None, typer.Argument(metavar="[COMPONENT]", autocompletion=known_components, help="Else all of them.")
    ] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until Ctrl-C, a line for what is new.")] = False,
    config: Config = None,
    output: Output = None,
) -> None:
    """
    List the clusters, those seen last first.

    With --follow and -o json: one cluster a line.
    """
    form = form_of(context, output)
    if follow and form is Format.YAML:
        raise BadWord("--follow prints a table or, with -o json, one cluster a line")
    settings = settings_of(context, config)
    if follow:
        asyncio.run(_follow(settings, component, form))
        return
    found = _at_desk(settings, lambda desk: desk.clusters.of(component))
    document = [document_of(each) for each in found]
    if not found:
        say("no mismatches")
    emit(document, form, lambda: put_clusters(document) if document else None)


@mismatches.command()
def show(
    context: typer.Context,
    id: Id,
    tool: Annotated[Tool | None, typer.Option("--as", help="A script or a test that asks both sides again.")] = None,
    legacy: Url = None,
    modern: Url = None,
    base_url: Annotated[
        str | None, typer.Option("--base-url", metavar="URL", help="Ask through Banyan there, by X-Banyan-Force.")
    ] = None,
    config: Config = None,
    output: Output = None,
) -> None:
    """
    Show a cluster, both sides beside each other.

    With --as curl or pytest print what asks the sides again; secrets come from variables that it names.
    """
    settings = settings_of(context, config)

    async def read(desk: Desk) -> tuple[Cluster, list[dict[str, Any]]]:
        cluster = await desk.clusters.one(id)
        return cluster, await desk.clusters.examples(cluster)

    cluster, examples = _at_desk(settings, read)
    if tool in (Tool.CURL, Tool.PYTEST):
        if not examples:
            raise NotAllowed(f"no example of {id} was kept, so nothing can be asked again")
        ends = Ends(
            {side.value: _url(settings, side, legacy, modern) for side in Side}, base_url and base_url.rstrip("/")
        )
        put(visible((curl_script if tool is Tool.CURL else pytest_file)(cluster, best_of(examples), ends)))
        return
    document = {**document_of(cluster), "examples": examples}
    emit(document, Format.JSON if tool is Tool.JSON else form_of(context, output), lambda: put_cluster(document))


@mismatches.command()
def close(
    context: typer.Context, id: Id, why: Why = "", who: Who = None, config: Config = None, output: Output = None
) -> None:
    """
    Close a cluster, because it is fixed or of no account.

    It opens again as soon as it is seen again. Needs a reason.
    """
    reason, by = reason_of(why, f"mismatches close {id}"), who_am_i(who)
    done = _at_desk(settings_of(context, config), lambda desk: desk.clusters.close(id, by, reason))
    if not done.changed:
        say(f"{id} was closed before, by {done.cluster.closed_by}: {done.cluster.closed_why}")
    document = document_of(done.cluster)
    emit(document, form_of(context, output), lambda: put_change(document))


def _at_desk(settings: Settings, wish: Callable[[Desk], Awaitable[T]]) -> T:
    async def at_once() -> T:
        async with at_desk(settings) as desk:
            return await wish(desk)

    return asyncio.run(at_once())


def _url(settings: Settings, side: Side, legacy: str | None, modern: str | None) -> str:
    where = settings.side(side)
    return ({Side.LEGACY: legacy, Side.MODERN: modern}[side] or (where.urls or (where.url,))[0]).rstrip("/")


async def _follow(settings: Settings, component: str | None, form: Format) -> None:
    """Print what there is, and from then on every cluster that is new, seen again, closed or opened."""
    known: dict[str, tuple[Any, ...]] | None = None
    while True:
        try:
            async with at_desk(settings) as desk:
                found = await desk.clusters.of(component)
            _put_changes(found, known, form)
            known = {each.id: _state(each) for each in found}
        except StoreError as error:
            if known is None:
                raise
            say(f"banyan: {error}")
        await asyncio.sleep(EVERY_S)


def _put_changes(found: Sequence[Cluster], known: dict[str, tuple[Any, ...]] | None, form: Format) -> None:
    if known is None and form is Format.TABLE:
        put_clusters([document_of(each) for each in found])
        return
    for each in reversed(found):
        if (known or {}).get(each.id) != _state(each):
            document = document_of(each)
            put_change(document) if form is Format.TABLE else put(orjson.dumps(document).decode())


def _state(cluster: Cluster) -> tuple[Any, ...]:
    return cluster.count, cluster.status, cluster.reopened
