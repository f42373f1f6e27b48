"""
Documents drawn for people, with rich: as tables, and as sentences where a table says less.

Takes what `-o json` prints and leaves out what nobody reads; decides nothing. Colour is rich's business: none with
NO_COLOR, and none where stdout is no terminal.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import rich.text
from rich.console import Console
from rich.table import Table

from proxy.cli.output import visible
from proxy.core.merge import said

PIPE_COLUMNS = 1_000  # where stdout is no terminal: nothing is cut to a width that nobody sees
COLOURS = {"legacy": "yellow", "modern": "green", "both": "cyan", "unknown": "red"}
MARKS = {"ok": ("✓", "green"), "warning": ("!", "yellow"), "failure": ("✗", "red")}


class Text(rich.text.Text):
    """Text with nothing in it that steers a terminal; rich itself lets escape sequences pass."""

    def __init__(self, text: str, style: str = "") -> None:
        super().__init__(visible(text), style)


_Row = tuple[Text | str, ...]


def console() -> Console:
    """Return where data is drawn: stdout as it is now."""
    width = None if sys.stdout.isatty() or "COLUMNS" in os.environ else PIPE_COLUMNS
    return Console(file=sys.stdout, highlight=False, soft_wrap=False, width=width, emoji=False, markup=False)


def clear() -> None:
    """Begin a new page, on a terminal."""
    if sys.stdout.isatty():
        console().clear()


def put_status(document: Mapping[str, Any]) -> None:
    """Draw the status: one row for each component, then what is wrong, then the replicas."""
    out = console()
    head = f"version {document['version']}"
    head += f" by {document['who']}: {document['why'] or 'no reason given'}" if document["version"] else ""
    out.print(Text(head, style="bold"))
    components = document["components"]
    if components:
        out.print(
            _table(("component", "phase", "weight", "reads", "writes", "next"), map(_component, components.items()))
        )
    for name, each in components.items():
        for line in _remarks(each):
            out.print(Text(f"{name}: {line}"))
    for each in document["drifts"]:
        out.print(Text(f"{each['component']}: {_drift(each)}"))
    for sentence in document["because"]:
        out.print(Text(f"! {sentence}", style="red"))
    if document["replicas"]:
        out.print(_replicas(document["replicas"], document["version"]))
    out.print(_verdict(document))


def put_routes(document: Mapping[str, Any]) -> None:
    """Draw the claims, then the busiest paths that nobody claims."""
    out = console()
    rows = (
        (each["component"], each["method"], each["path"], f"{each['phase']} {each['weight']} %", each["entity"] or "")
        for each in document["routes"]
    )
    out.print(_table(("component", "method", "path", "reads", "entity"), rows))
    unclaimed = document["unclaimed"]
    if unclaimed:
        out.print(Text("unclaimed, so legacy answers:", style="bold"))
        out.print(_table(("path", "requests"), ((each["path"], str(each["requests"])) for each in unclaimed)))


def put_explanation(document: Mapping[str, Any]) -> None:
    """Draw the plan of one request: who answers, then the three steps, then the rest."""
    out = console()
    answers = f"refused with {document['refusal']['status']}" if document["refusal"] else document["side"]
    out.print(
        Text(f"{document['method']} {document['path']} → ", style="bold"),
        Text(answers, style=COLOURS.get(answers, "red")),
        Text(f" ({document['reason']})"),
        sep="", end="\n",
    )  # fmt: skip
    for number, step in enumerate(document["steps"], 1):
        out.print(Text(f"  {number}. {step['name']}: {step['text']}"))
    names = ("component", "route", "kind", "version", "bucket", "entity", "fallback", "shadow", "primary")
    rest = ((name, str(document[name])) for name in names if document.get(name) is not None)
    out.print(Text("  " + ", ".join(f"{name} {value}" for name, value in rest)))


def put_diff(document: Sequence[Mapping[str, Any]]) -> None:
    """Draw where files and live values differ."""
    rows: list[_Row] = []
    for each in document:
        if each["where"] != "both":
            rows.append(
                (each["component"], "all of it", *(("live", "no file") if each["where"] == "live" else ("", "file")))
            )
        rows += [
            (each["component"], field["field"], _said(field["live"]), _said(field["file"])) for field in each["fields"]
        ]
    if rows:
        console().print(_table(("component", "field", "live", "file"), rows))


def put_noise(document: Sequence[Mapping[str, Any]]) -> None:
    """Draw the places in which a side differs from itself."""
    rows = (
        (each["route"], each["path"], str(each["kind"]), f"{each['count']:,} of {each['compared']:,} reads")
        for each in document
    )
    console().print(_table(("route", "path", "kind", "differed"), rows))


def put_history(document: Sequence[Mapping[str, Any]]) -> None:
    """Draw what was published, the newest first."""
    rows = (
        (str(each["version"]), each["at"], each["who"], each["why"], "\n".join(each["changes"])) for each in document
    )
    console().print(_table(("version", "at", "who", "why", "changes"), rows))


def put_findings(document: Sequence[Mapping[str, Any]]) -> None:
    """Draw what the doctor found: a mark, what was looked at, and what there is to say."""
    out = console()
    for each in document:
        mark, colour = MARKS[each["state"]]
        out.print(Text(f"{mark} ", style=colour), Text(f"{each['what']}: {each['says']}"), sep="")


def _verdict(document: Mapping[str, Any]) -> Text:
    if document["degraded"]:
        return Text("degraded", style="red")
    if document["emergencies"]:
        return Text("an emergency is in force", style="yellow")
    if any(each["breakers"] for each in document["components"].values()):
        return Text("a breaker is open", style="yellow")
    if document["drifts"]:
        return Text("a rule file has a component that is not live", style="yellow")
    if any(each["drifts"] for each in document["components"].values()):
        return Text("a rule file is not what is live: see drift", style="yellow")
    return Text("all is well", style="green")


def _component(item: tuple[str, Mapping[str, Any]]) -> _Row:
    name, each = item
    reads = each["reads"]
    values = each["values"]
    shares = f"modern {reads['modern']} %" if reads["side"] == "both" else reads["side"]
    ahead = each["next"]["verb"] or each["next"]["step"]
    return (
        name,
        each["phase"] if values["phase"]["value"] is None else values["phase"]["said"],
        values["weight"]["said"],
        Text(f"{shares} ({reads['reason']})", style=COLOURS[reads["side"]]),
        each["writes"],
        f"blocked: {each['next']['blocked'][0]}" if each["next"]["blocked"] else ahead,
    )


def _remarks(each: Mapping[str, Any]) -> Iterable[str]:
    changed = each["changed"]
    if changed:
        why = f": {changed['why']}" if changed["why"] else ""
        yield f"changed last in version {changed['version']} by {changed['who']}{why}"
    if each["emergency"]:
        left = each["emergency"]["ends_in_s"]
        ends = f"ends in {left:g} s" if left is not None else f"until `DEL` of {each['emergency']['key']}"
        yield f"emergency: {_emergency(each['emergency'])}, {ends}"
    for own in each["own_emergencies"]:
        yield f"{own['replica']} sends all reads to {own['side']} by its own emergency file"
    for breaker in each["breakers"]:
        yield f"breaker open: {breaker['side']} in {breaker['replica']}"
    for drift in each["drifts"]:
        yield _drift(drift)
    yield from each["warnings"]
    if each["compared"]:
        yield from _compared(each["compared"])
    yield f"going back: {each['going_back']}"


def _compared(found: Mapping[str, Any]) -> Iterable[str]:
    yield f"compared: {found['said']}"
    beside = ("noise", "inconclusive", "declined", "failed", "dropped", "skipped")
    told = ", ".join(f"{found[name]:,} {name}" for name in beside if found[name])
    if told:
        yield f"not counted in that: {told}"


def _drift(drift: Mapping[str, Any]) -> str:
    return f"drift in {drift['replica']}: {drift['why']} (`banyan rules diff` there)"


def _emergency(emergency: Mapping[str, Any]) -> str:
    """Say where it sends the reads, and what the key says if that is something else."""
    side, raw = emergency["side"], emergency["raw"]
    if side is None:
        return f"`{raw}`, not heeded"
    return side if raw == side else f"{side}, as the key says `{raw}`"


def _replicas(replicas: Sequence[Mapping[str, Any]], version: int) -> Table:
    """Draw the replicas; which of them are processes of one parent is shown where some are."""
    names: tuple[str, ...] = ("replica", "version", "rules from", "build", "started")
    rows = [_replica(each, version) for each in replicas]
    if any(each.get("parent") for each in replicas):
        names = (*names, "parent")
        rows = [(*row, each.get("parent") or "") for row, each in zip(rows, replicas, strict=True)]
    return _table(names, rows)


def _replica(each: Mapping[str, Any], version: int) -> _Row:
    behind = isinstance(each["version"], int) and each["version"] < version
    note = "" if each["current"] else " (behind)" if behind else " (not the store's)"
    return each["id"], f"{each['version']}{note}", each["source"], each["build"], each["started"]


def _table(names: Sequence[str], rows: Iterable[_Row]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in names:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*(cell if isinstance(cell, Text) else Text(str(cell)) for cell in row))
    return table


def _said(value: Any) -> str:
    return "" if value is None else said(value)
