"""
What a run of faults is told as: a table of figures, what did not hold, and the same as JSON. Text only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from tests.bench.report import machine_lines, table
from tests.faults.play import Result, Tempo

COLUMNS = (
    "fault", "sent", "answered", "refused", "aborted", "lost", "torn", "crossed", "twice", "wrong side", "noticed",
    "calm p50/p99 ms", "fault p50/p99/max ms", "fell back s", "recovered s", "verdict",
)  # fmt: skip


def text(results: Sequence[Result], machine: Mapping[str, object]) -> str:
    """Return the whole report."""
    rows = [COLUMNS, *(row(result) for result in results)]
    parts = [machine_lines(machine), table(rows), *(notes(result) for result in results)]
    return "\n\n".join(part for part in (*parts, broken(results)) if part)


def row(result: Result) -> list[str]:
    account, calm, fault = result.account, result.calm, result.fault
    return [
        result.name,
        *map(str, (account.sent, account.answered, account.refused, account.aborted, account.lost, account.torn)),
        *map(str, (account.crossed, account.duplicated + account.repeated_puts, account.wrong_side, result.noticed)),
        f"{ms(calm.p50_s)}/{ms(calm.p99_s)}",
        f"{ms(fault.p50_s)}/{ms(fault.p99_s)}/{ms(fault.max_s)}",
        seconds(result.fell_back_s),
        seconds(result.recovered_s),
        "holds" if result.holds else "BROKEN",
    ]


def ms(value_s: float) -> str:
    return f"{value_s * 1e3:.1f}" if value_s < 0.01 else f"{value_s * 1e3:.0f}"


def seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def notes(result: Result) -> str:
    """Return what else was found, under the fault's name."""
    lines = [f"  {what}: {found}" for what, found in result.notes.items()]
    lines.append(f"  the gateway grew by {result.rss_growth_mb:.0f} MB at most")
    return "\n".join([f"{result.name}  {result.title}", *lines])


def broken(results: Sequence[Result]) -> str:
    """Return every must that does not hold, one a line; empty when all do."""
    return "\n".join(
        f"{result.name}: must hold: {must.what}; found: {must.found}"
        for result in results
        for must in result.musts
        if not must.holds
    )


def document(results: Sequence[Result], tempo: Tempo, machine: Mapping[str, object]) -> dict[str, Any]:
    """Return everything as it goes into the JSON file."""
    return {
        "machine": dict(machine),
        "tempo": asdict(tempo),
        "faults": {result.name: asdict(result) | {"holds": result.holds} for result in results},
    }
