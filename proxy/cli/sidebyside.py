"""
Mismatches drawn for people: the list of clusters, and one of them with both sides beside each other.

Takes what `-o json` prints. Lines that differ are told by a mark, and by colour where there is any.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table

from proxy.cli.tables import COLOURS, Text, console

_DIFFERS = "red"
_EQUAL = "dim"


def put_clusters(clusters: Sequence[Mapping[str, Any]]) -> None:
    """Draw the list, those seen last first."""
    names = ("id", "component", "route", "path", "difference", "count", "entities", "last seen", "status")
    table = _table(names)
    for each in clusters:
        colour = _DIFFERS if each["status"] == "open" else "green"
        words = [each["id"], each["component"], each["route"], each["path"], _difference(each), str(each["count"])]
        words += [str(each["entities"]), each["last_seen"]]
        table.add_row(*map(Text, words), Text(_status(each), style=colour))
    console().print(table)


def put_change(cluster: Mapping[str, Any]) -> None:
    """Draw one cluster on one line, for those who follow."""
    line = f"{cluster['last_seen']} {cluster['id']} {_status(cluster)}: {_what(cluster)}, {_counts(cluster)}"
    console().print(Text(line), soft_wrap=True)


def put_cluster(document: Mapping[str, Any]) -> None:
    """Draw one cluster and its newest example."""
    out = console()
    out.print(Text(f"{document['id']} {_what(document)}", style="bold"))
    out.print(Text(f"{_status(document)}, {_counts(document)}, first {document['first_seen']}"))
    if document["closed_why"]:
        out.print(Text(f"closed by {document['closed_by']} at {document['closed_at']}: {document['closed_why']}"))
    examples = document["examples"]
    if not examples:
        out.print(Text("no example was kept"))
        return
    example = examples[0]
    out.print(Text(f"newest of {len(examples)} example{'s' * (len(examples) != 1)}, {_of(example, 'at')}:"))
    out.print(Text(f"  {_request(example)}"))
    if fields := _words(example.get("fields")):
        out.print(Text(f"  with the header fields {', '.join(fields)}"))
    out.print(_beside(example))
    for hint in _words(example.get("hints")):
        out.print(Text(f"hint: {hint}", style="cyan"))
    _put_others(example)


def _beside(example: Mapping[str, Any]) -> Table:
    """Return the two sides beside each other: status, the value itself, and what stands around it."""
    sides = [*_words(example.get("sides")), "first", "second"][:2]
    table = Table(box=None, pad_edge=False, padding=(0, 1))
    for name in ("", "", *sides):
        table.add_column(Text(name, style=COLOURS.get(name, "bold")), overflow="fold")
    for name, first, second, differs in _rows(example):
        style = _DIFFERS if differs else _EQUAL
        table.add_row(*(Text(word, style=style) for word in ("≠" if differs else "", name, first, second)))
    return table


def _rows(example: Mapping[str, Any]) -> list[tuple[str, str, str, bool]]:
    rows: list[tuple[str, str, str, bool]] = []
    statuses = [str(each) for each in example.get("statuses") or ()]
    if len(statuses) == 2:
        rows.append(("status", statuses[0], statuses[1], statuses[0] != statuses[1]))
    shapes = _words(example.get("shapes"))
    if len(shapes) == 2 and example.get("kind") != "status":
        rows.append((_of(example, "path"), shapes[0], shapes[1], True))
    revealed = example.get("revealed")
    if isinstance(revealed, list) and len(revealed) == 2:
        first, second = ("nothing" if each is None else str(each) for each in revealed)
        rows.append(("revealed", first, second, True))
    around = example.get("around")
    if isinstance(around, Mapping):
        rows += _members(around)
    return rows


def _members(around: Mapping[str, Any]) -> list[tuple[str, str, str, bool]]:
    rows: list[tuple[str, str, str, bool]] = [(f"in {_of(around, 'path')}:", "", "", False)]
    for row in around.get("rows") or ():
        if isinstance(row, list) and len(row) == 4:
            rows.append((f"  {row[0]}", str(row[1]), str(row[2]), bool(row[3])))
    more = around.get("more")
    if isinstance(more, int) and more:
        rows.append((f"  … and {more} more members", "", "", False))
    return rows


def _put_others(example: Mapping[str, Any]) -> None:
    pairs = [each for each in example.get("others") or () if isinstance(each, list) and len(each) == 2]
    if not pairs:
        return
    more = example.get("more_others")
    also = ", ".join(f"{path} ({kind})" for kind, path in pairs)
    console().print(Text(f"the same answers differ also in {also}" + (f" and {more} more" if more else "")))


def _what(each: Mapping[str, Any]) -> str:
    if each["kind"] == "other":
        return f"{each['component']}: mismatches beyond those that are kept apart"
    return f"{each['component']} {each['route']}: {_difference(each)} at {each['path']}"


def _difference(each: Mapping[str, Any]) -> str:
    return f"{each['kind']} {each['shape']}".strip()


def _status(each: Mapping[str, Any]) -> str:
    again = f", reopened {each['reopened']} time{'s' * (each['reopened'] != 1)}" if each["reopened"] else ""
    return f"{each['status']}{again}"


def _counts(each: Mapping[str, Any]) -> str:
    entities = each["entities"]
    times = f"{each['count']:,} time{'s' * (each['count'] != 1)}"
    return f"seen {times} of {entities:,} entit{'y' if entities == 1 else 'ies'}, last {each['last_seen']}"


def _request(example: Mapping[str, Any]) -> str:
    query = "&".join(_words(example.get("query")))
    return f"{_of(example, 'method')} {_of(example, 'request_path')}" + (f"?{query}" if query else "")


def _of(example: Mapping[str, Any], name: str) -> str:
    return str(example.get(name) or "")


def _words(values: Any) -> list[str]:
    return [str(each) for each in values] if isinstance(values, list) else []


def _table(names: Sequence[str]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in names:
        table.add_column(name, overflow="fold")
    return table
