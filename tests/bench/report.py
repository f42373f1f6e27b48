"""
The tables that a benchmark prints: figures by proxy, then every limit with its verdict.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from statistics import median

from tests.bench.figures import Figures, Verdict, title


def text(figures: Figures, judged: Iterable[Verdict], machine: Mapping[str, object]) -> str:
    """Return the whole report."""
    parts = [machine_lines(machine), figure_table(figures, machine)]
    limits = limit_table(figures, list(judged))
    return "\n\n".join(part for part in (*parts, limits, failures(figures)) if part)


def machine_lines(machine: Mapping[str, object]) -> str:
    return "\n".join(f"{name.replace('_', ' '):12} {value}" for name, value in machine.items() if name != "versions")


def figure_table(figures: Figures, machine: Mapping[str, object]) -> str:
    """One row a job, one column a proxy: the median, and in brackets the lowest and the highest round."""
    names = list(dict.fromkeys(name for row in figures.values.values() for name in row))
    versions = machine.get("versions")
    known = versions if isinstance(versions, dict) else {}
    rows = [["median (low-high)", *(f"{name} {known.get(name, '')}".strip() for name in names)]]
    for job, row in figures.values.items():
        rows.append([f"{title(job)}, {figures.units[job]}", *(spread(row.get(name, ())) for name in names)])
    return table(rows)


def spread(values: Sequence[float]) -> str:
    if not values:
        return "-"
    middle = number(median(values))
    return middle if len(values) == 1 else f"{middle} ({number(min(values))}-{number(max(values))})"


def number(value: float) -> str:
    """Return three digits that count: 0.412, 21.3, 748."""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def limit_table(figures: Figures, judged: Sequence[Verdict]) -> str:
    if not judged:
        return ""
    rows = [["limit", "measured", "target", "never above", "verdict"]]
    for verdict in judged:
        limit = verdict.limit
        unit = f" × {limit.peer}" if limit.peer else f" {figures.units.get(limit.job, '')}"
        measured = f"-{unit}" if verdict.value is None else f"{verdict.value:.2f}{unit}"
        rows.append([title(limit.job), measured, f"{limit.target:g}", f"{limit.never_above:g}", verdict.outcome.value])
    return table(rows)


def failures(figures: Figures) -> str:
    lines = [f"{name}: {count} requests failed" for name, count in figures.failed.items() if count]
    for job, row in figures.refused.items():
        lines += [f"{title(job)}: NOT MEASURED: {name} {refusal(whys)}" for name, whys in row.items()]
    return "\n".join(lines)


def refusal(whys: Sequence[str]) -> str:
    """Return the last of the reasons why a proxy has no figure, and in how many rounds there was one."""
    return f"{whys[-1]} (in {len(whys)} round{'s' if len(whys) > 1 else ''})"


def table(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )
