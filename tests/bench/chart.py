"""
The figures of a benchmark as a picture (SVG): a bar for each proxy, its lowest and highest round, and our limits.

By hand, because a library that draws bars weighs more than all that is measured here.
"""

from __future__ import annotations

import xml.etree.ElementTree as xml
from collections.abc import Mapping, Sequence
from statistics import median

from tests.bench.figures import BANYAN, LIMITS, Figures, title
from tests.bench.report import number, refusal

WIDTH, LEFT, RIGHT = 720, 140, 80  # pixels: all of it, the names, and the room for a number behind the longest bar
TITLE, ROW, BAR, GAP = 34, 22, 14, 12
OURS, PEER, LINE, INK = "#2e7d32", "#9aa5b1", "#37474f", "#1f2933"


def svg(figures: Figures, machine: Mapping[str, object]) -> str:
    """Return the chart of every figure that Banyan shares with a peer, or should."""
    jobs = [job for job, row in figures.values.items() if _is_drawn(figures, job, row)]
    rows = sum(len(figures.values[job]) + len(figures.refused.get(job, ())) for job in jobs)
    height = (TITLE + GAP) * len(jobs) + ROW * rows + 2 * ROW
    root = xml.Element(
        "svg", xmlns="http://www.w3.org/2000/svg", viewBox=f"0 0 {WIDTH} {height}", width=f"{WIDTH}",
        height=f"{height}", role="img", style="font:13px system-ui,sans-serif",
    )  # fmt: skip
    xml.SubElement(root, "title").text = "What Banyan costs beside its peers"
    xml.SubElement(root, "rect", width="100%", height="100%", fill="#ffffff")
    versions = machine.get("versions")
    names = versions if isinstance(versions, dict) else {}
    top = 0
    for job in jobs:
        top = _panel(root, top, job, figures, names)
    facts = (str(machine.get(name, "")) for name in ("processor", "when", "commit"))
    _text(root, 10, top + ROW, f"{' · '.join(facts)} · bars: median of the rounds, lines: lowest to highest", size=11)
    return xml.tostring(root, encoding="unicode") + "\n"


def _panel(root: xml.Element, top: int, job: str, figures: Figures, versions: Mapping[str, str]) -> int:
    """Draw one figure of all proxies; return where the next panel begins."""
    row = figures.values[job]
    most = max(max(values) for values in row.values())
    scale = (WIDTH - LEFT - RIGHT) / most if most else 0
    _text(root, 10, top + 24, f"{title(job)}: CPU per request, {figures.units[job]}", weight="bold")
    top += TITLE
    for limit in LIMITS:
        if limit.job == job and limit.peer in row:
            _mark(root, LEFT + scale * limit.never_above * median(row[limit.peer]), top, len(row), limit.peer)
    for name, values in row.items():
        _bar(root, top, f"{name} {versions.get(name, '')}".strip(), values, scale, OURS if name == BANYAN else PEER)
        top += ROW
    for name, whys in figures.refused.get(job, {}).items():
        _text(root, LEFT - 8, top + 12, name, anchor="end")
        _text(root, LEFT, top + 12, f"not measured: {refusal(whys)}")
        top += ROW
    return top + GAP


def _is_drawn(figures: Figures, job: str, row: Mapping[str, Sequence[float]]) -> bool:
    ours = BANYAN in row or BANYAN in figures.refused.get(job, {})
    return ours and len({BANYAN, *row}) > 1


def _bar(root: xml.Element, top: int, name: str, values: Sequence[float], scale: float, color: str) -> None:
    middle = median(values)
    line = top + BAR / 2
    _text(root, LEFT - 8, top + 12, name, anchor="end")
    xml.SubElement(
        root, "rect", x=f"{LEFT}", y=f"{top}", width=f"{scale * middle:.1f}", height=f"{BAR}", fill=color, rx="2"
    )
    ends = {"x1": f"{LEFT + scale * min(values):.1f}", "x2": f"{LEFT + scale * max(values):.1f}"}
    xml.SubElement(root, "line", ends, y1=f"{line}", y2=f"{line}", stroke=LINE)
    _text(root, LEFT + scale * max(values) + 6, top + 12, number(middle))


def _mark(root: xml.Element, x: float, top: int, rows: int, peer: str) -> None:
    """Draw what ours must never exceed, which is a multiple of a peer's."""
    mark = xml.SubElement(
        root, "line", x1=f"{x:.1f}", x2=f"{x:.1f}", y1=f"{top - 4}", y2=f"{top + ROW * rows - 4}", stroke="#c62828"
    )
    mark.set("stroke-dasharray", "3 3")
    xml.SubElement(mark, "title").text = f"never above, by {peer}"


def _text(
    root: xml.Element, x: float, y: float, words: str, *, anchor: str = "start", weight: str = "normal", size: int = 13
) -> None:
    element = xml.SubElement(root, "text", x=f"{x:.1f}", y=f"{y:.1f}", fill=INK)
    element.attrib |= {"text-anchor": anchor, "font-weight": weight, "font-size": f"{size}"}
    element.text = words
